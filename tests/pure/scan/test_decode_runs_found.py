"""Keys of 20, 40 and 100 bytes are found in every encoding of runs, by the real scanner."""

from __future__ import annotations

import base64
import binascii
import bz2
import codecs
import gzip
import json
import lzma
import random
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import Ruleset, example

Encode = Callable[[bytes], bytes]

KEYS = {20: "aws-access-key-id", 40: "github-token", 108: "anthropic-api-key"}
B85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
B32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
CROCKFORD = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
UU = bytes(range(32, 96))
XX = b"+-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def keys(ruleset: Ruleset) -> dict[int, bytes]:
    rules = {rule.id: rule for rule in ruleset.rules}
    found = {}
    for size, name in KEYS.items():
        drawn = [example(parts, "runs") for parts in rules[name].match]
        found[size] = next(key for key in drawn if len(key) == size)
    return found


def found(scanner: Scanner, text: bytes) -> set[str]:
    scan = scanner.scan(text, "body")
    assert not scan.incomplete
    return {scanner.rules[raw.rule].id for raw in scan.findings}


def chains(scanner: Scanner, text: bytes, rule: str) -> set[str]:
    scan = scanner.scan(text, "body")
    return {raw.encoding for raw in scan.findings if scanner.rules[raw.rule].id == rule}


def rot13(data: bytes) -> bytes:
    return codecs.encode(data.decode("latin-1"), "rot13").encode("latin-1")


def wrapped(data: bytes, width: int, between: bytes) -> bytes:
    return between.join(data[at : at + width] for at in range(0, len(data), width))


def digits(data: bytes, alphabet: bytes) -> bytes:
    number = int.from_bytes(data, "big")
    out = bytearray()
    while number:
        number, digit = divmod(number, len(alphabet))
        out.append(alphabet[digit])
    return bytes(reversed(out))


def dump(data: bytes, line: str, size: int) -> bytes:
    rows = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(line.format(at=at, hex=row.hex(" ", size), text=shown))
    return "\n".join(rows).encode()


def swapped(data: bytes) -> bytes:
    data += b"\0" * (len(data) % 2)
    rows = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        words = " ".join(f"{row[i + 1]:02x}{row[i]:02x}" for i in range(0, len(row), 2))
        rows.append(f"{at:07o} {words}")
    return "\n".join(rows).encode()


def uuencoded(data: bytes, alphabet: bytes = UU) -> bytes:
    lines = b"".join(binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))
    body = b"\n".join(line.translate(bytes.maketrans(UU, alphabet)) for line in lines.splitlines())
    return b"begin 644 notes.txt\n" + body + b"\n \nend\n"


def each(template: str, between: str) -> Encode:
    return lambda data: between.join(template.format(byte) for byte in data).encode()


def c_array(data: bytes) -> bytes:
    rows = (
        "    " + ", ".join(f"0x{byte:02x}" for byte in data[at : at + 12])
        for at in range(0, len(data), 12)
    )
    return ("unsigned char k[] = {\n" + ",\n".join(rows) + "\n};").encode()


