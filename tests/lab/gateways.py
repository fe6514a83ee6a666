"""`egressguard gateway run` on the lab's host."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Final

from tests.lab.host import Lab
from tests.lab.programs import JAIL_ENVIRONMENT

START: Final = (sys.executable, "-m", "interceptor.cli.main")
_SECONDS: Final = 90.0


@contextlib.contextmanager
def running(lab: Lab, place: str) -> Iterator[str]:
    """Serve until the end; gives the directory of its sockets, below `place`."""
    run = f"{place}/run"
    lab.path(place).mkdir(mode=0o700, exist_ok=True)
    gateway = lab.popen(
        [*START, "gateway", "run", "--run", run, "--state", f"{place}/state", "--workers", "1"],
        env=JAIL_ENVIRONMENT,
        stdout=None,
        stderr=None,
    )
    try:
        end = time.monotonic() + _SECONDS
        status = [*START, "gateway", "status", "--run", run]
        # The socket of one that was killed is there still.
        while (
            not lab.path(f"{run}/gateway.sock").exists()
            or lab.run(status, env=JAIL_ENVIRONMENT, timeout=60).returncode
        ):
            assert gateway.poll() is None, "the gateway has ended"
            assert time.monotonic() < end, "the gateway does not come up"
            time.sleep(0.05)
        yield run
    finally:
        gateway.terminate()
        gateway.wait(30)


def do(lab: Lab, *words: str) -> str:
    """Run a command of egressguard's as root, which must succeed; what it printed."""
    done = lab.run([*START, *words], env=JAIL_ENVIRONMENT, timeout=60)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "replace")
