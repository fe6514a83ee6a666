"""Archives in bodies: zip, tar and git packs, as tools write them and as an enemy would."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import random
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.body.stream import BodyStream, is_plain
from interceptor.wire.body.tar_archive import is_tar
from interceptor.wire.body.zip_archive import is_zip
from interceptor.wire.fields import HttpError
from tests.body_texts import SECRET, texts_of

NOISE = random.Random(11).randbytes(2000)
WORDS = b"plain words, nothing else. " * 40
PUSH = b"application/x-git-receive-pack-request"


class Pipe(io.RawIOBase):
    """A file that cannot seek: what is written to it is written once."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(data)  # type: ignore[arg-type]


def zipped(
    members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, *, piped: bool = False
) -> bytes:
    buffer: io.BytesIO | Pipe = Pipe() if piped else io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.data if isinstance(buffer, Pipe) else buffer.getvalue()


def places(body: bytes, content_type: bytes = b"", step: int = 0) -> set[str]:
    """Places of the texts in which the secret can be read."""
    return {where for where, text in texts_of(body, content_type, step=step) if SECRET in text}


MEMBERS = {"readme.txt": WORDS, "dir/": b"", "dir/noise.bin": NOISE, "dir/env": SECRET, "e": b""}


# -- zip ------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, 1, 37, 1000])
@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_members_of_a_zip_are_texts(method: int, piped: bool, step: int) -> None:
    body = zipped(MEMBERS, method, piped=piped)
    assert not is_plain(b"", body)
    if piped and method == zipfile.ZIP_BZIP2:
        with pytest.raises(HttpError):  # nothing tells where such a member ends
            texts_of(body, step=step)
        return
    assert places(body, step=step) == {"body:zip[3]"}
    texts = dict(texts_of(body, b"application/zip", step=step))
    assert texts["body:zip[0]"] == WORDS
    assert texts["body:zip[2]"] == NOISE


@pytest.mark.parametrize("step", [0, 1, 37, 1000])
@pytest.mark.parametrize("piped", [False, True])
def test_stored_members_are_looked_into(piped: bool, step: int) -> None:
    inner = zipped({"inner": SECRET})
    members = {**MEMBERS, "a.zip": inner, "b.gz": gzip.compress(SECRET), "last": WORDS}
    body = zipped(members, zipfile.ZIP_STORED, piped=piped)
    assert places(body, step=step) == {"body:zip[5].zip[0]", "body:zip[6].gzip"}


def test_names_and_comments_stand_in_the_body() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(SECRET.decode())
        info.comment = b"member " + SECRET
        archive.writestr(info, WORDS)
        archive.comment = b"archive " + SECRET
    # Whoever scans the body as it is sees them: local name, directory name, both comments.
    assert buffer.getvalue().count(SECRET) == 4


def test_zip64_and_what_stands_between_members() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a", "w", force_zip64=True) as member:
            member.write(WORDS)
        archive.writestr("b", SECRET)
    assert places(buffer.getvalue()) == {"body:zip[1]"}
    # An APK keeps its signature between the last member and the directory.
    body = buffer.getvalue()
    at = body.index(b"PK\x01\x02")
    signed = bytearray(body[:at] + b"APK Sig Block 42" * 4 + body[at:])
    end = signed.rindex(b"PK\x05\x06")
    struct.pack_into("<I", signed, end + 16, at + 64)
    assert places(bytes(signed)) == {"body:zip[1]"}


@pytest.mark.parametrize("step", [0, 1, 29, 31, 600])
@pytest.mark.parametrize(
    "prefix", [b"x", b"#!/usr/bin/env python3\n", b"MZ" + NOISE + b"PK\x03\x04"]
)
def test_an_archive_behind_other_data(prefix: bytes, step: int) -> None:
    body = prefix + zipped(MEMBERS)
    assert places(body, step=step) == {"body:zip[3]"}
    assert not is_plain(b"", body)
    # Its directory may count from the beginning of the file.
    buffer = io.BytesIO(prefix)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", WORDS)
        archive.writestr("b", SECRET)
    assert places(buffer.getvalue(), step=step) == {"body:zip[1]"}
    with pytest.raises(HttpError):
        texts_of(prefix + _encrypted(1), step=step)
    with pytest.raises(HttpError):
        texts_of(prefix + _other_method(), step=step)
    # What only looks like one is nothing.
    texts_of(prefix + zipped(MEMBERS)[:60] + NOISE, step=step)


def test_archives_behind_other_data_within_one_another_have_an_end() -> None:
    body = SECRET
    for _ in range(100):
        body = zipped({"r": b"x" + body}, zipfile.ZIP_STORED)
    with contextlib.suppress(HttpError):
        texts_of(b"x" + body)


