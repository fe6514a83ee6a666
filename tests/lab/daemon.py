"""Server programs of the lab's internet side: real ones, started on demand, with their logs.

Each lives in the internet's network and the lab's file system, and ends with the lab. That a
connection was made to one is seen by the sniffer (`Lab.dials`); what it was told is in its log.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab import world
from tests.lab.programs import LabError, clients_environment

if TYPE_CHECKING:
    from tests.lab.host import Lab

_CONNECT = """
import socket, sys, time
end = time.monotonic() + 15
while True:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()
        break
    except OSError:
        if time.monotonic() > end:
            raise
        time.sleep(0.02)
"""


class Daemon:
    """One server program that runs."""

    def __init__(self, lab: Lab, log: str) -> None:
        self._path = lab.path(log)
        self._start = 0

    def log(self) -> str:
        """What it wrote since the last `clear`."""
        with self._path.open("rb") as file:
            file.seek(self._start)
            return file.read().decode("utf-8", "replace")

    def records(self) -> list[dict[str, Any]]:
        """The same, of a daemon that writes JSON lines."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def clear(self) -> None:
        """Forget what it wrote."""
        self._start = self._path.stat().st_size

    def wait_for(self, text: str, timeout: float = 3.0) -> bool:
        """Does `text` come up in the log within `timeout` seconds?"""
        end = time.monotonic() + timeout
        while text not in self.log():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True


def start(
    lab: Lab,
    name: str,
    argv: Sequence[str],
    places: Sequence[tuple[str, int]],
    *,
    user: str | None = None,
    env: Mapping[str, str | None] | None = None,
) -> Daemon:
    """Start a program once for each lab, and wait until it accepts connections.

    :param places: addresses and ports it must listen on
    :raises LabError: when it does not start; its log is in the message
    """
    log = f"{world.STATE}/{name}.log"
    with lab.path(log).open("wb") as output:
        process = lab.popen(
            argv, user=user, env=env, where="internet", stdout=output, stderr=output
        )
    lab.daemons[name] = Daemon(lab, log)
    for address, port in places:
        probe = lab.run(["/usr/bin/python3", "-c", _CONNECT, address, str(port)], where="internet")
        if probe.returncode or process.poll() is not None:
            said = lab.daemons.pop(name).log()
            raise LabError(
                f"{name} does not listen on {address}:{port}: {said or probe.stderr.decode()}"
            )
    return lab.daemons[name]


def certificate(lab: Lab, name: str, directory: str, owner: int = 0) -> tuple[str, str]:
    """Write key and certificate for a name; their paths in the lab."""
    key, mark, rest = lab.leaf(name).partition(b"-----BEGIN CERTIFICATE-----")
    place = lab.path(directory)
    place.mkdir(mode=0o755, exist_ok=True)
    for file, data in (("leaf.key", key), ("leaf.pem", mark + rest)):
        (place / file).write_bytes(data)
        (place / file).chmod(0o600)
        os.chown(place / file, owner, owner)
    return f"{directory}/leaf.key", f"{directory}/leaf.pem"


def unpacked(package: str) -> Path:
    """Where scripts/lib/clients.sh unpacks a Debian package that is not installed."""
    return clients_environment().parent / "servers" / package


def libraries(package: str) -> dict[str, str | None]:
    """Environment with which programs of an unpacked package find their libraries."""
    root = unpacked(package)
    places = [*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*")]
    return {"LD_LIBRARY_PATH": ":".join(map(str, places))} if places else {}
