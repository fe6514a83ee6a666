"""Bodies before the judge: held and streaming, secrets in every shape, and their honest twins."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import random
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.decide.bodies import UploadWindow, content_types
from interceptor.decide.judge import Judge
from interceptor.model import Target
from interceptor.policy.schema import Limits, Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import load_rules
from interceptor.scan.window import HOLD
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire.body.stream import BodyStream
from interceptor.wire.fields import HttpError
from tests.body_texts import SECRET

TARGET = Target("https", "www.example.com", 443, "POST", "/")
NOISE = random.Random(2).randbytes(40_000)
TWIN = b"gh" + b"p_" + b"x" * 36
LINES = b"".join(b"%d: ordinary words on a line\n" % n for n in range(3000))
JUDGE = Judge(Policy(), Scanner.build(load_rules(), None), b"k" * 16)


def ask(
    judge: Judge,
    body: bytes,
    *types: bytes,
    codings: tuple[bytes, ...] = (),
) -> Verdict:
    fields = [(b"host", b"www.example.com"), *((b"content-type", value) for value in types)]
    return judge.request(TARGET, b"POST / HTTP/1.1\r\n\r\n", fields, body, codings)


def zipped(*members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(members):
            archive.writestr(f"{number}", data)
    return buffer.getvalue()


def part(head: bytes, data: bytes) -> bytes:
    name = b'Content-Disposition: form-data; name="f"\r\n'
    return b"--b\r\n" + name + head + b"\r\n\r\n" + data + b"\r\n--b--\r\n"


def pack(data: bytes) -> bytes:
    size = len(data)
    first, size = 0x30 | size & 15, size >> 4
    head = b""
    while size:
        head += bytes((first | 0x80,))
        first, size = size & 0x7F, size >> 7
    body = b"PACK\0\0\0\x02\0\0\0\x01" + head + bytes((first,)) + zlib.compress(data)
    line = b"0" * 40 + b" " + b"a" * 40 + b" refs/heads/x\0"
    return b"%04x%b0000" % (len(line) + 4, line) + body + b"\0" * 20


FORM_DATA = b"multipart/form-data; boundary=b"
Shape = Callable[[bytes], bytes]
SHAPES: dict[str, tuple[bytes, tuple[bytes, ...], Shape]] = {
    "as it is": (b"text/plain", (), lambda text: text),
    "gzip": (b"text/plain", (b"gzip",), gzip.compress),
    "br": (b"text/plain", (b"br",), brotli.compress),
    "zstd": (b"text/plain", (b"zstd",), zstandard.compress),
    "gzip in zstd": (
        b"text/plain",
        (b"gzip", b"zstd"),
        lambda text: zstandard.compress(gzip.compress(text)),
    ),
    "gzip, undeclared": (b"application/octet-stream", (), gzip.compress),
    "zip": (b"application/zip", (), lambda text: zipped(LINES[:900], text)),
    "zip in a part": (FORM_DATA, (), lambda text: part(b"", zipped(text))),
    "gzip in a part": (
        FORM_DATA,
        (),
        lambda text: part(b"Content-Encoding: gzip", gzip.compress(text)),
    ),
    "quoted-printable": (
        FORM_DATA,
        (),
        lambda text: part(
            b"Content-Transfer-Encoding: quoted-printable",
            b"".join(b"=%02X" % c + b"=\r\n" * (not n % 20) for n, c in enumerate(text)),
        ),
    ),
    "gzip in base64 in a part": (
        FORM_DATA,
        (),
        lambda text: part(
            b"Content-Transfer-Encoding: base64", base64.encodebytes(gzip.compress(text))
        ),
    ),
    "UTF-16": (b"text/plain", (), lambda text: text.decode().encode("utf-16-be")),
    "EBCDIC": (b"text/plain; charset=ibm037", (), lambda text: text.decode().encode("cp037")),
    "XML": (
        b"text/xml",
        (),
        lambda text: b"<?xml version='1.0'?><a>" + text.replace(b"_", b"<!-- -->_") + b"</a>",
    ),
    "git push": (b"application/x-git-receive-pack-request", (), pack),
    "zip in base64 of a scanner, gzip within": (
        FORM_DATA,
        (b"br",),
        lambda text: brotli.compress(part(b"", zipped(gzip.compress(text)))),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_held_bodies_in_every_shape(judge: Judge, name: str) -> None:
    kind, codings, shape = SHAPES[name]
    text = b"the key is " + SECRET + b" as ever\n"
    verdict = ask(judge, shape(text), kind, codings=codings)
    assert (verdict.action, verdict.reason) == (Action.BLOCK, Reason.SECRET)
    assert verdict.rule == "github-token"
    assert all(finding.where.partition(":")[0] == "body" for finding in verdict.findings)
    assert SECRET.decode()[8:] not in repr(verdict)
    for honest in (text.replace(SECRET, TWIN), LINES[:2000], b"x"):
        verdict = ask(judge, shape(honest), kind, codings=codings)
        assert (verdict.action, verdict.reason) == (Action.ALLOW, Reason.ALLOWED), name


def stream(
    window: UploadWindow, body: bytes, step: int, *, flush: bool = False
) -> tuple[bytes, Verdict | None]:
    sent = b""
    for at in range(0, len(body), step):
        sent += window.feed(body[at : at + step])
        if flush:
            sent += window.flush()
    sent += window.finish()
    assert body.startswith(sent)
    return sent, window.verdict


def upload(judge: Judge, kind: bytes, codings: tuple[bytes, ...] = ()) -> UploadWindow:
    return judge.upload_window(TARGET, [(b"content-type", kind)], codings)


def readable(data: bytes, kind: bytes, codings: tuple[bytes, ...]) -> list[bytes]:
    """All that can be read in a body, even one that is cut short."""
    reader = BodyStream([kind], codings, None, 1000)
    texts: dict[int, bytes] = {-1: data}
    with contextlib.suppress(HttpError):
        for pieces in (reader.feed(data), reader.finish()):
            for piece in pieces:
                texts[piece.text] = texts.get(piece.text, b"") + piece.data
    return list(texts.values())


@pytest.mark.parametrize("step", [1, 100, 5000, 1 << 20])
@pytest.mark.parametrize("name", SHAPES)
def test_streaming_bodies_in_every_shape(judge: Judge, name: str, step: int) -> None:
    kind, codings, shape = SHAPES[name]
    # Each flush scans all that is held once more: small steps get small bodies.
    size = {1: 1500, 100: 12_000}.get(step)
    long = LINES[:size]
    before = long + base64.encodebytes(NOISE[: size and size // 3])
    body = shape(before + SECRET + long)
    sent, verdict = stream(upload(judge, kind, codings), body, step)
    assert verdict is not None
    assert verdict.reason is Reason.SECRET
    assert not any(SECRET[:-1] in text for text in readable(sent, kind, codings))
    assert any(SECRET in text for text in readable(body, kind, codings))
    honest = shape(before + TWIN + long)
    for flush in (False, True):
        sent, verdict = stream(upload(judge, kind, codings), honest, step, flush=flush)
        assert verdict is None
        assert sent == honest


def test_the_place_of_a_text_is_told(judge: Judge) -> None:
    body = part(b"Content-Encoding: gzip", gzip.compress(zipped(b"1", SECRET)))
    for verdict in (
        ask(judge, body, FORM_DATA),
        stream(upload(judge, FORM_DATA), body, 100)[1],
    ):
        assert verdict is not None
        assert [finding.where for finding in verdict.findings] == ["body:part[0].zip[1]"]
        assert verdict.detail.endswith("in body:part[0].zip[1]")


def test_the_bytes_as_received_are_scanned_too(judge: Judge) -> None:
    """Encodings have room for words of their own, which decoding leaves out."""
    note = b"\x50\x2a\x4d\x18" + len(SECRET).to_bytes(4, "little") + SECRET
    bodies = [(b"zstd", note + zstandard.compress(b"x"))]
    header = gzip.compress(b"x")
    bodies += [(b"gzip", header[:3] + b"\x10" + header[4:10] + SECRET + b"\0" + header[10:])]
    for coding, body in bodies:
        verdict = ask(judge, body, b"text/plain", codings=(coding,))
        assert verdict.reason is Reason.SECRET
        sent, blocked = stream(upload(judge, b"text/plain", (coding,)), body, 10)
        assert blocked is not None
        assert sent == b""


@pytest.mark.parametrize(
    ("body", "kind", "codings"),
    [
        (b"x", b"text/plain", (b"gzip",)),
        (gzip.compress(b"x")[:-1], b"text/plain", (b"gzip",)),
        (b"Rar!\x1a\x07\x01\x00" + NOISE, b"", ()),
        (part(b"Content-Transfer-Encoding: x-uuencode", b"x"), FORM_DATA, ()),
        (b"x", b"text/plain; charset=bocu-1", ()),
        (gzip.compress(b"\0" * 30_000_000), b"", ()),
        (gzip.compress(b"\0" * 30_000_000), b"", (b"gzip",)),
    ],
)
def test_what_cannot_be_read_is_refused(
    judge: Judge, body: bytes, kind: bytes, codings: tuple[bytes, ...]
) -> None:
    verdict = ask(judge, body, kind, codings=codings)
    assert (verdict.action, verdict.reason) == (Action.BLOCK, Reason.INCOMPLETE)
    assert verdict.detail


def test_streaming_bodies_are_not_bounded_but_their_ratio_is(
    judge_of: Callable[[Policy], Judge],
) -> None:
    judge = judge_of(Policy(limits=Limits(decoded_bytes=100_000, expansion=50)))
    long = gzip.compress(LINES * 4 + NOISE * 10)
    assert stream(upload(judge, b""), long, 10_000) == (long, None)
    assert ask(judge, long).reason is Reason.INCOMPLETE
    bomb = gzip.compress(b"\0" * 30_000_000)
    for kind, codings in ((b"", ()), (b"text/plain", (b"gzip",))):
        with pytest.raises(HttpError) as caught:
            stream(upload(judge, kind, codings), bomb, 10_000)
        assert caught.value.reason is Reason.INCOMPLETE
    with pytest.raises(HttpError):
        upload(judge, b"", (b"made-up",))


def test_of_two_content_types_each_counts(judge: Judge) -> None:
    body = part(b"Content-Encoding: gzip", gzip.compress(SECRET))
    for types in ((b"text/plain", FORM_DATA), (FORM_DATA, b"text/plain")):
        assert ask(judge, body, *types).reason is Reason.SECRET
    fields = [(b"content-type", b"a"), (b"x", b"y"), (b"content-type", b"a")]
    assert content_types(fields) == [b"a"]


def test_a_large_clean_archive_is_no_false_alarm(judge: Judge) -> None:
    """A text is scanned in pieces, each with a decoding budget of its own."""
    hashes = b"\n".join(base64.b64encode(NOISE[n : n + 64]) for n in range(0, 39_000, 2))
    body = gzip.compress(hashes * 4)
    assert ask(judge, body).allowed
    assert stream(upload(judge, b""), body, 65_536) == (body, None)


# -- holding back ---------------------------------------------------------------------------


def test_what_is_plain_passes_as_soon_as_it_can(judge: Judge) -> None:
    window = upload(judge, b"text/plain")
    sent = 0
    for at in range(0, len(LINES), 1000):
        sent += len(window.feed(LINES[at : at + 1000]))
        assert at + 1000 - sent <= 2 * HOLD + 1000
    assert window.waiting
    assert len(window.flush()) > 0
    assert not window.waiting


def test_a_pause_releases_what_is_plain_and_nothing_else(judge: Judge) -> None:
    plain = upload(judge, b"application/x-ndjson")
    assert plain.feed(b'{"a": 1}\n') == b""
    assert plain.waiting
    assert plain.flush() == b'{"a": 1}\n'
    for kind, data in (
        (FORM_DATA, b"--b\r\n"),
        (b"", b"\x1f"),
        (b"", b"PK\x03\x04"),
        (b"text/plain", "wide".encode("utf-16-le")),
        (b"", NOISE[:90] + zipped(NOISE)[:600]),
        (b"", gzip.compress(NOISE)[:600]),
    ):
        window = upload(judge, kind)
        window.feed(data)
        assert not window.waiting
        assert window.flush() == b""


def test_a_text_that_stands_still_does_not_stall_the_body(judge: Judge) -> None:
    """In base64 white space stands for nothing: no text comes of it, and nothing is kept."""
    head = b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    window = upload(judge, FORM_DATA)
    sent = window.feed(head + base64.b64encode(LINES[:3000]))
    fed = len(head) + 4000
    tracemalloc.start()
    try:
        for _ in range(100):
            sent += window.feed(b"\r\n" * 16_384)
            fed += 32_768
            assert fed - len(sent) <= 400_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000 + len(sent)
    # The text before the pause is context still.
    window.feed(base64.b64encode(SECRET[:18]) + b"\r\n" * 200_000)
    window.feed(base64.b64encode(SECRET[18:]) + b"\r\n--b--\r\n")
    window.finish()
    assert window.verdict is not None


def test_what_unfolds_too_slowly_is_incomplete(judge: Judge) -> None:
    """A few bytes of a gzip file do not show what it is, and the rest does not come."""
    window = upload(judge, FORM_DATA)
    window.feed(b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n")
    window.feed(base64.b64encode(gzip.compress(SECRET)[:30]))
    with pytest.raises(HttpError) as caught:
        window.feed(b" " * 600_000)
    assert caught.value.reason is Reason.INCOMPLETE


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(SHAPES)),
    st.lists(st.integers(1, 30_000), min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=1, max_size=12),
    st.integers(0, len(LINES)),
)
def test_at_any_cut_and_pause_the_outcome_is_one(
    name: str, steps: list[int], flushes: list[bool], place: int
) -> None:
    kind, codings, shape = SHAPES[name]
    for middle in (SECRET, TWIN):
        body = shape(LINES[:place] + middle + LINES[place:])
        window = upload(JUDGE, kind, codings)
        sent, at, turn = b"", 0, 0
        while at < len(body):
            step = steps[turn % len(steps)]
            sent += window.feed(body[at : at + step])
            at += step
            if flushes[turn % len(flushes)]:
                sent += window.flush()
            turn += 1
        sent += window.finish()
        assert body.startswith(sent)
        assert (window.verdict is None) is (middle is TWIN)
        assert (sent == body) is (middle is TWIN)


def test_findings_that_pass_are_told_once(judge_of: Callable[[Policy], Judge]) -> None:
    judge = judge_of(Policy(findings="record"))
    body = part(b"Content-Encoding: gzip", gzip.compress(LINES + SECRET + LINES + SECRET))
    window = upload(judge, FORM_DATA)
    assert stream(window, body, 700) == (body, None)
    (finding,) = window.findings
    assert finding.where == "body:part[0]"
    verdict = ask(judge, body, FORM_DATA)
    assert (verdict.action, verdict.reason) == (Action.ALLOW, Reason.WOULD_BLOCK)
    assert verdict.findings == (finding,)