def test_office_files_and_wheels_are_zips() -> None:
    sheet = b"<?xml version='1.0'?><a><t>" + SECRET[:8] + b"<!-- -->" + SECRET[8:] + b"</t></a>"
    body = zipped({"[Content_Types].xml": b"<Types/>", "xl/sheet1.xml": sheet})
    assert places(body, b"application/vnd.openxmlformats") == {"body:zip[1].xml"}


def test_the_first_slice_of_an_archive_is_no_error() -> None:
    inner = zipped({"inner": WORDS * 3})
    for method, piped in ((zipfile.ZIP_DEFLATED, False), (zipfile.ZIP_STORED, True)):
        body = zipped({"a": WORDS, "in.zip": inner, "b": NOISE}, method, piped=piped)
        for size in range(40, len(body), 41):
            texts_of(body[:size], step=100)


def _encrypted(flag: int, method: int = 8) -> bytes:
    body = bytearray(zipped({"a": WORDS}))
    struct.pack_into("<HH", body, 6, flag, method)
    return bytes(body)


def _hidden_member() -> bytes:
    """Whoever follows the directory unpacks a member that is the content of another."""
    inner = zipped({"inner": SECRET})
    outer = bytearray(zipped({"a": inner[: inner.index(b"PK\x01\x02")]}, zipfile.ZIP_STORED))
    directory = inner[inner.index(b"PK\x01\x02") : inner.rindex(b"PK\x05\x06")]
    at = outer.index(b"PK\x01\x02")
    entry = bytearray(directory)
    struct.pack_into("<I", entry, 42, 31)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), at, 0)
    return bytes(outer[:at]) + bytes(entry) + end


def _swallowed() -> bytes:
    """A stored member that claims all the rest; its directory is never come to."""
    body = bytearray(zipped({"a": b"x" * 40, "b": SECRET}))
    struct.pack_into("<HH", body, 6, 0, 0)
    struct.pack_into("<II", body, 18, len(body) * 2, len(body) * 2)
    return bytes(body)


def _endless() -> bytes:
    body = bytearray(zipped({"a": b"x" * 40, "b": SECRET}))
    struct.pack_into("<HH", body, 6, 8, 0)
    struct.pack_into("<III", body, 14, 0, 0, 0)
    return bytes(body)


def _other_method() -> bytes:
    """Stored for one reader, deflated for the other."""
    body = bytearray(zipped({"a": SECRET}))
    struct.pack_into("<H", body, 8, 0)
    return bytes(body)


@pytest.mark.parametrize(
    "body",
    [
        _encrypted(1),
        _encrypted(1, 99),
        _encrypted(0x41),
        _encrypted(0x2000),
        _encrypted(0, 9),
        _encrypted(0, 98),
        zipped({"a": WORDS}).replace(zlib.compress(WORDS)[2:40], NOISE[:38]),
        zipped({"a": SECRET}, zipfile.ZIP_LZMA),
        _hidden_member(),
        _swallowed(),
        _endless(),
        _other_method(),
    ],
)
@pytest.mark.parametrize("step", [0, 1, 50])
def test_a_zip_that_cannot_be_read_for_sure_is_incomplete(body: bytes, step: int) -> None:
    with pytest.raises(HttpError) as caught:
        texts_of(body, step=step)
    assert caught.value.reason is Reason.INCOMPLETE


def test_the_tools_agree_that_a_hidden_member_is_there() -> None:
    """The control of the test above: a common reader finds the secret."""
    with zipfile.ZipFile(io.BytesIO(_hidden_member())) as archive:
        assert archive.read("inner") == SECRET


def test_a_zip_of_itself_has_an_end() -> None:
    body = SECRET
    for _ in range(30):
        body = zipped({"r": body}, zipfile.ZIP_STORED)
    with pytest.raises(HttpError) as caught:
        texts_of(body)
    assert caught.value.reason is Reason.INCOMPLETE


def test_members_that_overlap_expand_no_further() -> None:
    """Many members over one deflated kernel (a non-recursive bomb, Fifield 2019)."""
    z = zlib.compressobj(9, wbits=-15)
    kernel = z.compress(b"\0" * 10_000_000) + z.flush()
    headers, data = [], b""
    for number in range(500):
        name = b"%03d" % number
        head = struct.pack(
            "<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(kernel), 10_000_000, len(name), 0
        )
        # Each header is quoted by a stored block of the member before it.
        quoted = struct.pack("<BHH", 0, len(head) + 3, 0xFFFF ^ (len(head) + 3))
        headers.append(len(data) + (len(quoted) if data else 0))
        data += (quoted if data else b"") + head + name
    data += kernel
    started = time.process_time()
    tracemalloc.start()
    try:
        with contextlib.suppress(HttpError):
            given = sum(len(piece.data) for piece in BodyStream([b""], (), None, 1000).feed(data))
            assert given <= 1000 * len(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
    assert time.process_time() - started < 10


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"PK\x03\x04" + NOISE, b"PK\x05\x06" + b"\0" * 18])
def test_what_only_begins_like_a_zip_is_none(data: bytes) -> None:
    assert not is_zip(data)
    assert texts_of(data) == []


