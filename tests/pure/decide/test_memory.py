"""Secrets that are cut over values and over requests: found with their last piece, not before."""

from __future__ import annotations

import base64
import functools
import itertools
import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.decide.memory import FORGET, SplitMemory
from interceptor.model import Target
from interceptor.scan.engine import RawFinding, Scanner
from interceptor.scan.ruleset import KnownSecret, Ruleset, example, parse_rules
from tests.split_traffic import JSON, NUMBERED, WAYS, Ordinary, Unit, Way, cut, unit

RULES = b"""
version = 1
[[rule]]
id = "checked"
title = "With a checksum"
pattern = 'gh[pousr]_[A-Za-z0-9]{36}'
severity = "high"
validator = "crc32"
[[rule]]
id = "short"
title = "With a short prefix"
pattern = '(?:AKIA|ASIA)[A-Z2-7]{16}'
severity = "high"
validator = "key-id"
[[rule]]
id = "exact"
title = "That must end where it ends"
pattern = 'zq1_[a-z0-9]{20}'
severity = "high"
validator = "whole-mixed"
[[rule]]
id = "open-ended"
title = "With a telling prefix, and a tail that the pattern does not cover"
pattern = 'sk-own-v1-[A-Za-z0-9_-]{40}'
severity = "high"
validator = "varied"
[[rule]]
id = "in-context"
title = "That only words beside it tell"
kind = "contextual"
pattern = 'own_password=([a-z0-9]{16})'
severity = "high"
"""
KNOWN = b"Correct/horse+battery=staple 41!"
SECRETS = {
    "checked": example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "memory"),
    "short": example(["AK", "IA", "{upper32:16}"], "memory 2"),
    "exact": example(["zq", "1_", "{lower:20}"], "memory"),
    "open-ended": example(["sk", "-own-v1-", "{url64:55}"], "memory"),
}
KEY = b"k" * 16


@functools.cache
def scanner() -> Scanner:
    rules = Ruleset(parse_rules(RULES, "test"))
    own = KnownSecret(id="known:OWN", title="OWN", value=KNOWN)
    return Scanner.build(rules, None, [own], KEY)


def memory() -> SplitMemory:
    return SplitMemory(scanner(), KEY)


def send(
    agent: SplitMemory, one: Unit, now: float = 0.0, *, leaves: bool = True
) -> list[tuple[str, RawFinding]]:
    """Judge a request as far as the memory goes; it leaves unless something is found."""
    pieces = agent.pieces(*one)
    if pieces is None:
        return []
    found = agent.look(pieces, now)
    if leaves and not found:
        agent.keep(pieces, now)
    return found


def ids(found: Iterable[tuple[str, RawFinding]]) -> list[str]:
    return [scanner().rules[raw.rule].id for _, raw in found]


def drip(
    agent: SplitMemory,
    way: Way,
    text: bytes,
    count: int,
    *,
    order: Iterable[int] = (),
    encode: Callable[[bytes], bytes] = bytes,
) -> tuple[int, list[tuple[str, RawFinding]]]:
    """Send pieces until one is refused; return how many left, and what was found."""
    pieces = cut(text, count)
    for sent, number in enumerate(order or range(count)):
        found = send(agent, way(number + 1, count, encode(pieces[number])), float(sent))
        if found:
            return sent, found
    return count, []


@pytest.mark.parametrize("count", [2, 3, 5, 20])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rule", SECRETS)
def test_found_with_the_last_piece(rule: str, way: str, count: int) -> None:
    if way == "mixed" and count == len(SECRETS[rule]):
        return  # single bytes, each another way: equal ones cannot be told from repetitions
    sent, found = drip(memory(), WAYS[way], SECRETS[rule], count)
    assert ids(found) == [rule]
    assert found[0][1].encoding == "requests"
    assert found[0][1].digest == scanner().scan(SECRETS[rule], "body", KEY).findings[0].digest
    # What the pattern covers was complete with this piece, and not before.
    covered = 50 if rule == "open-ended" else len(SECRETS[rule])
    assert sum(map(len, cut(SECRETS[rule], count)[:sent])) < covered
    assert sum(map(len, cut(SECRETS[rule], count)[: sent + 1])) >= covered


