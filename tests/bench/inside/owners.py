"""How long it takes to find who holds a new connection.  PYTHONPATH=... owners.py TIMES

Prints JSON: descriptors that the client holds beside it -> microseconds of each question, with a
client that closes its connections (`reuses`) and one that keeps them (`keeps`).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

from netns.socket_owner import Asked, Looker, open_diagnostics

HELD = (0, 20, 200)
_CLIENT = """
import socket, sys
port, held, keeps = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "keeps"
kept = [socket.create_connection(("127.0.0.1", port)) for _ in range(held)]
while True:
    last = socket.create_connection(("127.0.0.1", port))
    if not sys.stdin.readline():
        break
    if keeps:
        kept.append(last)
    else:
        last.close()
"""


def measure(held: int, kind: str, times: int) -> list[float]:
    """Microseconds of `times` questions."""
    taken = []
    loopback = socket.inet_aton("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        port = server.getsockname()[1]
        command = [sys.executable, "-c", _CLIENT, str(port), str(held), kind]
        with (
            subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as client,
            open_diagnostics() as diagnostics,
        ):
            assert client.stdin is not None
            looker = Looker(diagnostics, os.getpid())
            accepted = [server.accept()[0] for _ in range(held)]
            for _ in range(times):
                connection, source = server.accept()
                accepted.append(connection)
                begin = time.perf_counter()
                found = looker.owner(Asked("f", 6, loopback, source[1], loopback, port))
                taken.append((time.perf_counter() - begin) * 1e6)
                if found is None or found.pid != client.pid:
                    sys.exit("the owner was not found")
                client.stdin.write("\n")
                client.stdin.flush()
            client.stdin.close()
            for connection in accepted:
                connection.close()
    return taken


if __name__ == "__main__":
    number = int(sys.argv[1])
    print(
        json.dumps(
            {
                f"{held} {kind}": measure(held, kind, number)
                for held in HELD
                for kind in ("reuses", "keeps")
            }
        )
    )
