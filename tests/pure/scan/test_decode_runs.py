"""Decoders of runs alone: round trips, what is left alone, bombs, and anything at all."""

from __future__ import annotations

import base64
import gzip
import random
import time
import zlib
from collections.abc import Iterable
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from interceptor.scan.decoders.alphabet import Alphabet, runs
from interceptor.scan.decoders.base32 import decode_base32
from interceptor.scan.decoders.base64 import base64_phases, decode_base64
from interceptor.scan.decoders.compressed import COMPRESSED, PIXELS
from interceptor.scan.decoders.hex import decode_grouped, decode_hex, hex_phases
from interceptor.scan.decoders.lanes import from_base85
from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.noise import SMALL, is_noise
from interceptor.scan.decoders.radix import from_token
from interceptor.scan.decoders.runs import RUNS
from interceptor.scan.decoders.sieve import Sieve
from interceptor.scan.decoders.strand import kept, strand
from interceptor.scan.decoders.streams import NOISE, OVERLAP, PIECE

WORD = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. ", min_size=24)
"""Readable text of the length of a credential or more."""


def outputs(decoder: Decoder, text: bytes) -> list[tuple[str, bytes]]:
    return [(name, out) for name, out in decoder.decode(text, set()) if out]


def named(found: Iterable[tuple[str, bytes]], name: str) -> bytes:
    return b"\n".join([out for chain, out in found if chain == name])


def one(name: str) -> Decoder:
    return next(decoder for decoder in COMPRESSED if decoder.name == name)


# Round trips


@given(st.binary(max_size=200), st.integers(0, 3), st.booleans())
def test_base64_phases(data: bytes, offset: int, url: bool) -> None:
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    assert base64_phases(b"A" * offset + encode(data).rstrip(b"="))[offset] == data


@given(st.binary(max_size=200), st.booleans())
def test_hex_phases(data: bytes, odd: bool) -> None:
    assert hex_phases(b"a" * odd + data.hex().encode())[odd] == data


GARBAGE = st.text("ABCdef019/+", max_size=9)
APART = st.sampled_from([b" ", b'", "', b"\n\n-- ", b"\0", b"&", b"=", "\u00e9".encode()])


@given(
    texts=st.lists(WORD, min_size=1, max_size=4),
    prefix=GARBAGE,
    apart=APART,
    encoding=st.sampled_from(["base64", "hex", "base32"]),
    way=st.sampled_from(["", "reversed", "rot13"]),
)
def test_texts_come_back_from_any_number_of_runs(
    texts: list[str], prefix: str, apart: bytes, encoding: str, way: str
) -> None:
    """Whole, first byte to last, and with a line end or the end of all behind them."""
    encode = {"base64": base64.b64encode, "hex": base64.b16encode, "base32": base64.b32encode}
    parts = [encode[encoding](text.encode()).rstrip(b"=") for text in texts]
    front = prefix.encode()
    if encoding == "hex":
        front = bytes(byte for byte in front if byte in b"0123456789ABCDEF")
    elif encoding == "base32":
        front = bytes(byte for byte in front if byte in b"ABC")
    if way == "reversed":
        parts = [part[::-1] for part in parts]
        front = b""
    elif way == "rot13":
        rot13 = bytes.maketrans(
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            b"NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm",
        )
        parts = [part.translate(rot13) for part in parts]
        front = front.translate(rot13)
    text = b"[" + front + apart.join(parts) + b"]"
    found: list[tuple[str, bytes]] = []
    for decoder in RUNS:
        if decoder.name == encoding and (encoding != "hex" or "{" in decoder.gates[0]):
            found += outputs(decoder, text)
    out = b"\n" + named(found, f"{way}>{encoding}" if way else encoding) + b"\n"
    for part in texts:
        assert part.encode() + b"\n" in out


@given(WORD, st.integers(1, 90), st.sampled_from([b"\n", b"\r\n", b"\\n", b"\n> ", b"\\\n"]))
def test_wrapped_base64_comes_back(text: str, width: int, between: bytes) -> None:
    data = ("x" * 60 + text).encode()
    run = base64.b64encode(data)
    lines = [run[:20], *(run[at : at + width] for at in range(20, len(run), width))]
    found = decode_base64(b'"' + between.join(lines) + b'"', set())
    assert data in named(found, "base64")


@given(st.binary(max_size=200))
def test_groups_of_base85(data: bytes) -> None:
    data = data[: len(data) & ~3]
    digits = bytes(byte - 33 for byte in base64.a85encode(data).replace(b"z", b"!!!!!"))
    assert from_base85(digits) == data


@given(WORD)
def test_radix(text: str) -> None:
    data = text.encode()
    number = int.from_bytes(data, "big")
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    token = ""
    while number:
        number, digit = divmod(number, 58)
        token = alphabet[digit] + token
    assert named(from_token(token.encode()), "base58") == data


