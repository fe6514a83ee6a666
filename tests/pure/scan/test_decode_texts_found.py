"""Keys written otherwise, through the whole scanner: each way alone, each pair, in other text."""

from __future__ import annotations

import base64
import json
import quopri
import re
from collections.abc import Callable
from itertools import cycle

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import example, load_rules

SCANNER = Scanner.build(load_rules(), None)
Encode = Callable[[bytes], bytes | None]


def found(data: bytes) -> set[str]:
    return {SCANNER.rules[raw.rule].id for raw in SCANNER.scan(data, "head").findings}


def keys() -> list[tuple[str, bytes]]:
    """A key of each of a dozen formats, of those that are found wherever they stand."""
    out = []
    for rule in load_rules().rules:
        if rule.kind == "prefixed" and rule.match and "^" not in rule.pattern:
            text = example(rule.match[0], f"texts/{rule.id}")
            if re.fullmatch(rb"[A-Za-z0-9_.-]{16,200}", text) and rule.id in found(text):
                out.append((rule.id, text))
    # Among them one that is all letters and digits.
    first = next(key for key in out if key[1].isalnum())
    return [first, *out[:: len(out) // 12]]


KEYS = keys()


def text(encode: Callable[[str], bytes]) -> Encode:
    """An encoder of characters."""

    def encoded(data: bytes) -> bytes | None:
        try:
            return encode(data.decode())
        except UnicodeDecodeError:
            return None

    return encoded


def ink(encode: Callable[[str], bytes]) -> Encode:
    """An encoder of printable ASCII."""
    return lambda data: encode(data.decode()) if all(32 < byte < 127 for byte in data) else None


def each(template: str) -> Encode:
    return lambda data: "".join(template.format(byte) for byte in data).encode()


def each_character(template: str) -> Encode:
    return text(lambda chars: "".join(template.format(ord(char)) for char in chars).encode())


def reference(template: str) -> Encode:
    """Character references: there are none of control characters."""
    encode = each_character(template)
    return lambda data: None if min(data) < 9 else encode(data)


def json_escapes(chars: str) -> bytes:
    raw = chars.encode("utf-16-be")
    return "".join(f"\\u{raw[i]:02x}{raw[i + 1]:02x}" for i in range(0, len(raw), 2)).encode()


def alphabet(upper: int, lower: int, digit: int) -> Encode:
    """Letters and digits of another style, from the code points of A, a and 0."""
    table = {
        **{65 + n: upper + n for n in range(26)},
        **{97 + n: lower + n for n in range(26)},
        **{48 + n: digit + n for n in range(10)},
    }
    return ink(lambda chars: chars.translate(table).encode())


def between(inserted: str, step: int = 1) -> Encode:
    return text(
        lambda chars: inserted.join(
            chars[at : at + step] for at in range(0, len(chars), step)
        ).encode()
    )


SEPARATORS = ("-", ".", ",", "|", "_", "/", ":", "\n", "\t", ", ", " - ", '","', " ")


def separated(separator: str) -> Encode:
    return ink(lambda chars: separator.join(chars).encode())


def quoted_printable(data: bytes) -> bytes:
    escaped = "".join(f"={byte:02X}" for byte in data)
    return "=\r\n".join(escaped[at : at + 75] for at in range(0, len(escaped), 75)).encode()


def nested_json(chars: str) -> bytes:
    for _ in range(4):
        chars = json.dumps(f"/ {chars}")
    return chars.encode()


def utf7(chars: str) -> bytes:
    return b"+" + base64.b64encode(chars.encode("utf-16-be")).rstrip(b"=") + b"-"


HOMOGLYPHS = str.maketrans("aceopxyABCEHIKMOPTXijs", "асеорхуАВСЕНІКМОРТХіјѕ")

ENCODERS: dict[str, Encode] = {
    "percent": each("%{:02X}"),
    "percent of some": lambda data: b"".join(
        b"%%%02x" % byte if at % 5 == 2 and byte < 128 else bytes((byte,))
        for at, byte in enumerate(data)
    ),
    "percent u": ink(lambda chars: "".join(f"%u{ord(char):04x}" for char in chars).encode()),
    "overlong": lambda data: b"".join(
        b"%%%02x%%%02x" % (0xC0 | byte >> 6, 0x80 | byte & 63) if byte < 128 else b"%%%02x" % byte
        for byte in data
    ),
    "entities": reference("&#{};"),
    "entities with zeros": reference("&#x{:08X};"),
    "entities without semicolons": reference("&#{}"),
    "escapes u": text(json_escapes),
    "escapes U": each_character("\\U{:08x}"),
    "escapes in braces": each_character("\\u{{{:x}}}"),
    "escapes x": each("\\x{:02x}"),
    "escapes octal": each("\\{:03o}"),
    "JSON in JSON": text(nested_json),
    "css": ink(lambda chars: "".join(f"\\{ord(char):x} " for char in chars).encode()),
    "css, six digits": ink(lambda chars: "".join(f"\\{ord(char):06x}" for char in chars).encode()),
    "quoted-printable": quoted_printable,
    "quoted-printable of mail": lambda data: quopri.encodestring(b"x" * 60 + b': "' + data + b"="),
    "utf-16-le": text(lambda chars: chars.encode("utf-16-le")),
    "utf-16-be": text(lambda chars: chars.encode("utf-16-be")),
    "utf-32-le": ink(lambda chars: chars.encode("utf-32-le")),
    "utf-32-be": ink(lambda chars: chars.encode("utf-32-be")),
    "utf-7": ink(utf7),
    "zero-width": between("\u200b"),
    "one word joiner": lambda data: (
        data[:7] + "\u2060".encode() + data[7:] if data[:8].isascii() else None
    ),
    "bidi": between("\u202d\u2066", 3),
    "tags between": between("\U000e0041"),
    "variation selectors between": between("\ufe0f"),
    "combining marks": between("\u0301"),
    "soft hyphens": between("\u00ad", 4),
    "full-width": ink(
        lambda chars: chars.translate({code: code + 0xFEE0 for code in range(33, 127)}).encode()
    ),
    "mathematical": alphabet(0x1D5D4, 0x1D5EE, 0x1D7EC),
    "circled": alphabet(0x24B6, 0x24D0, 0x1D7CE),
    "homoglyphs": ink(lambda chars: chars.translate(HOMOGLYPHS).encode()),
    "tags": ink(lambda chars: "".join(chr(0xE0000 + ord(char)) for char in chars).encode()),
    "variation selectors": lambda data: "".join(
        chr(0xFE00 + byte if byte < 16 else 0xE0100 + byte - 16) for byte in data
    ).encode(),
    "NUL within": ink(lambda chars: f"{chars[:9]}\0{chars[9:]}".encode()),
    "grep": ink(lambda chars: f"{chars[:9]}\x1b[01;31m\x1b[K{chars[9:]}".encode()),
    **{f"separated by {one!r}": separated(one) for one in SEPARATORS},
}
"""None where there is no such text."""

UNSEEN = {
    *("zero-width", "one word joiner", "bidi", "tags between", "variation selectors between"),
    *("combining marks", "soft hyphens"),
}
INVISIBLE = {"tags", "variation selectors"}
WIDE = {"utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "NUL within"}
PLANES = {"mathematical", "circled", *INVISIBLE}


def expected(outer: str, inner: str) -> bool:
    """Say whether the pair is undone.

    What is not: what is invisible among what is invisible, zeros among zeros, other planes in
    UTF-16, and look-alikes that stand alone among punctuation, as in text of their language.
    """
    return not (
        (outer in UNSEEN and inner in INVISIBLE)
        or (outer in WIDE and inner in WIDE)
        or (outer in WIDE and inner in PLANES | {"soft hyphens"})
        or (outer == "homoglyphs" and inner.startswith(("separated", "css")))
    )


@pytest.mark.parametrize("name", ENCODERS)
def test_a_key_written_otherwise(name: str) -> None:
    for rule, key in KEYS:
        data = ENCODERS[name](key)
        assert data is not None
        for before, after in ((b"", b""), (b'{"a": "', b'", "b": 1}'), (b'x: "', b'"')):
            assert rule in found(before + data + after), (rule, before)


@pytest.mark.parametrize("outer", ENCODERS)
def test_pairs(outer: str) -> None:
    drawn = cycle(KEYS)
    tried = 0
    for inner in ENCODERS:
        for rule, key in (next(drawn), next(drawn)):
            once = ENCODERS[inner](key)
            twice = None if once is None else ENCODERS[outer](once)
            if twice is not None and expected(outer, inner):
                tried += 1
                assert rule in found(b'["' + twice + b'"]'), (inner, rule)
    assert tried > 10


@pytest.mark.parametrize("name", ENCODERS)
def test_in_a_long_text(name: str) -> None:
    """Decoding works near the evidence: wherever that is, the whole key is there."""
    for number, gap in enumerate((*range(1000, 9000, 997), 20_000)):
        rule, key = KEYS[number % len(KEYS)]
        data = ENCODERS[name](key)
        assert data is not None
        filler = b"lorem ipsum " * (gap // 12) + b"." * (gap % 12)
        assert rule in found(filler + b" " + data + b" " + filler), (gap, rule)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(sorted(ENCODERS)),
    st.integers(0, len(KEYS) - 1),
    st.binary(max_size=60),
    st.binary(max_size=60),
)
def test_no_surroundings_hide_it(name: str, number: int, before: bytes, after: bytes) -> None:
    rule, key = KEYS[number]
    data = ENCODERS[name](key)
    assert data is not None
    assume(name != "NUL within" or (before + after).count(0) < 16)  # names in a program
    # A line of its own: next to it any byte could belong to the encoding.
    assert rule in found(before + b'\n\n "' + data + b'" \n\n' + after)


@pytest.mark.parametrize("separator", ["-", ".", ":", "|", "/", ","])
@pytest.mark.parametrize("width", [2, 3, 4])
def test_groups(separator: str, width: int) -> None:
    rule, key = next((rule, key) for rule, key in KEYS if key.isalnum())
    chars = key.decode()
    groups = separator.join(chars[at : at + width] for at in range(0, len(chars), width))
    for data in (groups, f'{{"key": "{groups}"}}', f"my {groups} is it"):
        assert rule in found(data.encode()), data.replace(chars, "")