# -- tar ------------------------------------------------------------------------------------


def tarred(members: dict[str, bytes], style: int = tarfile.PAX_FORMAT, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=style) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "a"
        archive.addfile(link)
        last = tarfile.TarInfo("last.gz")
        last.size = len(gzip.compress(SECRET))
        archive.addfile(last, io.BytesIO(gzip.compress(SECRET)))
    return buffer.getvalue()


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("step", [0, 1, 511, 700])
def test_members_of_a_tar_are_looked_into(style: int, step: int) -> None:
    long = "directory/" * (9 if style == tarfile.USTAR_FORMAT else 15) + "ü"
    body = tarred({"a": WORDS, "b.zip": zipped({"x": SECRET}), long: gzip.compress(SECRET)}, style)
    found = {"body:tar[1].zip[0]", "body:tar[2].gzip", "body:tar[3].gzip"}
    assert places(body, step=step) == found
    assert not is_plain(b"", body)


def test_a_compressed_tar() -> None:
    for mode, name in (("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")):
        body = tarred({".env": b"KEY=" + SECRET}, mode=mode)
        assert places(body) == {f"body:{name}", f"body:{name}.tar[1].gzip"}


def test_a_docker_layer_in_an_image() -> None:
    layer = gzip.compress(tarred({"app.jar": zipped({"lib.jar": zipped({"k": SECRET})})}))
    body = gzip.compress(tarred({"layer.tar.gz": layer, "manifest.json": b"[]"}))
    assert "body:gzip.tar[0].gzip.tar[0].zip[0].zip[0]" in places(body)


def test_tars_with_sizes_that_lie() -> None:
    body = bytearray(tarred({"a": WORDS}, tarfile.USTAR_FORMAT))
    for size in (b"\x80" + b"\xff" * 11, b"77777777777\0", b"not octal..\0"):
        body[124:136] = size
        body[148:156] = b" " * 8
        body[148:156] = b"%06o\0 " % sum(body[:512])
        assert is_tar(bytes(body))
        texts_of(bytes(body), step=100)
    assert not is_tar(bytes(body[:511]))
    assert not is_tar(b"\0" * 512)


# -- ar -------------------------------------------------------------------------------------


def ar(*members: bytes) -> bytes:
    head = b"%-16s%-12d%-6d%-6d%-8s%-10d`\n"
    return b"!<arch>\n" + b"".join(
        head % (b"member/", 0, 0, 0, b"100644", len(data)) + data + b"\n" * (len(data) & 1)
        for data in members
    )


@pytest.mark.parametrize("step", [0, 1, 59])
def test_a_debian_package(step: int) -> None:
    control = gzip.compress(tarred({"control": SECRET}))
    body = ar(b"2.0\n", control + b"\0" * (1 - len(control) % 2), zipped({"data": SECRET}))
    assert places(body, step=step) == {
        *("body:ar[1].gzip", "body:ar[1].gzip.tar[1].gzip", "body:ar[2].zip[0]"),
    }
    for size in range(0, 200, 7):
        texts_of(body[:size] + b"\xff" * 80, step=step)


# -- git ------------------------------------------------------------------------------------

_KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4, "offset": 6, "ref": 7}


def packed(*objects: tuple[str, bytes], name: bytes = b"n" * 20) -> bytes:
    out = b"PACK" + struct.pack(">II", 2, len(objects))
    for kind, data in objects:
        size = len(data)
        byte, size = _KINDS[kind] << 4 | size & 15, size >> 4
        while size:
            out += bytes((byte | 0x80,))
            byte, size = size & 0x7F, size >> 7
        out += bytes((byte,))
        out += {"offset": b"\x81\x05", "ref": name}.get(kind, b"")
        out += zlib.compress(data)
    return out + hashlib.sha1(out, usedforsecurity=False).digest()


def pkt(data: bytes) -> bytes:
    return b"%04x%b" % (len(data) + 4, data)


def push(pack: bytes, capabilities: bytes = b"report-status side-band-64k") -> bytes:
    command = b"0" * 40 + b" " + b"a" * 40 + b" refs/heads/main\0" + capabilities
    return pkt(command) + b"0000" + pack


def delta(*pieces: bytes | int) -> bytes:
    """Instructions: bytes are new, an int copies so many bytes from the base."""
    out = b"\x80\x01\x05"
    for piece in pieces:
        if isinstance(piece, int):
            out += bytes((0x91, 0, piece))
            continue
        for at in range(0, len(piece), 127):
            part = piece[at : at + 127]
            out += bytes((len(part),)) + part
    return out