# What is left alone


def test_what_is_everywhere_yields_nothing() -> None:
    draw = random.Random(1)
    lines = []
    for _ in range(40):
        digits = f"{draw.getrandbits(256):064x}"
        lines += [
            f"sha256:{digits}",
            digits[:40],
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}",
            "sha512-" + base64.b64encode(draw.randbytes(64)).decode(),
            "/usr/local/lib/python3/site-packages/requests/adapters.py",
            "toolu_" + base64.b64encode(draw.randbytes(18)).decode(),
        ]
    text = "\n".join(lines).encode()
    for decode in (decode_base64, decode_hex, decode_base32, decode_grouped):
        for name, out in decode(text, set()):
            assert len(out) < 300, (name, out)


def test_a_run_is_decoded_once_in_an_item() -> None:
    seen: Seen = set()
    run = base64.b64encode(b"some text that is long enough")
    other = base64.b64encode(b"another text that is long enough")
    assert named(decode_base64(run, seen), "base64")
    again = named(decode_base64(run + b" " + other, seen), "base64")
    assert b"another" in again
    assert b"some" not in again


@given(st.binary(min_size=1, max_size=200), st.integers(0, 3000))
def test_readable_text_is_no_noise(data: bytes, behind: int) -> None:
    draw = random.Random(behind)
    noise = bytes(draw.choice(b"\x01\x02\x8f\xfe\xff") for _ in range(behind))
    text = b"key_0123456789abcdef"
    assert not is_noise(noise + text + noise)
    assert not is_noise(noise + text.decode().encode("utf-16-le") + noise)
    assert not is_noise(noise + text.decode().encode("utf-16-be") + noise)
    assert not is_noise(noise + text.decode().encode("utf-32-le") + noise)
    assert not is_noise(noise + "\u200b".join(text.decode()).encode() + noise)
    assert not is_noise(noise + gzip.compress(data) + noise)
    assert not is_noise(noise + zstandard.compress(data) + noise)


def test_noise_is_noise() -> None:
    """Positive control: what is kept is rare in random bytes."""
    draw = random.Random(3)
    for size in (60, SMALL, 8000):
        assert sum(is_noise(draw.randbytes(size)) for _ in range(200)) > 160, size


def test_a_strand_parts_its_runs() -> None:
    texts = [b"first secret text", b"second secret text!", b"third secret text!!"]
    runs_ = [base64.b64encode(text).rstrip(b"=") for text in texts]
    way = strand(runs_, b"AAAA")
    readings = [(base64_phases(way.text)[offset], -6 * offset) for offset in range(4)]
    out = b"\n" + kept(way, 6, readings) + b"\n"
    for text in texts:
        assert b"\n" + text + b"\n" in out


# Bombs and damage


def test_a_bomb_comes_in_pieces_and_a_secret_between_them_is_whole() -> None:
    draw = random.Random(5)
    noise = bytes(draw.choices(range(32, 127), k=1 << 20))
    for at in (PIECE - 30, PIECE, 2 * PIECE - 10, len(noise) - 40):
        data = noise[:at] + b"<<the secret is here>>" + noise[at:]
        for packed, name in (
            (gzip.compress(data), "gzip"),
            (zlib.compress(data), "zlib"),
            (zstandard.compress(data), "zstd"),
        ):
            pieces = [out for _, out in outputs(one(name), b"junk" + packed)]
            assert any(b"<<the secret is here>>" in piece for piece in pieces), (name, at)
            assert max(map(len, pieces)) <= 3 * PIECE + OVERLAP
            assert sum(map(len, pieces)) <= len(data) + len(pieces) * (OVERLAP + 1)


@pytest.mark.parametrize("name", ["gzip", "zlib", "zstd", "deflate", "bzip2", "xz"])
def test_a_bomb_is_given_out_as_it_is_read(name: str) -> None:
    """The first pieces come at once: whoever has enough stops there."""
    import bz2
    import lzma

    zeros = b"0" * (1 << 26)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = {
        "gzip": lambda: gzip.compress(zeros, 1),
        "zlib": lambda: zlib.compress(zeros),
        "zstd": lambda: zstandard.compress(zeros),
        "deflate": lambda: squeeze.compress(zeros) + squeeze.flush(),
        "bzip2": lambda: bz2.compress(zeros[: 1 << 24]),
        "xz": lambda: lzma.compress(zeros[: 1 << 24], preset=0),
    }[name]()
    start = time.thread_time()
    steps = iter(one(name).decode(packed, set()))
    sizes = [len(next(steps)[1]) for _ in range(4)]
    assert max(sizes) <= 9 * PIECE + OVERLAP
    assert time.thread_time() - start < 2