@pytest.mark.parametrize("way", ["query", "path", "json", "headers", "hosts", "mixed"])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_known_secrets(way: str, count: int) -> None:
    text = KNOWN.replace(b"/", b"_").replace(b" ", b"_") if way == "path" else KNOWN
    if way == "path":
        own = KnownSecret(id="known:OWN", title="OWN", value=text)
        agent = SplitMemory(scanner().with_secrets([own], KEY), KEY)
    else:
        agent = memory()

    def quoted(number: int, total: int, piece: bytes) -> Unit:
        plain = "".join(f"%{b:02x}" if chr(b) in " /+=!?&" else chr(b) for b in piece)
        coded = plain.encode() if way in ("query", "hosts", "mixed") else piece
        return WAYS["query" if way == "mixed" else way](number, total, coded)

    sent, found = drip(agent, quoted, text, count)
    assert (sent, len(found)) == (count - 1, 1)
    assert agent.scanner.rules[found[0][1].rule].id == "known:OWN"


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "base64": lambda text: base64.b64encode(b"KEY=" + text),
    "base64url": lambda text: base64.urlsafe_b64encode(b"a " + text),
    "hex": lambda text: text.hex().encode(),
    "HEX": lambda text: text.hex().upper().encode(),
}


@pytest.mark.parametrize("count", [2, 5, 20])
@pytest.mark.parametrize("way", ["query", "path", "json", "hosts"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pieces_of_an_encoding(encoding: str, way: str, count: int) -> None:
    text = ENCODINGS[encoding](SECRETS["checked"])
    _, found = drip(memory(), WAYS[way], text, count)
    assert ids(found) == ["checked"]
    assert found[0][1].encoding.startswith("requests>")


@pytest.mark.parametrize("encode", [base64.b64encode, lambda piece: piece.hex().encode()])
@pytest.mark.parametrize("way", ["query", "headers", "json", "hosts"])
@pytest.mark.parametrize("count", [2, 3, 20])
def test_pieces_each_in_an_encoding(way: str, count: int, encode: Callable[[bytes], bytes]) -> None:
    sent, found = drip(memory(), WAYS[way], SECRETS["checked"], count, encode=encode)
    assert (sent, ids(found)) == (count - 1, ["checked"])


@pytest.mark.parametrize("way", NUMBERED)
@pytest.mark.parametrize("count", [3, 5, 20])
@pytest.mark.parametrize("rule", ["checked", "exact"])
def test_numbered_pieces_in_any_order(way: str, rule: str, count: int) -> None:
    for seed in range(5):
        order = list(range(count))
        random.Random(seed).shuffle(order)
        sent, found = drip(memory(), NUMBERED[way], SECRETS[rule], count, order=order)
        assert (sent, ids(found)) == (count - 1, [rule]), (seed, order)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [2, 5, 20])
def test_other_traffic_between_the_pieces(way: str, count: int) -> None:
    agent = memory()
    for one in Ordinary(1).units(20):
        assert send(agent, one) == []
    traffic = Ordinary(2).units(100)
    pieces = cut(SECRETS["checked"], count)
    for number, piece in enumerate(pieces):
        assert not send(agent, next(traffic)), number
        found = send(agent, WAYS[way](number + 1, count, piece))
        assert bool(found) == (number == count - 1), number


@pytest.mark.parametrize("way", ["query", "path", "json", "cookie"])
@pytest.mark.parametrize("count", [3, 8])
def test_pieces_that_are_sent_twice(way: str, count: int) -> None:
    agent = memory()
    pieces = cut(SECRETS["checked"], count)
    for number, piece in enumerate(pieces[:-1]):
        for _ in range(2):
            assert not send(agent, WAYS[way](number + 1, count, piece))
    assert ids(send(agent, WAYS[way](count, count, pieces[-1]))) == ["checked"]


def test_equal_small_pieces_count_each() -> None:
    secret = b"AK" + b"IA" + b"QQ33RRWW44TTYYZ5"
    for way in ("query", "path", "header", "json"):
        agent = memory()
        for byte in secret[:-1]:
            assert not send(agent, WAYS[way](1, 1, bytes((byte,))))
        assert ids(send(agent, WAYS[way](1, 1, secret[-1:]))) == ["short"], way


WITHIN = {
    "query": lambda a, b, c: unit(f"/x?a={a}&b={b}&c={c}&region=eu"),
    "path": lambda a, b, c: unit(f"/{a}/{b}/{c}"),
    "headers": lambda a, b, c: unit(
        "/", (b"x-a", a.encode()), (b"x-b", b.encode()), (b"x-c", c.encode())
    ),
    "cookies": lambda a, b, c: unit("/", (b"cookie", f"a={a}; b={b}; c={c}".encode())),
    "json fields": lambda a, b, c: unit(
        "/", JSON, body=f'{{"provider": "aws", "k": "{a}", "m": "{b}", "n": "{c}"}}'.encode()
    ),
    "json array": lambda a, b, c: unit("/", JSON, body=f'["{a}", "{b}", "{c}"]'.encode()),
    "json in lines": lambda a, b, c: unit(
        "/", JSON, body=f'{{\n  "d": [\n    "{a}",\n    "{b}",\n    "{c}"\n  ]\n}}'.encode()
    ),
    "everywhere": lambda a, b, c: unit(
        f"/x?a={a}", (b"x-b", b.encode()), JSON, body=f'{{"c":"{c}"}}'.encode()
    ),
    "numbers": lambda a, b, c: unit(f"/x?p3={c}&p1={a}&p2={b}"),
}


@pytest.mark.parametrize("rule", ["checked", "short", "open-ended"])
@pytest.mark.parametrize("carrier", WITHIN)
def test_within_one_request(carrier: str, rule: str) -> None:
    a, b, c = (piece.decode() for piece in cut(SECRETS[rule], 3))
    one: Unit = WITHIN[carrier](a, b, c)
    for earlier in ([unit("/")], Ordinary(3).units(30), []):
        agent = memory()
        for other in earlier:
            send(agent, other)
        # In a first request of all, fields that are always the same come between.
        if earlier or carrier != "everywhere":
            found = send(agent, one)
            assert ids(found) == [rule]
            assert found[0][1].encoding == "fields"


def test_the_place_is_that_of_the_last_piece() -> None:
    a, b = (piece.decode() for piece in cut(SECRETS["checked"], 2))
    for last, where in (
        (unit(f"/?d={b}"), "url"),
        (unit(f"/{b}"), "url"),
        (unit("/", (b"x-data", b.encode())), "header:x-data"),
        (unit("/", (b"cookie", b"d=" + b.encode())), "header:cookie"),
        (unit("/", JSON, body=f'{{"d":"{b}"}}'.encode()), "body"),
    ):
        agent = memory()
        send(agent, unit(f"/?first={a}"))
        assert [place for place, _ in send(agent, last)] == [where]


def test_whole_secrets_are_for_others() -> None:
    """The ordinary scan has them: at home they pass, and must not be found as pieces here."""
    agent = memory()
    whole = unit("/v1", (b"x-api-key", SECRETS["checked"]), (b"x-note", SECRETS["open-ended"]))
    for number in range(50):
        _, fields, body = whole
        again = Target("https", "api.vendor.example", 443, "GET", f"/v1/{number}")
        assert send(agent, (again, fields, body)) == []
    # It is found in pieces for all that.
    sent, found = drip(agent, WAYS["query"], SECRETS["checked"], 3)
    assert (sent, ids(found)) == (2, ["checked"])


def test_what_is_refused_has_not_left() -> None:
    agent = memory()
    first, middle, last = cut(SECRETS["checked"], 3)
    way = WAYS["query"]
    assert not send(agent, way(1, 3, first))
    for _ in range(3):
        assert not send(agent, way(2, 3, middle), leaves=False)  # refused for another reason
    assert not send(agent, way(3, 3, last), leaves=False)
    assert not send(agent, way(2, 3, middle))
    for _ in range(3):  # what left stays, and each try to complete it is refused
        assert ids(send(agent, way(3, 3, last))) == ["checked"]


@pytest.mark.parametrize("count", [2, 5, 20])
def test_a_refused_piece_is_refused_after_other_values_too(count: int) -> None:
    agent = memory()
    *pieces, last = cut(SECRETS["checked"], count)
    for number, piece in enumerate(pieces):
        assert not send(agent, WAYS["query"](number, count, piece))
    for word in ("harmless_words", "also_fine_too", "47_11_x", "08_15_x"):
        assert ids(send(agent, WAYS["query"](count, count, last))) == ["checked"]
        assert not send(agent, WAYS["query"](count, count, word.encode()))
    # All over again: what was sent once is known, and the last piece is what it was.
    for number, piece in enumerate(pieces if count < 20 else []):
        assert not send(agent, WAYS["query"](number, count, piece))
    assert ids(send(agent, WAYS["query"](count, count, last))) == ["checked"]


def test_an_hour_of_silence_is_forgotten() -> None:
    first, last = cut(SECRETS["checked"], 2)
    for wait, expected in ((FORGET - 1, ["checked"]), (FORGET + 1, [])):
        for way in ("query", "hosts", "mixed"):
            agent = memory()
            assert not send(agent, WAYS[way](1, 2, first), 10.0)
            assert ids(send(agent, WAYS[way](2, 2, last), 10.0 + wait)) == expected, way
    agent = memory()
    for number, piece in enumerate(cut(SECRETS["checked"], 4)):  # a slow drip is no silence
        found = send(agent, WAYS["query"](number + 1, 4, piece), number * (FORGET - 1))
    assert ids(found) == ["checked"]


def test_rules_that_need_words_are_not_put_together() -> None:
    agent = memory()
    assert not send(agent, unit("/?d=own_password="))
    assert not send(agent, unit("/?d=0a1b2c3d4e5f6071"))


@pytest.mark.parametrize(
    "values",
    [
        ("ghp_", "{}", "commits/4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
        ("AKIA", "QWERTYUIOPASDFGHJKLZXCVBNM"),
        ("sk-own-v1-", "the-quick-brown-fox-jumps-over-the-lazy-dog-and-then-some"),
        ("zq1_", "0123456789abcdef0123456789abcdef"),
    ],
)
def test_a_prefix_alone_is_no_first_piece_of_what_follows(values: tuple[str, ...]) -> None:
    """Someone reads about a format, and then goes on with other work."""
    agent = memory()
    assert not send(agent, unit(f"/search?q={values[0]}", host="docs.example"))
    for value in values[1:]:
        assert not send(agent, unit(f"/repos/{value}", host="git.example"))
        assert not send(agent, unit("/x", JSON, body=f'{{"id":"{value}"}}'.encode()))


def test_ordinary_traffic_gives_no_finding(scanner: Scanner) -> None:
    agent = SplitMemory(scanner, KEY)  # all the rules that ship
    for number, one in enumerate(Ordinary(4).units(3000)):
        assert send(agent, one, float(number)) == [], one


def test_memory_is_bounded() -> None:
    agent = memory()
    draw = random.Random(5)
    for number in range(6000):
        pairs = "&".join(f"k{draw.randrange(10**9)}={draw.randbytes(90).hex()}" for _ in range(4))
        host = f"h{draw.randrange(10**6)}.site{draw.randrange(2000)}.example"
        send(agent, unit(f"/{draw.randbytes(100).hex()}?{pairs}", host=host), float(number))
        assert agent.size < 1_500_000
    for number in range(3000):  # and one host alone
        pairs = "&".join(f"k{draw.randrange(10**9)}={draw.randbytes(90).hex()}" for _ in range(4))
        rows = "&".join(f"part{draw.randrange(10**4)}={draw.randbytes(9).hex()}" for _ in range(4))
        send(agent, unit(f"/x?{pairs}&{rows}"), 9000.0 + number)
        assert agent.size < 1_500_000
    # What matters is still seen.
    _, found = drip(agent, WAYS["query"], SECRETS["checked"], 5)
    assert ids(found) == ["checked"]


def test_messages() -> None:
    for shape in (b"%b", b'{"type":"m","d":"%b"}', b"\x0a\x08%b\x18\x01\xff"):
        agent = memory()
        pieces = cut(SECRETS["checked"], 5)
        for number, piece in enumerate(pieces):
            message = agent.note("chat.example", "ws_message", shape % piece)
            assert message is not None
            found = agent.look(message, 0.0)
            assert bool(found) == (number == 4)
            agent.keep(message, 0.0)
        assert found[0][0] == "ws_message"
        assert ids(found) == ["checked"]
    assert memory().note("chat.example", "ws_message", b"") is None


def test_messages_and_requests_go_together() -> None:
    agent = memory()
    first, last = cut(SECRETS["checked"], 2)
    message = agent.note("chat.example", "ws_message", first)
    assert message is not None
    assert agent.look(message, 0.0) == []
    send(agent, unit("/"))
    agent.keep(message, 0.0)
    assert ids(send(agent, unit(f"/?d={last.decode()}"))) == ["checked"]


def test_nothing_new_is_nothing() -> None:
    agent = memory()
    one = unit("/api/v1/users?page=1&limit=50", body=b'{"name": "constant", "n": 1}')
    assert agent.pieces(*one) is not None
    send(agent, one)
    assert agent.pieces(*one) is None
    assert agent.pieces(*unit("/api/v1/users?page=2&limit=50")) is not None


def test_another_scanner_takes_over() -> None:
    agent = memory()
    secret = b"own9-" + b"abc4567defghi8"
    first, last = cut(secret, 2)
    rules = (
        RULES
        + b"""
[[rule]]
id = "later"
title = "A rule that was added"
pattern = 'own9-[a-z0-9]{14}'
severity = "high"
"""
    )
    assert not send(agent, unit(f"/?d={first.decode()}"))
    assert not send(agent, unit(f"/?d={last.decode()}"), leaves=False)
    agent.scanner = Scanner.build(Ruleset(parse_rules(rules, "test")), None)
    assert not send(agent, unit(f"/?d={first.decode()}"))
    found = send(agent, unit(f"/?d={last.decode()}"))
    assert [agent.scanner.rules[raw.rule].id for _, raw in found] == ["later"]


@settings(deadline=None, max_examples=150)
@given(
    cuts=st.lists(st.integers(1, 39), min_size=1, max_size=6, unique=True),
    # Constant words of the right length could stand for a piece in the other ways.
    way=st.sampled_from(
        ["query", "path", "header", "headers", "text", "multipart", "grpc", "hosts"]
    ),
)
def test_cut_anywhere(cuts: list[int], way: str) -> None:
    secret = SECRETS["checked"]
    ends = [0, *sorted(cuts), len(secret)]
    agent = memory()
    send(agent, unit("/"))  # fields that are always the same come between no more
    for number, (start, end) in enumerate(itertools.pairwise(ends)):
        found = send(agent, WAYS[way](number + 1, len(cuts) + 1, secret[start:end]))
        assert bool(found) == (end == len(secret))
    assert ids(found) == ["checked"]


_BYTES = st.binary(max_size=60)
_NAMES = st.sampled_from([b"cookie", b"content-type", b"x-a", b"user-agent", b"authorization"])


@settings(deadline=None, max_examples=150)
@given(
    units=st.lists(
        st.tuples(
            st.sampled_from(["a.example", "b.a.example", "10.0.0.1", "::1", "x", ""]),
            st.text(max_size=40),
            st.lists(st.tuples(_NAMES, _BYTES), max_size=4),
            st.one_of(_BYTES, st.binary(max_size=3000)),
            st.floats(0, 10_000),
        ),
        max_size=8,
    )
)
def test_anything_may_be_sent(
    units: list[tuple[str, str, list[tuple[bytes, bytes]], bytes, float]],
) -> None:
    agent = memory()
    now = 0.0
    for host, path, fields, body, wait in units:
        now += wait
        target = Target("https", host, 443, "POST", "/" + path)
        pieces = agent.pieces(target, fields, body)
        if pieces is not None:
            agent.look(pieces, now)
            agent.keep(pieces, now)
        message = agent.note(host, "stream", body)
        if message is not None:
            agent.keep(message, now)  # a look is not needed
    assert agent.size < 200_000
