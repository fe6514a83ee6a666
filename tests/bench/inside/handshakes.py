"""Full TLS handshakes with one request each, from a few threads, for some seconds.

    python3 -I handshakes.py HOST PORT SERVER-NAME SECONDS

Prints requests and seconds. No session is ever resumed: each connection has none to offer.
"""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import time

THREADS = 4


def main() -> None:
    """Load one server."""
    host, port, name, seconds = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # as wrk: the client's side is not what is measured
    address = (socket.gethostbyname(host), int(port))
    request = f"GET /1k HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
    counts = [0] * THREADS
    faults: list[str] = []
    begin = time.monotonic()
    end = begin + float(seconds)

    def load(index: int) -> None:
        while time.monotonic() < end and not faults:
            try:
                with (
                    socket.create_connection(address, 10) as plain,
                    context.wrap_socket(plain, server_hostname=name) as tls,
                ):
                    tls.sendall(request)
                    answer = bytearray()
                    while piece := tls.recv(16384):
                        answer += piece
                if not answer.startswith(b"HTTP/1.1 200 ") or len(answer) < 1024:
                    faults.append(f"unexpected answer: {bytes(answer[:60])!r}")
                counts[index] += 1
            except OSError as error:
                faults.append(str(error))

    threads = [threading.Thread(target=load, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        sys.exit(faults[0])
    print(sum(counts), time.monotonic() - begin)


if __name__ == "__main__":
    main()
