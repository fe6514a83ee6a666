"""Every packet on the internet's side of the lab, with its time: what has left, and when.

Run as a program it captures, until it is killed: one JSON line a packet, `[time, hex]`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.lab.host import Lab
from tests.lab.oracle import parse
from tests.lab.programs import ROOT
from tests.lab.world import INTERNET_LINK

_TIMESTAMP = 35  # SO_TIMESTAMPNS, socket(7)


class Capture:
    """What was captured so far."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def packets(self) -> list[tuple[float, bytes]]:
        """(seconds since the epoch, IP packet) of what came from the host."""
        lines = self._file.read_text("ascii").splitlines(keepends=True)
        rows = [json.loads(line) for line in lines if line.endswith("\n")]
        return [(float(when), bytes.fromhex(data)) for when, data in rows]

    def asked(self, name: str) -> list[float]:
        """When packets with this name as DNS writes it were seen, whatever their port."""
        labels = (bytes([len(label)]) + label for label in name.lower().encode("ascii").split(b"."))
        wire = b"".join(labels)
        return [when for when, packet in self.packets() if wire in packet.lower()]

    def wait_for(self, name: str, timeout: float = 10.0) -> list[float]:
        """Like `asked`, once there is something."""
        end = time.monotonic() + timeout
        while not (found := self.asked(name)) and time.monotonic() < end:
            time.sleep(0.02)
        return found

    def queries(self) -> list[tuple[str, int]]:
        """(destination, port) of every packet to a port of DNS."""
        arrivals = [parse(packet) for _, packet in self.packets()]
        return [(a.destination, a.port) for a in arrivals if a is not None and a.port in (53, 853)]


@contextlib.contextmanager
def capturing(lab: Lab, scratch: Path) -> Iterator[Capture]:
    """Capture for as long as the context lasts."""
    file = scratch / "packets"
    with file.open("wb") as out:
        program = [sys.executable, "-m", "tests.lab.capture"]
        running = lab.popen(
            program, where="internet", stdout=out, env={"PYTHONPATH": str(ROOT)}, cwd="/"
        )
    try:
        end = time.monotonic() + 20
        while not file.stat().st_size:
            if running.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the capture did not start: {running.communicate()[1]!r}")
            time.sleep(0.01)
        yield Capture(file)
    finally:
        running.kill()
        running.communicate()


def main() -> None:
    """Capture until killed."""
    link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))  # ETH_P_ALL
    link.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
    link.bind((INTERNET_LINK, 3))
    sys.stdout.write(json.dumps([time.time(), ""]) + "\n")
    sys.stdout.flush()
    while True:
        packet, control, _, where = link.recvmsg(65_536, socket.CMSG_SPACE(16))
        seconds, nanoseconds = struct.unpack("qq", control[0][2])  # when it came, not when read
        if where[2] != 4:  # PACKET_OUTGOING, packet(7)
            sys.stdout.write(json.dumps([seconds + nanoseconds / 1e9, packet.hex()]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
