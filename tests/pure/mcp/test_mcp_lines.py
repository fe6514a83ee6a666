"""Lines within bounded memory, and messages of a server's that steer no terminal."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from interceptor.mcp.lines import Lines, TooLong
from interceptor.mcp.stderr import BURST, RATE, Messages


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    parts, at = [], 0
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    return [part for part in [*parts, data[at:]] if part]


@given(
    st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b" ")), max_size=8),
    st.lists(st.integers(1, 20), max_size=40),
)
def test_lines_are_the_same_however_they_come(lines: list[bytes], sizes: list[int]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    reader = Lines(20)
    found: list[bytes | TooLong] = []
    for part in cut(data, sizes):
        found += reader.feed(part)
    assert not list(reader.end())
    expected = [line for line in lines if len(line) > 20 or (line and not line.isspace())]
    assert len(found) == len(expected)
    for one, line in zip(found, expected, strict=True):
        if len(line) > 20:
            assert isinstance(one, TooLong)
            assert (one.size, one.head, one.tail) == (len(line), line, line)
        else:
            assert one == line


def test_a_line_without_an_end_costs_constant_memory() -> None:
    reader = Lines(1 << 20)
    head = b'{"jsonrpc":"2.0","id":"a-7","result":{"t":"'
    block = b"x" * (1 << 16)
    tracemalloc.start()
    list(reader.feed(head))
    for _ in range(1 << 12):  # 256 MiB
        list(reader.feed(block))
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    (line,) = reader.feed(b'"}}\n{"next"')
    assert isinstance(line, TooLong)
    assert line.size == len(head) + (1 << 28) + 3
    assert line.ident == "a-7"
    assert list(reader.end()) == [b'{"next"']


def test_the_id_of_a_line_that_is_too_long() -> None:
    def ident(head: bytes, tail: bytes) -> str | int | None:
        return TooLong(9_999_999, head, tail).ident

    assert ident(b'{"jsonrpc": "2.0", "id": 12, "method"', b"x") == 12
    assert ident(b'{"method":"tools/call","params":{', b'"}},"jsonrpc":"2.0","id":3}') == 3
    assert ident(b'{"method":"tools/call","params":{', b'"}},"id":"q","jsonrpc":"2.0"}') == "q"
    assert ident(b'{"method":"tools/call","params":{', b'"x":{"id":3}}') is None  # another's
    assert ident(b'{"id":' + b"9" * 900, b"9" * 900) is None
    assert ident(b"aaaa", b"aaaa") is None


def test_what_steers_a_terminal_is_replaced() -> None:
    out = Messages(terminal=True, now=0.0)
    said = b"\x1b]0;title\x07 \x1b[31mred\r\n\ttab \xc2\x9b31m gr\xc3\xbc\xc3\x9f \x7f"
    assert out.pass_on(said, 0.0).decode() == "?]0;title? ?[31mred\r\n\ttab ?31m grüß ?"
    assert out.pass_on(b"a\xc2", 0.0) == b"a"  # one control in two reads
    assert out.pass_on(b"\x9b", 0.0) == b"?"
    assert Messages(terminal=False, now=0.0).pass_on(said, 0.0) == said  # a log keeps it


def test_a_flood_of_messages_is_cut() -> None:
    out = Messages(terminal=False, now=0.0)
    total = sum(len(out.pass_on(b"x" * 65_536, 0.0)) for _ in range(100))
    assert total == BURST
    later = out.pass_on(b"y", 10.0)
    assert b"%d bytes" % (100 * 65_536 - BURST) in later
    assert later.endswith(b"y")
    assert out.pass_on(b"z" * RATE * 9, 10.0) == b"z" * (RATE * 9)