ENCODINGS: dict[str, Encode] = {
    "base64": base64.b64encode,
    "base64, no padding": lambda data: base64.b64encode(data).rstrip(b"="),
    "base64, URL-safe": base64.urlsafe_b64encode,
    "base64, mixed": lambda data: base64.b64encode(b"\xfb\xef\xff" + data, b"-/"),
    "base64, data URI": lambda data: b'"data:text/plain;base64,' + base64.b64encode(data) + b'"',
    "base64, reversed": lambda data: base64.b64encode(data)[::-1],
    "base64, ROT13": lambda data: rot13(base64.b64encode(data)),
    "base64, byte by byte": lambda data: b"".join(
        base64.b64encode(data[at : at + 1]) for at in range(len(data))
    ),
    "base64, padded in the middle": lambda data: b"".join(
        base64.b64encode(data[at : at + 10]) for at in range(0, len(data), 10)
    ),
    "base64 of UTF-16": lambda data: base64.b64encode(data.decode("latin-1").encode("utf-16-le")),
    "base64, three times": lambda data: base64.b64encode(base64.b64encode(base64.b64encode(data))),
    "hex": lambda data: data.hex().encode(),
    "hex, capitals": lambda data: data.hex().upper().encode(),
    "hex, reversed": lambda data: data.hex().encode()[::-1],
    "hex, ROT13": lambda data: rot13(data.hex().encode()),
    "hex of UTF-16": lambda data: data.decode("latin-1").encode("utf-16-be").hex().encode(),
    **{
        f"hex, {between!r}": each("{:02x}", between)
        for between in (":", " ", "-", ",", ", ", "_", ".")
    },
    "hex, colons, reversed": lambda data: data.hex(":").encode()[::-1],
    "hex, colons, ROT13": lambda data: rot13(data.hex(":").encode()),
    "hex, words of 2 bytes": lambda data: data.hex(" ", 2).encode(),
    "hex, words of 4 bytes": lambda data: data.hex(" ", 4).encode(),
    "hex, 0x": each("0x{:02x}", ", "),
    "hex, 0X and commas": each("0X{:02X}", ","),
    "hex, 0x, reversed": lambda data: each("0x{:02x}", ", ")(data)[::-1],
    "hex, 0x, ROT13": lambda data: rot13(each("0x{:02x}", ", ")(data)),
    "hex, array of C": c_array,
    "hex, xxd": lambda data: dump(data, "{at:08x}: {hex:<39}  {text}", 2),
    "hex, hexdump -C": lambda data: dump(data, "{at:08x}  {hex:<47}  |{text}|", 1),
    "hex, od -tx1": lambda data: dump(data, "{at:07o} {hex}", 1),
    "hex, od -x": swapped,
    "base32": base64.b32encode,
    "base32, no padding, small": lambda data: base64.b32encode(data).rstrip(b"=").lower(),
    "base32, extended hex": base64.b32hexencode,
    "base32, extended hex, small": lambda data: base64.b32hexencode(data).rstrip(b"=").lower(),
    "base32, Crockford": lambda data: (
        base64.b32encode(data).rstrip(b"=").translate(bytes.maketrans(B32, CROCKFORD))
    ),
    "base32, reversed": lambda data: base64.b32encode(data)[::-1],
    "base32, ROT13": lambda data: rot13(base64.b32encode(data)),
    "Ascii85": lambda data: base64.a85encode(b"k=" + data + b"; "),
    "Ascii85, framed": lambda data: base64.a85encode(data, adobe=True),
    "Ascii85, framed, wrapped": lambda data: base64.a85encode(data, adobe=True, wrapcol=20),
    "base85": lambda data: base64.b85encode(b"key=" + data),
    "Z85": lambda data: base64.b85encode(b"key=" + data).translate(bytes.maketrans(B85, Z85)),
    "base58": lambda data: digits(
        data, b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    ),
    "base36": lambda data: digits(data, b"0123456789abcdefghijklmnopqrstuvwxyz"),
    "uuencode": uuencoded,
    "xxencode": lambda data: uuencoded(data, XX),
    "decimal, JSON": lambda data: json.dumps(list(data)).encode(),
    "decimal, compact": lambda data: json.dumps(list(data), separators=(",", ":")).encode(),
    "decimal, Buffer": lambda data: json.dumps({"type": "Buffer", "data": list(data)}).encode(),
    "decimal, blanks": each("{}", " "),
    "decimal, fromCharCode": lambda data: b"String.fromCharCode(%b)" % each("{}", ",")(data),
    "octal": each("{:03o}", " "),
    "octal, 0o": each("0o{:o}", ", "),
    "binary": each("{:08b}", " "),
    "binary, no gaps": each("{:08b}", ""),
    "binary, seven bits": each("{:07b}", " "),
    "binary, 0b": each("0b{:b}", ", "),
    "chr": each("chr({})", "+"),
    "chr, hexadecimal": each("chr(0x{:02x})", " . "),
    "Chr, BASIC": each("Chr({})", " & "),
    "char, PowerShell": each("[char]{}", "+"),
    "code points": each("U+{:04X}", " "),
}

AROUND = {
    "alone": b"%b",
    "JSON": b'{"a": "%b", "b": 1}',
    "assigned": b"x = %b;\n",
    "quoted": b"> %b\n> more\n",
}


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("size", KEYS)
def test_a_key_is_found(scanner: Scanner, keys: dict[int, bytes], name: str, size: int) -> None:
    for around in AROUND.values():
        assert KEYS[size] in found(scanner, around % ENCODINGS[name](keys[size])), around


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_key_is_found_within_a_text(scanner: Scanner, keys: dict[int, bytes], name: str) -> None:
    for size, rule in KEYS.items():
        text = ENCODINGS[name](b"Dear all, the key is " + keys[size] + b", keep it")
        assert rule in found(scanner, b'{"a":"%b"}' % text), size


