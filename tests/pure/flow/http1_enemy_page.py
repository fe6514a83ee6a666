"""docs/http1.md, made from the tables: `python -m tests.pure.flow.http1_enemy_page > docs/http1.md`."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Sequence

from tests.pure.flow.http1_enemy import REQUESTS
from tests.pure.flow.http1_enemy_responses import RESPONSES

_START = """\
# HTTP/1.1, case by case

What is read in two ways by two parsers is refused; what passes is written afresh. Every row is a test in
tests/pure/flow/test_http1_enemy.py: fed whole, byte by byte, and in one read with requests before and after
it. This page is what `python -m tests.pure.flow.http1_enemy_page` printed; a test holds it against the tables.

A refusal that ends the connection does so because nobody can say where the next request begins. What
cannot become valid is refused at once, not waited for; what only does not go on runs into
`limits.header_seconds`, `body_seconds` or `idle_seconds`.

| leniency | why |
|---|---|
| up to two empty lines before a request | RFC 9112 section 2.2; old clients send them after a body |
| 8-bit characters in values and reason phrases | RFC 9110 section 5.5; real names and file names |
| raw UTF-8 in a target, escaped for upstream | clients do it; one reading |
| leading zeros in lengths and chunk sizes | RFC 9110 section 8.6; one reading |
| servers only: Content-Length twice with one value, white space after a chunk size, no reason phrase | one reading, and servers that do it are in use |

| strictness beyond the RFC | why |
|---|---|
| methods in capitals only | a rule for POST must not be passed by with `post`, which some servers take for it |
| TRACE and TRACK | their response repeats the request, with what was added on the way |
| an empty Host field | RFC 9110 section 7.2 has it for targets without authority, which HTTP requests have not |
| Connection that names Host, framing or content fields | taken away, the message means something else |
| dot segments, also encoded, between slashes of any spelling | clients take them out; servers differ |
| both framings in a response | RFC 9112 section 6.3 lets Transfer-Encoding win; it is an attack or a broken server |

| limit | value | beyond it |
|---|---|---|
| request head | `limits.header_bytes`, `header_count` | 403 `limit_exceeded` |
| response head | the same | 502 `upstream_malformed` |
| time for a request head, from its first byte | `limits.header_seconds` | 504 `timeout`, closed; nothing was judged or sent |
| time for a body that is held | `limits.body_seconds`, and `idle_seconds` between reads | 504 `timeout`, closed |
| silence of upstream, its whole head included | `limits.idle_seconds` | 504 `timeout`; a response that has begun is cut with a reset |
| silence between requests | `limits.idle_seconds` | closed, no event |
| interim responses before a final one | 16 | 502 `upstream_malformed` |
| line of a chunk size | 1024 bytes | 403 `limit_exceeded`, 502 |
| extensions beyond twice the content they come with | 16 KB in a body | 403 `limit_exceeded`, 502 |
| trailers | 32 fields, 8 KB | 403 `limit_exceeded`, 502 |
| bytes read ahead behind a request | 64 KB | not read before it is answered |
| rest of a refused body | 1 MB | read away up to that; beyond it the connection ends |
| connections of a jail | `limits.connections` | reset, `limit_exceeded` |
"""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _shown(sent: Sequence[bytes], data: bytes) -> str:
    """What goes on, without what is the same in every row."""
    if not sent:
        return "nothing"
    if b"".join(sent) == data:
        return "the same"
    text = " and ".join(
        piece.replace(b"Host: api.example.com\r\n", b"").decode("latin-1") for piece in sent
    )
    text = text.replace("\r\n", "⏎")
    return f"`{text}`" if text.isascii() or "⏎" in text else ascii(text)


def page() -> str:
    """docs/http1.md."""
    lines = [_START, "## What the agent sends", ""]
    for name, asked in REQUESTS.items():
        lines += [
            f"### {name}",
            "",
            _row("case", "answer", "reason", "connection", "upstream gets", "why"),
        ]
        lines.append("|---|---|---|---|---|---|")
        lines += [
            _row(
                case.name,
                ", ".join(map(str, case.statuses)),
                f"`{case.reason}`" if case.reason else "",
                "kept" if case.kept else "closed",
                _shown(case.sent, case.data),
                case.why,
            )
            for case in asked
        ]
        lines.append("")
    lines += ["## What upstream answers", ""]
    for name, answered in RESPONSES.items():
        lines += [
            f"### {name}",
            "",
            _row("case", "the agent gets", "reason", "its connection", "upstream's", "why"),
        ]
        lines.append("|---|---|---|---|---|---|")
        lines += [
            _row(
                case.name,
                "a cut response" if case.status == 200 and case.reason else str(case.status),
                f"`{case.reason}`" if case.reason else "",
                "kept" if case.kept else "closed",
                "kept" if case.reused else "closed",
                case.why,
            )
            for case in answered
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