OBJECTS = [
    ("commit", b"tree " + b"0" * 40 + b"\n\nmessage\n"),
    ("blob", WORDS * 100),
    ("blob", b"KEY=" + SECRET + b"\n"),
    ("ref", delta(7, b"new: " + b"x" * 110 + SECRET + b"\n", 9)),
    ("offset", delta(b"small", 3)),
    ("blob", NOISE * 20),
    ("blob", zipped({"a": SECRET})),
    ("blob", b""),
]


@pytest.mark.parametrize("step", [0, 1, 17, 5000])
def test_objects_of_a_push_are_texts(step: int) -> None:
    found = {"body:pack[2]", "body:pack[3]", "body:pack[6].zip[0]"}
    assert places(push(packed(*OBJECTS)), PUSH, step) == found
    assert places(packed(*OBJECTS), b"", step) == found
    options = b"0000".join((push(b"", b"push-options"), pkt(b"ci.skip") + b"0000"))
    assert places(options[:-4] + b"0000" + packed(*OBJECTS), PUSH, step) == found


def test_a_push_of_a_sha256_repository_and_a_bundle() -> None:
    pack = packed(*OBJECTS, name=b"n" * 32)
    assert "body:pack[3]" in places(push(pack, b"object-format=sha256"), PUSH)
    head = b"# v2 git bundle\n" + b"a" * 40 + b" refs/heads/main\n\n"
    assert "body:pack[3]" in places(head + packed(*OBJECTS))


def test_a_push_that_only_deletes_has_no_pack() -> None:
    assert texts_of(push(b""), PUSH) == []
    assert texts_of(b"0000", PUSH) == []
    assert texts_of(b"", PUSH) == []


@pytest.mark.parametrize(
    "body",
    [
        push(packed(*OBJECTS))[:-400],
        push(packed(*OBJECTS)[:9]),
        push(b"PACK" + struct.pack(">II", 9, 1) + b"x" * 40),
        push(b"PACK" + struct.pack(">II", 2, 1) + b"\x30" + NOISE),
        push(b"PACK" + struct.pack(">II", 2, 1) + b"\xff" * 40),
        b"zzzz" + packed(*OBJECTS),
        b"0002",
        b"00a0cut",
    ],
)
def test_a_push_that_cannot_be_read_is_incomplete(body: bytes) -> None:
    for step in (0, 1):
        with pytest.raises(HttpError) as caught:
            texts_of(body, PUSH, step=step)
        assert caught.value.reason is Reason.INCOMPLETE


def test_a_pack_that_nobody_declared_may_be_anything() -> None:
    for body in (packed(*OBJECTS)[:-400], b"PACK\0\0\0\x02\0\0\xff\xff" + NOISE):
        texts_of(body)


def test_many_small_objects_take_linear_time() -> None:
    body = push(packed(*[("blob", b"%d" % n) for n in range(10_000)]))
    started = time.process_time()
    assert len(texts_of(body, PUSH, step=65_536)) == 10_000
    assert time.process_time() - started < 5


# -- hostile input --------------------------------------------------------------------------

_WHOLE = [
    zipped(MEMBERS),
    zipped(MEMBERS, piped=True),
    zipped(MEMBERS, zipfile.ZIP_STORED, piped=True),
    tarred({"a": WORDS, "b": gzip.compress(SECRET)}),
    push(packed(*OBJECTS[:4])),
    packed(*OBJECTS[:4]),
]


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(_WHOLE),
    st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=6)), max_size=6),
    st.integers(1, 700),
    st.booleans(),
)
def test_archives_with_changed_bytes(
    body: bytes, changes: list[tuple[int, bytes]], step: int, declared: bool
) -> None:
    changed = bytearray(body)
    for at, data in changes:
        at %= len(changed)
        changed[at : at + len(data)] = data
    outcomes = []
    for size in (0, step):
        try:
            texts = texts_of(bytes(changed), PUSH if declared else b"", step=size)
            outcomes.append([text for text in texts if text[0] != "body:wide"])
        except HttpError as error:
            outcomes.append([(error.detail, b"")])
    assert outcomes[0] == outcomes[1]


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x07\x08", b"PACK\0\0\0\x02"),
                *(zipped({"a": b"b"}), b"\0" * 20, b"\0" * 512, b"0000", pkt(b"x"), b"\x14\0\0\0"),
            ]
        )
        | st.binary(max_size=40),
        max_size=20,
    ),
    st.integers(1, 100),
)
def test_only_http_errors_come_out(words: list[bytes], step: int) -> None:
    for kind in (b"", PUSH):
        with contextlib.suppress(HttpError):
            texts_of(zipped({"a": b"b"})[:40] + b"".join(words), kind, step=step)
        with contextlib.suppress(HttpError):
            texts_of(b"".join(words), kind, step=step)
