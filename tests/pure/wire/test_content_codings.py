"""Content codings: every decoder whole, in pieces and damaged, and bombs."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import random
import tracemalloc
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.body.decoders import PIECE, Brotli, Bzip2, Decoder, Inflate, Xz, Zstd
from interceptor.wire.content import ContentReader, content_codings
from interceptor.wire.fields import HttpError

TEXT = b"".join(b"line %d of a text\n" % number for number in range(3000))
NOISE = random.Random(3).randbytes(300_000)


def raw_deflate(data: bytes) -> bytes:
    z = zlib.compressobj(wbits=-15)
    return z.compress(data) + z.flush()


def skippable(data: bytes) -> bytes:
    return b"\x5e\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


def zstd(data: bytes, **options: object) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)  # type: ignore[arg-type]


CODED: dict[str, tuple[tuple[bytes, ...], Callable[[bytes], bytes]]] = {
    "gzip": ((b"gzip",), gzip.compress),
    "x-gzip": ((b"x-gzip",), gzip.compress),
    "two gzip members": ((b"gzip",), lambda d: gzip.compress(d[:9]) + gzip.compress(d[9:])),
    "deflate with header": ((b"deflate",), zlib.compress),
    "deflate without": ((b"deflate",), raw_deflate),
    "br": ((b"br",), brotli.compress),
    "zstd": ((b"zstd",), zstd),
    "zstd with checksum": ((b"zstd",), lambda d: zstd(d, write_checksum=True)),
    "zstd without size": ((b"zstd",), lambda d: zstd(d, write_content_size=False)),
    "zstd frames": (
        (b"zstd",),
        lambda d: skippable(b"") + zstd(d[:7]) + skippable(b"note" * 9) + zstd(d[7:]),
    ),
    "gzip in br": ((b"gzip", b"br"), lambda d: brotli.compress(gzip.compress(d))),
    "four": (
        (b"deflate", b"zstd", b"gzip", b"br"),
        lambda d: brotli.compress(gzip.compress(zstd(zlib.compress(d)))),
    ),
    "aws-chunked": (
        (b"aws-chunked",),
        lambda d: b"".join(
            b"%x;chunk-signature=%s\r\n%s\r\n" % (len(part), b"0a" * 32, part)
            for part in (d[:5], d[5:70000], d[70000:])
            if part
        ),
    ),
}


def decoded(codings: tuple[bytes, ...], data: bytes, step: int = 0, budget: int = 1 << 24) -> bytes:
    content = ContentReader(codings, budget)
    out = []
    for at in range(0, len(data), step or len(data) or 1):
        for piece in content.feed(data[at : at + (step or len(data))]):
            assert 0 < len(piece) <= 2 * PIECE
            out.append(piece)
    content.finish()
    return b"".join(out)


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("step", [0, 1, 7, 4096])
def test_what_was_coded_comes_back(name: str, step: int) -> None:
    codings, code = CODED[name]
    for text in (b"x", b"hello " * 50, TEXT[: 5000 if step == 1 else None]):
        data = code(text)
        if name == "aws-chunked":
            data += b"0;chunk-signature=%s\r\n\r\n" % (b"0b" * 32)
            assert decoded(codings, data, step) == text + b"\n\r\n"
        else:
            assert decoded(codings, data, step) == text


@pytest.mark.parametrize("name", [name for name in CODED if name != "aws-chunked"])
def test_noise_of_many_blocks(name: str) -> None:
    codings, code = CODED[name]
    assert decoded(codings, code(NOISE), 10_000) == NOISE


@pytest.mark.parametrize("name", CODED)
def test_what_is_cut_short_is_incomplete(name: str) -> None:
    codings, code = CODED[name]
    data = code(TEXT[:500])
    for size in (1, 5, len(data) // 2, len(data) - 1):
        with pytest.raises(HttpError) as caught:
            decoded(codings, data[:size])
        assert caught.value.reason is Reason.INCOMPLETE


@pytest.mark.parametrize("name", [name for name in CODED if name != "aws-chunked"])
@pytest.mark.parametrize("step", [0, 1])
def test_bytes_after_the_end_are_incomplete(name: str, step: int) -> None:
    codings, code = CODED[name]
    with pytest.raises(HttpError) as caught:
        decoded(codings, code(b"hello " * 20) + b"trailing bytes", step)
    assert caught.value.reason is Reason.INCOMPLETE


@pytest.mark.parametrize(
    ("codings", "data"),
    [
        ((b"made-up",), b"x"),
        ((b"compress",), b"\x1f\x9d\x90"),
        ((b"snappy",), b"x"),
        ((b"gzip",) * 5, b"x"),
        ((b"gzip",), b"plain text"),
        ((b"br",), b"\xff" * 30),
        ((b"zstd",), b"plain text of some length"),
        ((b"zstd",), zstd(b"x" * 200)[:-1] + b"\xff" * 20),
        ((b"aws-chunked",), b"no size here\r\n"),
        ((b"aws-chunked",), b"5\r\nhelloXX5\r\nhello\r\n"),
        ((b"aws-chunked",), b"f" * 600),
    ],
)
def test_what_cannot_be_read_is_incomplete(codings: tuple[bytes, ...], data: bytes) -> None:
    with pytest.raises(HttpError) as caught:
        decoded(codings, data)
    assert caught.value.reason is Reason.INCOMPLETE
    assert b"made-up".decode() not in caught.value.detail


def test_a_zstd_window_over_8_mib_is_not_given_memory() -> None:
    wide = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    frame = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    data = frame.compress(TEXT) + frame.flush()
    decoder = Zstd()
    assert list(decoder.feed(data)) == []
    assert decoder.beyond
    with pytest.raises(HttpError, match="memory"):
        decoded((b"zstd",), data)


def test_a_zstd_dictionary_is_beyond_us() -> None:
    words = zstandard.ZstdCompressionDict(TEXT[:4000], dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    trained = zstandard.train_dictionary(
        2000, [b"sample %d %d" % (n, n * n % 97) for n in range(2000)]
    )
    assert words.dict_id() == 0
    assert trained.dict_id()
    decoder = Zstd()
    list(decoder.feed(zstandard.ZstdCompressor(dict_data=trained).compress(TEXT)))
    assert decoder.beyond


def test_xz_of_the_highest_preset_is_beyond_us() -> None:
    decoder = Xz()
    assert list(decoder.feed(lzma.compress(TEXT, preset=9))) == []
    assert decoder.beyond
    assert b"".join(Xz().feed(lzma.compress(TEXT, preset=7))) == TEXT


@pytest.mark.parametrize("step", [1, 100, 100_000])
@pytest.mark.parametrize(
    ("decoder", "code"),
    [
        (Bzip2, bz2.compress),
        (Xz, lzma.compress),
        (Xz, lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE)),
    ],
)
def test_files_of_bzip2_and_xz(
    decoder: Callable[[], Decoder], code: Callable[[bytes], bytes], step: int
) -> None:
    data = code(TEXT)
    z = decoder()
    out = [p for at in range(0, len(data), step) for p in z.feed(data[at : at + step])]
    assert b"".join(out) == TEXT
    assert z.complete
    again = decoder()
    joined = b"".join(again.feed(data + data + b"\0" * 8))
    assert joined == TEXT * 2
    list(again.feed(b"something else"))
    assert again.damaged


def _zstd_bomb() -> bytes:
    """One block of one repeated byte after the other: 4 bytes stand for 128 KiB."""
    block = (128 << 10 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x58" + block * 20_000


BOMBS: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "gzip": ((b"gzip",), gzip.compress(b"\0" * 60_000_000)),
    "deflate": ((b"deflate",), raw_deflate(b"\0" * 60_000_000)),
    "br": ((b"br",), brotli.compress(b"\0" * 60_000_000, lgwin=16)),
    "zstd": ((b"zstd",), _zstd_bomb()),
    "zstd of zeros": ((b"zstd",), zstd(b"\0" * 60_000_000)),
    "gzip in gzip": ((b"gzip", b"gzip"), gzip.compress(gzip.compress(b"\0" * 60_000_000))),
    "nothing in gzip": ((b"zstd", b"gzip"), gzip.compress(skippable(b"\0" * 60_000_000))),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("lifted", [False, True])
def test_bombs_meet_a_budget_in_constant_memory(name: str, lifted: bool) -> None:
    codings, bomb = BOMBS[name]
    content = ContentReader(codings, 4 << 20, expansion=10)
    if lifted:
        content.lift_budget()
    tracemalloc.start()
    try:
        with pytest.raises(HttpError) as caught:
            assert max(len(piece) for piece in content.feed(bomb)) <= 2 * PIECE
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.reason is Reason.INCOMPLETE
    assert content.given <= max(4 << 20, 10 * len(bomb)) + 2 * PIECE
    assert peak < 4 << 20


def test_what_repeats_a_lot_is_no_bomb() -> None:
    text = b"a line that stands in a log again and again\n" * 100_000
    data = brotli.compress(text, quality=1)
    assert len(text) > 500 * len(data)
    assert decoded((b"gzip",), gzip.compress(text)) == text
    assert decoded((b"br",), brotli.compress(text[: 1 << 20])) == text[: 1 << 20]


def test_the_ratio_holds_where_the_budget_is_lifted() -> None:
    content = ContentReader((b"br",), 1, expansion=1000)
    content.lift_budget()
    with pytest.raises(HttpError, match=r"limits\.expansion"):
        list(content.feed(BOMBS["br"][1]))


@pytest.mark.parametrize(
    ("value", "codings"),
    [
        (None, ()),
        (b"", ()),
        (b"GZip, identity,br", (b"gzip", b"br")),
        (b"utf-8", ()),
        (b"none", ()),
        (b"base64", ()),
        (b"aws-chunked", (b"aws-chunked",)),
        (b"aws-chunked,gzip", (b"gzip", b"aws-chunked")),
        (b"gzip,aws-chunked", (b"gzip", b"aws-chunked")),
        (b"exi", (b"exi",)),
    ],
)
def test_codings_in_the_order_applied(value: bytes | None, codings: tuple[bytes, ...]) -> None:
    assert content_codings(value) == codings


DECODERS: list[Callable[[], Decoder]] = [
    Inflate,
    lambda: Inflate(b"deflate"),
    Brotli,
    Zstd,
    Bzip2,
    Xz,
]


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(DECODERS),
    st.binary(max_size=300)
    | st.binary(max_size=200).map(lambda d: zstd(TEXT[:100]) + d)
    | st.binary(max_size=200).map(lambda d: b"\x28\xb5\x2f\xfd" + d)
    | st.binary(max_size=200).map(lambda d: gzip.compress(TEXT[:100]) + d),
    st.integers(1, 40),
)
def test_decoders_take_anything(decoder: Callable[[], Decoder], data: bytes, step: int) -> None:
    z = decoder()
    out = [p for at in range(0, len(data), step) for p in z.feed(data[at : at + step])]
    whole = decoder()
    assert not z.damaged or not z.complete
    joined = b"".join(whole.feed(data))
    assert joined.startswith(b"".join(out)) or b"".join(out).startswith(joined)
    assert whole.complete is z.complete  # damage may show a few bytes later


@given(st.binary(max_size=300), st.sampled_from(sorted(CODED)))
def test_only_http_errors_come_out(data: bytes, name: str) -> None:
    with contextlib.suppress(HttpError):
        decoded(CODED[name][0], data, 7)