def test_noise_in_a_stream_is_passed_over_up_to_a_limit() -> None:
    """A picture or a pack of objects is no text; a bomb must end at the caller's budget."""
    decode = one("gzip").decode
    assert list(decode(gzip.compress(bytes(1 << 24), 1), set())) == []
    assert list(decode(gzip.compress(bytes(NOISE + (1 << 21)), 1), set())) != []


@given(
    st.sampled_from(["gzip", "zlib", "zstd", "brotli", "deflate"]),
    st.integers(0, 400),
    st.integers(0, 255),
)
def test_damaged_data_gives_what_could_be_read(name: str, at: int, byte: int) -> None:
    draw = random.Random(at)
    data = bytes(draw.choices(b"abcdefgh0123", k=600))
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = bytearray(
        {
            "gzip": gzip.compress(data, mtime=0),
            "zlib": zlib.compress(data),
            "zstd": zstandard.compress(data),
            "brotli": brotli.compress(data),
            "deflate": squeeze.compress(data) + squeeze.flush(),
        }[name]
    )
    packed[at % len(packed)] = byte
    for decoder in COMPRESSED:
        for _, out in decoder.decode(bytes(packed), set()):
            assert len(out) <= 70_000


def test_a_wrong_checksum_and_a_cut_end_hide_nothing() -> None:
    draw = random.Random(2)
    text = b" ".join(b"%d" % draw.getrandbits(40) for _ in range(100))
    for cut in (0, 1, 4, 8, 20):
        packed = gzip.compress(text)
        packed = packed[: len(packed) - cut] if cut else packed[:-8] + bytes(8)
        out = named(outputs(one("gzip"), packed), "gzip")
        assert (text[:1100] if cut > 8 else text) in out


def test_pixels_are_read_in_part_only() -> None:
    """A screenshot unpacks to megabytes of one colour, and is no text."""
    pixels = zlib.compress(b"0" * (1 << 24))
    chunk = len(pixels).to_bytes(4, "big") + b"IDAT" + pixels
    image = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(17) + chunk
    assert sum(len(out) for _, out in outputs(one("zlib"), image)) < 4 * PIXELS
    assert sum(len(out) for _, out in outputs(one("zlib"), pixels)) > 1 << 24


def test_streams_after_one_another_are_one_text() -> None:
    parts = (b"The secret is spl", b"it over two members", b", and three")
    packed = b"".join(gzip.compress(part) for part in parts)
    assert named(outputs(one("gzip"), packed), "gzip") == b"".join(parts)
    apart = b" and ".join(gzip.compress(part * 2) for part in parts)
    assert named(outputs(one("gzip"), apart), "gzip") == b"\n".join(part * 2 for part in parts)


# Anything


@given(st.binary(max_size=400))
def test_nothing_is_raised_on_any_bytes(data: bytes) -> None:
    for decoder in RUNS:
        for name, out in decoder.decode(data, set()):
            assert name
            assert len(out) <= 12 * len(data) + 400


ALPHABET = st.sampled_from(
    ["QUJD", "41", "4a:", "0x4b, ", "65, ", "101 ", "01000001", "=", "==", "\\n", "\n", '"', "<~",
     "~>", "chr(", "65)", "U+0041 ", "begin 644 x\n", "M", "H4sI", "eJw", "%", "\x1f\x8b\x08",
     "x\x9c", "PK\x03\x04", "BZh91AY&SY", "\xfd7zXZ\0", "(\xb5/\xfd", "IDAT", " ", "z", "k1", "0k"]
)  # fmt: skip


@given(st.lists(ALPHABET, max_size=60))
def test_nothing_is_raised_on_parts_of_encodings(parts: list[str]) -> None:
    data = "".join(parts).encode("latin-1")
    for decoder in RUNS:
        for _, out in decoder.decode(data, set()):
            assert len(out) <= 12 * len(data) + 400


FLOODS = [
    b"A", b"QUJD", b"QUI=", b"QQ==", b"QUJDREVGR0hJSktMTU5PUFFSU1RV\n", b"abcd\n",
    b'"abcdefgh",\n', b'"abcdefghabcdefghabcdefgh", ', b"QUJDREVGR0hJSktMTU5P=", b"41", b"41 ",
    b"41:", b"0x41, ", b"4141 4242\n", b"00000000: 4141 4242 4343\n", b"ABCDEFGH",
    b"ABCDEFGHABCDEFGHABCDEFGH ", b"65,", b"65 ", b"9,", b"101 ", b"01", b"01000001 ",
    b"chr(65)+", b"<~", b'<~87cURD]i,"Ebo80~>', b"!Ab", b"^Ab3", b"U+0041 ", b"begin 644 x\n",
    b"x\x9c", b"x^", b"\x1f\x8b\x08", b"\x1f\x8b\x08\0\0\0\0\0\0\0\3", b"PK\3\4",
    b"\x28\xb5\x2f\xfd", b"BZh91AY&SY", b"\xfd7zXZ\0", gzip.compress(b"", mtime=0),
    gzip.compress(b"abc", mtime=0), zlib.compress(b"some text"), zstandard.compress(b"abc"),
    b"\0", b"\x1b", b"=", b"\\n", b'"', b"Z1y",
]  # fmt: skip


