"""Carries out rows of the SSRF table: connects, speaks, and prints what it was told.

Rows come on standard input as JSON, `[[host, port, [hexadecimal piece, ...]], ...]`; what came of
each goes to standard output: the reason of a refusal, `refused` for one without a reason, `200`,
`oracle`, or the local error.
"""

from __future__ import annotations

import concurrent.futures
import json
import re
import socket
import sys

_REASON = re.compile(rb'"reason": ?"([a-z_]+)"')
_SOCKS = (b"\x05\x02", b"\x00\x5b")
"""A proxy's refusal (RFC 1928 section 6: not allowed by the ruleset), which has no words."""
_OVER = re.compile(rb'"reason": ?"([a-z_]+)"|you reached the oracle|"method": "GET"')


def outcome(host: str, port: int, pieces: list[str]) -> str:
    try:
        with socket.create_connection((host, port), 10) as end:
            reply = b""
            for number, piece in enumerate(pieces):
                end.sendall(bytes.fromhex(piece))
                reply = b""
                while not _OVER.search(reply):
                    more = end.recv(65536)
                    reply += more
                    if not more or (number < len(pieces) - 1 and b'{"error"' not in reply):
                        break
                if _OVER.search(reply) or reply.startswith(_SOCKS):
                    break
    except OSError as error:
        return type(error).__name__
    found = _REASON.search(reply)
    if found is not None:
        return found[1].decode()
    if reply.startswith(_SOCKS):
        return "refused"
    if b"oracle" in reply:
        return "oracle"
    return "200" if b'"method": "GET"' in reply else f"ended with {reply[:60]!r}"


if __name__ == "__main__":
    rows = json.load(sys.stdin)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        json.dump(list(pool.map(lambda row: outcome(*row), rows)), sys.stdout)
