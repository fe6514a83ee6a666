"""Send datagrams at a rate.  flood.py ADDRESS PORT PACKETS_A_SECOND SECONDS

Prints how many a second were sent. Refusals (ECONNREFUSED, EACCES, EHOSTUNREACH) are what is
expected of a jail; the datagram was sent all the same.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time

_SLICE = 0.002  # seconds


def main() -> None:
    """Send, slice by slice."""
    address, port, rate, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    target, payload = (address, port), b"flood" * 10
    portion = max(1, int(rate * _SLICE))
    begin = at = time.monotonic()
    end = begin + float(seconds)
    sent = 0
    while at < end:
        for _ in range(portion):
            with contextlib.suppress(OSError):
                sock.sendto(payload, target)
        sent += portion
        ahead = begin + sent / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        at = time.monotonic()
    print(int(sent / (at - begin)))


if __name__ == "__main__":
    main()
