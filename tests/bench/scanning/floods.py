"""The worst texts we know: floods of what makes a scanner work, at any size."""

from __future__ import annotations

import base64
import codecs
import gzip
import random
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from interceptor.scan.decoders import GATES
from interceptor.scan.ruleset import Rule, example

Flood = Callable[[int], bytes]
"""Size -> text of about that size."""


def drawn(pattern: str, draw: random.Random) -> str:
    """A text that `pattern` matches: branches and characters drawn, repeats at their least."""
    return "".join(_drawn(parser.parse(pattern), draw))


def _drawn(tree: Any, draw: random.Random) -> Iterator[str]:
    for kind, value in tree:
        if kind is op.LITERAL:
            yield chr(value)
        elif kind is op.NOT_LITERAL:
            yield "x" if value != ord("x") else "y"
        elif kind is op.ANY:
            yield "x"
        elif kind is op.IN:
            yield _one_of(value, draw)
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            for _ in range(value[0]):
                yield from _drawn(value[2], draw)
        elif kind is op.SUBPATTERN:
            yield from _drawn(value[3], draw)
        elif kind is op.ATOMIC_GROUP:
            yield from _drawn(value, draw)
        elif kind is op.BRANCH:
            yield from _drawn(draw.choice(value[1]), draw)


def _one_of(choices: Sequence[Any], draw: random.Random) -> str:
    if choices[0][0] is op.NEGATE:
        return "x"
    kind, value = draw.choice(choices)
    if kind is op.RANGE:
        return chr(draw.randint(value[0], value[1]))
    if kind is op.CATEGORY:
        return {op.CATEGORY_DIGIT: "7", op.CATEGORY_SPACE: " "}.get(value, "w")
    return chr(value)


def _repeated(piece: Callable[[int], bytes]) -> Flood:
    """Flood of pieces, each given its number so that no two are the same."""

    def flood(size: int) -> bytes:
        parts = []
        length = number = 0
        while length < size:
            part = piece(number)
            parts.append(part)
            length += len(part)
            number += 1
        return b"".join(parts)[:size]

    return flood


def _cycled(pieces: Sequence[bytes]) -> Flood:
    return _repeated(lambda number: pieces[number % len(pieces)])


