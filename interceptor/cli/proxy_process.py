"""The process of the explicit proxy, as its supervisor makes it and waits for it."""

from __future__ import annotations

import contextlib
import os
import platform
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import msgspec

import interceptor
from interceptor.cli.plan import SetupError
from interceptor.policy.schema import Policy
from interceptor.serve.messages import Failure, Ready, Stop
from interceptor.serve.proxy_agents import Agents
from netns.identity import Identity

_START_SECONDS: Final = 60.0  # the first start after a change of rules compiles them
_STOP_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.5
_DESCRIPTORS: Final = 16_384
_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class ProxyPlan:
    """What `egressguard proxy` was asked to do."""

    name: str
    policy: Policy
    policy_folder: str
    cache: Path | None
    authority: Path | None
    agents: Agents | None
    identity: Identity
    environ: Mapping[str, str]


class ProxyProcess:
    """The process, seen from its supervisor."""

    def __init__(self, plan: ProxyPlan, evidence: int, listeners: Sequence[socket.socket]) -> None:
        """Fork it; our copies of the listeners are closed, so that nobody listens if it dies."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Ends come by sigtimedwait; the child, which has a terminal of its own, gets none.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _become(plan, evidence, listeners, theirs, parent)
        theirs.close()
        for listener in listeners:
            listener.close()
        self.pidfd = os.pidfd_open(self.pid)
        self._control.settimeout(_START_SECONDS)
        self._began = time.monotonic()

    def certificate(self) -> bytes:
        """Wait for the authority's certificate (PEM).

        Raises:
            SetupError: with what the process says.
        """
        message = self._receive()
        if not message.startswith(b"-----BEGIN CERTIFICATE"):
            self._understand(message)
        return message

    def ready(self) -> tuple[str, ...]:
        """Wait until it serves; returns lines for the operator.

        Raises:
            SetupError: with what the process says.
        """
        return self._understand(self._receive())

    def wait(self) -> str:
        """Wait until we are told to end, and end it; returns what went wrong, or ''."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        while not poll.poll(0):
            if signal.sigtimedwait(_ENDS, _LOOK_SECONDS) is not None:
                return self._stop()
        with contextlib.suppress(OSError, SetupError):
            self._understand(self._receive())
            return "the proxy has ended; nobody is served any more"
        return "the proxy has ended, and the evidence may be incomplete"

    def _stop(self) -> str:
        try:
            self._control.settimeout(_STOP_SECONDS)
            seconds = time.monotonic() - self._began
            self._control.send(msgspec.json.encode(Stop(0, seconds)))
            self._understand(self._receive())
        except (OSError, SetupError) as error:
            return f"the evidence may be incomplete: {error}"
        return ""

    def close(self) -> None:
        """End it."""
        self._control.close()
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.pidfd)
            self.pid = 0

    def _receive(self) -> bytes:
        try:
            return self._control.recv(65_536)
        except OSError as error:
            raise SetupError(f"the proxy's process does not answer: {error}") from error

    def _understand(self, message: bytes) -> tuple[str, ...]:
        if not message:
            raise SetupError("the proxy's process ended before it served")
        answer: Ready | Failure = msgspec.json.decode(message, type=Ready | Failure)
        if isinstance(answer, Failure):
            raise SetupError(answer.cause)
        return answer.notes


def _become(
    plan: ProxyPlan,
    evidence: int,
    listeners: Sequence[socket.socket],
    control: socket.socket,
    parent: int,
) -> NoReturn:
    """In the forked child: become the worker. Never returns."""
    code = 1
    try:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        if evidence != 1:
            os.dup2(null, 1)
        from interceptor.cli import as_user
        from netns import confine, namespaces

        kept = (0, 1, 2, evidence, control.fileno(), *(each.fileno() for each in listeners))
        namespaces.close_all_but(kept)
        namespaces.die_with_parent(signal.SIGKILL, parent)
        errand = as_user.send(
            plan.identity, lambda: _collected(plan), first=lambda: _import_readers(plan)
        )
        uid = confine.unprivileged_uid(os.getpid()) if os.geteuid() == 0 else None
        decider = plan.identity if uid is None else Identity(uid, uid, (), "proxy", "", "")

        def collect(work: Callable[[bytes], bytes]) -> Callable[[], bytes]:
            # As for a jail: who reads and who decides is of no use to the other.
            return as_user.hand_on(errand, decider, work, guarding.warm)

        from interceptor.serve import guarding, proxy_worker

        settings = proxy_worker.ProxySettings(
            plan.name,
            plan.policy,
            evidence,
            plan.cache,
            plan.authority,
            plan.agents,
            plan.identity.name,
            plan.identity.uid,
            _versions(),
        )
        proxy_worker.run(
            settings,
            listeners,
            control,
            lambda: confine.confine(uid, parent, _DESCRIPTORS),
            collect,
        )
        code = 0
    except BaseException as error:  # noqa: BLE001 - a forked child must not unwind
        sys.stderr.write(f"egressguard: proxy: {type(error).__name__}: {error}\n")
        if os.environ.get("EGRESSGUARD_DEBUG") == "1":
            import traceback

            traceback.print_exc()
    finally:
        os._exit(code)


def _import_readers(plan: ProxyPlan) -> None:
    from interceptor.cli import known_secrets

    assert known_secrets  # noqa: S101
    if plan.policy.secrets.files or plan.policy.secrets.well_known == "register":
        import configparser
        import json
        import tomllib

        import yaml

        assert all((configparser, json, tomllib, yaml))  # noqa: S101


def _collected(plan: ProxyPlan) -> bytes:
    """In a child with the rights of the user: find what may be secret."""
    from interceptor.cli.known_secrets import collect

    found = collect(
        plan.policy.secrets,
        dict(plan.environ),
        plan.identity.home,
        folder=plan.policy_folder,
        visible=True,
        canaries=(),
    )
    return msgspec.msgpack.encode(found)


def _versions() -> dict[str, str]:
    return {
        "egressguard": interceptor.__version__,
        "python": platform.python_version(),
        "kernel": os.uname().release,
    }
