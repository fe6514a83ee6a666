"""Open TLS connections, use each once, and keep them open.

    python3 -I idle.py HOST PORT SERVER-NAME COUNT FILE

Makes FILE when all are open, and waits to be killed.
"""

from __future__ import annotations

import pathlib
import resource
import signal
import socket
import ssl
import sys


def main() -> None:
    """Open, ask, wait."""
    host, port, name, count, ready = sys.argv[1:]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # as wrk: the client's side is not what is measured
    address = (socket.gethostbyname(host), int(port))
    request = f"GET /1k HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
    kept = []
    for _ in range(int(count)):
        tls = context.wrap_socket(socket.create_connection(address, 10), server_hostname=name)
        tls.sendall(request)
        answer = tls.recv(16384)
        while len(answer) < 1024 or len(answer) - answer.index(b"\r\n\r\n") - 4 < 1024:
            answer += tls.recv(16384) or sys.exit("a connection was closed")
        if not answer.startswith(b"HTTP/1.1 200 "):
            sys.exit(f"unexpected answer: {answer[:60]!r}")
        kept.append(tls)
    pathlib.Path(ready).touch()
    signal.pause()


if __name__ == "__main__":
    main()