def prefixes(rules: Sequence[Rule]) -> list[bytes]:
    """For each rule three quarters of a match: all the work, and no finding."""
    found = []
    for rule in rules:
        text = drawn(rule.pattern, random.Random(rule.id)).encode("latin-1")
        found.append(text[: max(3, len(text) * 3 // 4)] + b" ")
    return found


def _matches(rules: Sequence[Rule]) -> Flood:
    """Matches of every rule that no validator has seen before; most do not hold."""

    def piece(number: int) -> bytes:
        rule = rules[number % len(rules)]
        return drawn(rule.pattern, random.Random(number)).encode("latin-1") + b"\n"

    return _repeated(piece)


def _secrets(rules: Sequence[Rule]) -> Flood:
    def piece(number: int) -> bytes:
        rule = rules[number % len(rules)]
        parts = rule.match[number % len(rule.match)]
        return example(parts, f"flood/{number}") + b"\n"

    return _repeated(piece)


def _decoys(rules: Sequence[Rule]) -> Flood:
    return _cycled([example(parts, "decoy") + b"\n" for rule in rules for parts in rule.no_match])


def _gates() -> Flood:
    """Every gate, over and over."""

    def piece(number: int) -> bytes:
        pattern = GATES[number % len(GATES)][1]
        return drawn(pattern, random.Random(number)).encode("latin-1") + b" "

    return _repeated(piece)


def _nested(encode: Callable[[bytes], bytes], times: int, core: bytes) -> Flood:
    """A core within `times` layers, repeated where that is still too short."""

    def flood(size: int) -> bytes:
        text = core
        for _ in range(times):
            text = encode(text)
        copies = [text.replace(b"\0", b"")]
        while sum(map(len, copies)) < size:
            inner = core + str(len(copies)).encode() * 7
            for _ in range(times):
                inner = encode(inner)
            copies.append(inner)
        return b" ".join(copies)[:size]

    return flood


def _whole(encode: Callable[[bytes], bytes], times: int) -> Flood:
    """One text wrapped `times` times as a whole."""

    def flood(size: int) -> bytes:
        draw = random.Random(size)
        text = draw.randbytes(max(1, size * 3**times // 4**times))
        for _ in range(times):
            text = encode(text)
        return text[:size]

    return flood


def _bomb(size: int) -> bytes:
    """Zlib streams of zeros within base64, each 1000 times as large as it looks."""
    return _repeated(
        lambda number: base64.b64encode(zlib.compress(b"%08d" % number + bytes(1 << 20), 9)) + b"\n"
    )(size)


def _small_bombs(size: int) -> bytes:
    """Many gzip streams, each with a small growth of its own."""
    return _repeated(
        lambda number: base64.b64encode(gzip.compress(b"%08d" % number * 40, mtime=0)) + b"\n"
    )(size)


def _numbered(template: str) -> Flood:
    return _repeated(lambda number: template.format(number, number % 10).encode())


def _zero_width(size: int) -> bytes:
    return "a\u200bb\u200c9\u2060".encode() * (size // 12)


def _full_width(size: int) -> bytes:
    shifted = "".join(chr(ord(char) + 0xFEE0) for char in "AKIAghp_sk-0123456789")
    return shifted.encode() * (size // len(shifted.encode()) + 1)


def _words(size: int) -> bytes:
    """Words of BIP-39's English list that most often do not make a valid phrase."""
    words = """
abandon ability able about above absent absorb abstract absurd abuse access accident
account accuse achieve acid acoustic acquire across act action actor actress actual
    """.split()  # noqa: SIM905
    draw = random.Random(size)
    return " ".join(draw.choices(words, k=size // 6)).encode()[:size]


def _digits(size: int) -> bytes:
    draw = random.Random(size)
    return b"".join(b"4%015d " % draw.randrange(10**15) for _ in range(size // 17))


def floods(rules: Sequence[Rule]) -> dict[str, Flood]:
    """All of them, by name."""
    starts = prefixes(rules)
    turned = [codecs.encode(text.decode("latin-1"), "rot13").encode("latin-1") for text in starts]
    return {
        "every rule's prefix": _cycled(starts),
        "every rule's prefix, reversed": _cycled([text[::-1] for text in starts]),
        "every rule's prefix, ROT13": _cycled(turned),
        "matches of every rule": _matches(rules),
        "decoys of every rule": _decoys(rules),
        "secrets of every rule": _secrets(rules),
        "every gate": _gates(),
        "percent escapes": _numbered("%4{1}%5{1}%6{1}"),
        "percent of percent": _nested(lambda t: t.replace(b"%", b"%25"), 6, b"%41%42%43"),
        "character references": _numbered("&#6{1};&#x4{1};&amp;"),
        "backslash escapes": _numbered("\\u004{1}\\x4{1}\\06{1}"),
        "backslashes": lambda size: b"\\" * size,
        "quoted-printable": _numbered("=4{1}=5{1}=3D"),
        "string concatenation": _numbered('"a{1}" + "b{1}" + '),
        "one character and a dot": _numbered("a.{1}.b.{1}."),
        "one character and a blank": _numbered("a {1} b {1} "),
        "zero-width characters": _zero_width,
        "full-width characters": _full_width,
        "short runs of base64": _numbered("QUtJQUlPU0ZPRE5ON0VY{0:08d}Q= "),
        "short runs of hex": _numbered("414b4941494f53464f444e4e374558414d504c{0:08d} "),
        "short runs of base32": _numbered("IFFUSQKRK5CVEVCZLJMEGVSCJZGTEMY{1} "),
        "hex with colons": _numbered("4{1}:5{1}:6{1}:"),
        "UTF-7": _numbered("+AEEASwBJ{1}-"),
        "one run of base64": _whole(base64.b64encode, 1),
        "base64, four deep": _whole(base64.b64encode, 4),
        "base64, eight deep": _whole(base64.b64encode, 8),
        "small base64, six deep": _nested(base64.b64encode, 6, b"nothing to be seen here"),
        "hex, three deep": _nested(lambda text: text.hex().encode(), 3, b"nothing here"),
        "zlib bombs": _bomb,
        "many gzip streams": _small_bombs,
        "card numbers": _digits,
        "BIP-39 words": _words,
        "JWT beginnings": _numbered("eyJhbGciOiJ{0}.eyJzdWIiOiI{0}."),
        "PEM beginnings": _cycled([b"-----BEGIN PRIVATE" + b" KEY-----\n"]),
        "assignments": _numbered("api_key_{1} = aws_secret_{1}: token={0} password := x{0}\n"),
        "open brackets": lambda size: b'{"a":[' * (size // 6),
        "one byte": lambda size: b"A" * size,
        "NUL bytes": lambda size: bytes(size),
        "UTF-16": lambda size: "harmless words ".encode("utf-16-le") * (size // 30),
    }