BASE64 = ("base64", "base64, URL-safe", "base64, reversed", "base64, ROT13")
OFFSET = (*BASE64, "hex", "hex, reversed", "base32", "base32, reversed", "base32, ROT13", "base85")


@pytest.mark.parametrize("name", OFFSET)
@pytest.mark.parametrize("size", KEYS)
def test_a_key_is_found_at_every_offset(
    scanner: Scanner, keys: dict[int, bytes], name: str, size: int
) -> None:
    """Behind any number of other bytes, encoded with it or not."""
    draw = random.Random(size)
    for offset in range(9):
        before, after = draw.randbytes(offset) + b" ", b"; " + draw.randbytes(draw.randrange(9))
        if name != "base85":  # a text of its own there: alignments are tried where it is readable
            text = ENCODINGS[name](before[1:] + keys[size] + after)
            assert KEYS[size] in found(scanner, b'"%b"' % text), offset
        prefix = b"Ab2C3dEfA"[:offset]
        if name.startswith("hex"):
            prefix = b"a1b2c3d4e"[:offset]
        elif name.startswith("base32"):
            prefix = b"ABCDEFGHI"[:offset]
        text = prefix + ENCODINGS[name](b" key: " + keys[size] + b"; ")
        assert KEYS[size] in found(scanner, b'"%b"' % text), prefix


BREAKS = {
    "lines": b"\n",
    "CR LF": b"\r\n",
    "escaped": b"\\n",
    "escaped CR LF": b"\\r\\n",
    "escaped twice": b"\\\\n",
    "continued": b"\\\n",
    "quotation": b"\n> ",
    "concatenated": b'" +\n    "',
}
WIDE_BREAKS = {
    "indented": b"\n      ",
    "items": b'",\n  "',
    "commented": b"\n# ",
}


@pytest.mark.parametrize("between", [*BREAKS, *WIDE_BREAKS])
@pytest.mark.parametrize("size", KEYS)
def test_a_key_is_found_in_wrapped_base64(
    scanner: Scanner, keys: dict[int, bytes], between: str, size: int
) -> None:
    breaks = (BREAKS | WIDE_BREAKS)[between]
    for width in (4, 8, 10, 13, 16, 20, 24, 40, 57, 64, 76):
        if width < 20 and between in WIDE_BREAKS:
            continue
        for before in (b"", b"x" * 50):
            text = b'{"a":"%b"}' % wrapped(base64.b64encode(before + keys[size]), width, breaks)
            assert KEYS[size] in found(scanner, text), (width, before)


@pytest.mark.parametrize("between", [b"\n", b"\r\n", b"\\n", b"\n    "])
@pytest.mark.parametrize("encode", [base64.b16encode, base64.b32encode, base64.b85encode])
def test_a_key_is_found_in_other_wrapped_runs(
    scanner: Scanner, keys: dict[int, bytes], between: bytes, encode: Encode
) -> None:
    if encode is base64.b85encode and between == b"\\n":
        pytest.skip("a backslash and a letter are digits of base85's relatives")
    for size, rule in KEYS.items():
        for width in (32, 60, 64, 76):
            text = wrapped(encode(b"Some words first, then " + keys[size]), width, between)
            assert rule in found(scanner, b'{"a":"%b"}' % text), (size, width)


def raw_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeeze.compress(data) + squeeze.flush()


def two_members(data: bytes) -> bytes:
    half = len(data) // 2
    return gzip.compress(data[:half]) + gzip.compress(data[half:])


def zipped(data: bytes) -> bytes:
    body = raw_deflate(data)
    name = b"notes.txt"
    sizes = zlib.crc32(data).to_bytes(4, "little") + len(body).to_bytes(4, "little")
    head = b"PK\3\4\x14\0\0\0\x08\0" + bytes(4) + sizes + len(data).to_bytes(4, "little")
    return head + len(name).to_bytes(2, "little") + bytes(2) + name + body