@pytest.mark.parametrize("flood", FLOODS, ids=repr)
def test_floods_take_time_in_proportion(flood: bytes) -> None:
    """Each decoder on its own: eight times the text takes about eight times as long."""
    for decoder in RUNS:

        def seconds(size: int, decoder: Decoder = decoder) -> float:
            text = flood * (size // len(flood))
            best = 9.0
            for _ in range(2):
                start = time.thread_time()
                spent = 0
                for _, out in decoder.decode(text, set()):
                    spent += len(out)
                    if spent > 1 << 24:
                        break
                best = min(best, time.thread_time() - start)
            return best

        large = seconds(1 << 16)
        if large > 0.02:
            assert large < 24 * seconds(1 << 13), decoder.name
        assert large < 0.5, decoder.name


def test_runs_at_the_ends() -> None:
    table = bytes(49 if chr(byte).isalnum() else 32 for byte in range(256))
    assert runs(b"abcd", table, 4) == [(0, 4)]
    assert runs(b"abc -abcd", table, 4) == [(5, 9)]
    assert runs(b"", table, 4) == []


def test_lines_of_a_run() -> None:
    alphabet = Alphabet(b"abcdefgh", 8, literals=True)
    # Whether the last line belongs to the run is not known.
    both = {b"abcdefgh", b"abcdefghabc"}
    assert set(alphabet.runs(b"abcdefgh\nabc d")) == both
    assert set(alphabet.runs(b"abcdefgh\\r\\nabc d")) == both
    assert set(alphabet.runs(b'"abcdefgh",\n "abc", "x"')) == both
    assert set(alphabet.runs(b'"abcdefgh", "habcdefg"')) == {
        b"abcdefgh",
        b"habcdefg",
        b"abcdefghhabcdefg",
    }
    assert alphabet.runs(b'{"abcdefgh": 1, "a": "abcdefgh", "abc": 2}') == [b"abcdefgh"] * 2
    assert alphabet.runs(b"abcdefg\nabcdefg") == []


def test_a_sieve_says_whether_a_pattern_occurs() -> None:
    sieve = Sieve("ab{2}", r"\x00[x-z]")
    assert sieve.holds(b"..abb..")
    assert sieve.holds(b"\0y")
    assert not sieve.holds(b"ab \0a")
    assert not sieve.holds(b"")


# Gates


PROSE = b"""\
# Notes of the meeting, 2026-03-14

We met at 9:30 in room 101 (not 110): 14 people, 3 of them by telephone. Sales rose by 12.5 %, from
1,204 to 1,355 units; "nobody expected that", said Ms. O'Neill - and nobody had. Costs were 0.1 %
below plan. See https://www.example.com/reports/2026/q1/summary.html?page=2&lang=en for the figures.

- Ship version 2.11.0 on 10 April; the branch is `release/2.11`, the change ab12cd34ef.
- Ask /usr/share/doc/internationalization-guide what `--no-normalization` means.
- [ ] Thoroughly straightforward, notwithstanding counterrevolutionaries' misunderstandings.

| item | jan | feb | mar |
|------|-----|-----|-----|
| bolt | 100 | 101 | 110 |

>>> print("done", 0, 1, 10, sep=", ")
def total(items): return sum(item.price * (1 + TAX) for item in items if not item.free)
{"id": 17, "name": "Bolt, M8", "sizes": [10, 11, 100], "stock": true, "note": null}
"""


@pytest.mark.parametrize("decoder", RUNS, ids=lambda decoder: decoder.name)
def test_gates_are_silent_on_prose(decoder: Decoder) -> None:
    """Paths and URLs wake the decoders of whose alphabet they are, no others wake at all."""
    if decoder.name not in {"base64", "ascii85", "base85", "z85"}:
        assert not Sieve(*decoder.gates).holds(PROSE)


@pytest.mark.parametrize("decoder", RUNS, ids=lambda decoder: decoder.name)
def test_documents_cost_little(decoder: Decoder) -> None:
    """A gate may fire on a hundred kilobytes of ours, whose tables have rows of figures that are
    all 100: what follows is a moment's work, and hardly anything comes of it."""
    text = b"\n".join(page.read_bytes() for page in sorted(Path("docs").glob("*.md")))
    assert len(text) > 20_000
    took = []
    for _ in range(3):
        start = time.thread_time()
        given_out = sum(len(out) for _, out in decoder.decode(text, set()))
        took.append(time.thread_time() - start)
        assert given_out < len(text) // 20
    assert min(took) < 0.1
