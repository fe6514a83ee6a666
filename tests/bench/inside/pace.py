"""One kept connection, requests at a steady rate: how long each took.

    python3 -I pace.py HOST PORT SERVER-NAME RATE SECONDS

Prints a JSON list of microseconds.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import time


def main() -> None:
    """Ask, wait, ask again."""
    host, port, name, rate, seconds = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # as wrk: the client's side is not what is measured
    taken: list[float] = []
    plain = socket.create_connection((host, int(port)), 10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(plain, server_hostname=name) as tls:
        begin = time.perf_counter()
        count = int(float(rate) * float(seconds))
        for number in range(count):
            pause = begin + number / float(rate) - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            request = f"GET /1k?n={number} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
            asked = time.perf_counter()
            tls.sendall(request)
            answer = tls.recv(16384)
            while len(answer) < 1024 or len(answer) - answer.index(b"\r\n\r\n") - 4 < 1024:
                answer += tls.recv(16384) or sys.exit("the connection was closed")
            taken.append((time.perf_counter() - asked) * 1e6)
            if not answer.startswith(b"HTTP/1.1 200 "):
                sys.exit(f"unexpected answer: {answer[:60]!r}")
    print(json.dumps([round(value, 1) for value in taken[5:]]))  # the first ones connect


if __name__ == "__main__":
    main()