COMPRESSIONS: dict[str, Encode] = {
    "gzip": gzip.compress,
    "gzip, two members": two_members,
    "zlib": zlib.compress,
    "zlib, fast": lambda data: zlib.compress(data, 1),
    "zlib, best": lambda data: zlib.compress(data, 9),
    "deflate": raw_deflate,
    "zip": zipped,
    "brotli": brotli.compress,
    "brotli, fast": lambda data: brotli.compress(data, quality=1),
    "brotli, largest window": lambda data: brotli.compress(data, lgwin=24),
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(
    "name", ["base64", "base64, URL-safe", "hex", "base32", "Ascii85, framed", "hex, 0x"]
)
def test_a_key_is_found_in_compressed_data(
    scanner: Scanner, keys: dict[int, bytes], compression: str, name: str
) -> None:
    for size, rule in KEYS.items():
        for before in (b"", b"Some words before it, and then the key: "):
            text = ENCODINGS[name](COMPRESSIONS[compression](before + keys[size]))
            assert rule in found(scanner, b'{"a":"%b"}' % text), (size, before)


@pytest.mark.parametrize("compression", [c for c in COMPRESSIONS if c != "deflate"])
@pytest.mark.parametrize("name", ["base64, reversed", "base64, ROT13"])
def test_a_key_is_found_in_compressed_data_turned(
    scanner: Scanner, keys: dict[int, bytes], compression: str, name: str
) -> None:
    for size, rule in KEYS.items():
        text = ENCODINGS[name](COMPRESSIONS[compression](keys[size])).replace(b"=", b"")
        assert rule in found(scanner, b'{"a":"%b"}' % text), size


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_key_is_found_in_a_compressed_item(
    scanner: Scanner, keys: dict[int, bytes], compression: str
) -> None:
    for size, rule in KEYS.items():
        assert rule in found(scanner, COMPRESSIONS[compression](keys[size])), size


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_key_is_found_in_much_compressed_data(
    scanner: Scanner, keys: dict[int, bytes], compression: str
) -> None:
    """Behind more output than is given at once, and more input than is taken at once."""
    draw = random.Random(1)
    words = b" ".join(b"%x" % draw.getrandbits(24) for _ in range(120_000))
    data = COMPRESSIONS[compression](words + b" " + keys[40] + b" " + words[:1000])
    assert KEYS[40] in found(scanner, data)
    assert KEYS[40] in found(scanner, b'{"a":"%b"}' % base64.b64encode(data))


def test_chains_are_named_from_the_outside(scanner: Scanner, keys: dict[int, bytes]) -> None:
    key, rule = keys[40], KEYS[40]
    for text, chain in (
        (base64.b64encode(key), "base64"),
        (base64.b64encode(key)[::-1], "reversed>base64"),
        (rot13(base64.b64encode(key)), "rot13>base64"),
        (base64.b64encode(gzip.compress(key)), "base64>gzip"),
        (base64.b64encode(brotli.compress(key * 3)), "base64>brotli"),
        (base64.b64encode(raw_deflate(key)), "base64>deflate"),
        (base64.b64encode(key).hex().encode(), "hex>base64"),
        (base64.b32encode(key.hex().encode()), "base32>hex"),
        (rot13(key.hex().encode()), "rot13>hex"),
        (json.dumps(list(base64.b64encode(key))).encode(), "decimal>base64"),
    ):
        assert chain in chains(scanner, b'{"a":"%b"}' % text, rule)


def test_the_end_of_a_run_is_the_end_of_the_secret(scanner: Scanner, ruleset: Ruleset) -> None:
    """Rules that ask for what follows a secret see that a run ends, whatever stands behind it."""
    count = 0
    for rule in ruleset.rules:
        if not rule.pattern.endswith("|$)") or rule.kind == "structured":
            continue
        secret = example(rule.match[0], "ends")
        if rule.id not in found(scanner, secret) or len(secret) > 120:
            continue
        count += 1
        for encode in (base64.b64encode, base64.b16encode, base64.b32encode):
            run = encode(secret).replace(b"=", b"")
            for other in (b"1", b' "QmFzZTY0IGFnYWluLCBidXQgb3RoZXI"', b' "' + b"6f" * 20 + b'"'):
                text = b'{"a": "%b", "b":%b}' % (run, other)
                assert rule.id in found(scanner, text), (rule.id, encode, other)
    assert count > 3
