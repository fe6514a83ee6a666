"""Multiparts: the shapes that real clients send, encodings of parts, and what nobody sends."""

from __future__ import annotations

import base64
import contextlib
import email.message
import email.policy
import gzip
import itertools
import quopri
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.body.media import hidden_text, media_of, parameters
from interceptor.wire.body.multipart import Message, Multipart
from interceptor.wire.body.parts import Part, Reader
from interceptor.wire.body.transfer import Base64, QuotedPrintable
from interceptor.wire.fields import HttpError
from tests.body_texts import SECRET, texts_of

NOISE = random.Random(5).randbytes(5000)


def parts_of(reader: Reader, data: bytes, step: int = 0) -> list[tuple[Part, bytes]]:
    found: list[tuple[Part, list[bytes]]] = []
    is_open = False

    def take(events: object) -> None:
        nonlocal is_open
        for event in events:  # type: ignore[attr-defined]
            if isinstance(event, Part):
                assert not is_open
                is_open = True
                found.append((event, []))
            elif event is None:
                assert is_open
                is_open = False
            else:
                assert is_open
                found[-1][1].append(event)

    for at in range(0, len(data), step or len(data) or 1):
        take(reader.feed(data[at : at + (step or len(data))]))
    take(reader.finish())
    assert not is_open
    return [(part, b"".join(pieces)) for part, pieces in found]


def lines(*texts: bytes) -> bytes:
    return b"\r\n".join(texts)


# Content-Type and body as clients write them; the contents are `value` and NOISE.
CLIENTS: dict[str, tuple[bytes, bytes]] = {
    "curl -F": (
        b"multipart/form-data; boundary=------------------------d74496d66958873e",
        lines(
            b"--------------------------d74496d66958873e",
            b'Content-Disposition: form-data; name="field"',
            b"",
            b"value",
            b"--------------------------d74496d66958873e",
            b'Content-Disposition: form-data; name="file"; filename="a.bin"',
            b"Content-Type: application/octet-stream",
            b"",
            NOISE,
            b"--------------------------d74496d66958873e--",
            b"",
        ),
    ),
    "requests, urllib3": (
        b"multipart/form-data; boundary=7b3b8a2a1f6d4c8f9e0d1c2b3a495867",
        lines(
            b"--7b3b8a2a1f6d4c8f9e0d1c2b3a495867",
            b'Content-Disposition: form-data; name="field"',
            b"",
            b"value",
            b"--7b3b8a2a1f6d4c8f9e0d1c2b3a495867",
            b'Content-Disposition: form-data; name="file"; filename="a.bin"',
            b"",
            NOISE,
            b"--7b3b8a2a1f6d4c8f9e0d1c2b3a495867--",
            b"",
        ),
    ),
    "httpx": (
        b"multipart/form-data; boundary=c0ffee00c0ffee00c0ffee00c0ffee00",
        lines(
            b"--c0ffee00c0ffee00c0ffee00c0ffee00",
            b'Content-Disposition: form-data; name="field"',
            b"",
            b"value",
            b"--c0ffee00c0ffee00c0ffee00c0ffee00",
            b'Content-Disposition: form-data; name="file"; filename="a.bin"',
            b"Content-Type: application/octet-stream",
            b"",
            NOISE,
            b"--c0ffee00c0ffee00c0ffee00c0ffee00--",
            b"",
        ),
    ),
    "aiohttp": (
        b"multipart/form-data; boundary=0123456789abcdef0123456789abcdef",
        lines(
            b"--0123456789abcdef0123456789abcdef",
            b"Content-Type: text/plain; charset=utf-8",
            b'Content-Disposition: form-data; name="field"',
            b"",
            b"value",
            b"--0123456789abcdef0123456789abcdef",
            b"Content-Type: application/octet-stream",
            b'Content-Disposition: form-data; name="file"; filename="a.b"; filename*=utf-8\'\'a.b',
            b"",
            NOISE,
            b"--0123456789abcdef0123456789abcdef--",
            b"",
        ),
    ),
    "undici FormData": (
        b"multipart/form-data; boundary=----formdata-undici-058299316383",
        lines(
            b"------formdata-undici-058299316383",
            b'Content-Disposition: form-data; name="field"',
            b"",
            b"value",
            b"------formdata-undici-058299316383",
            b'Content-Disposition: form-data; name="file"; filename="a.bin"',
            b"Content-Type: application/octet-stream",
            b"",
            NOISE,
            b"------formdata-undici-058299316383--",
            b"",
        ),
    ),
    "form-data of npm": (
        b"multipart/form-data; boundary=--------------------------515890814546601021194782",
        lines(
            b"----------------------------515890814546601021194782",
            b'Content-Disposition: form-data; name="field"',
            b"",
            b"value",
            b"----------------------------515890814546601021194782",
            b'Content-Disposition: form-data; name="file"; filename="a.bin"',
            b"Content-Type: application/octet-stream",
            b"",
            NOISE,
            b"----------------------------515890814546601021194782--",
            b"",
        ),
    ),
    "Go mime/multipart": (
        b"multipart/form-data; boundary=4ab3d7e0c1f2a5b6c7d8e9f00a1b2c3d4e5f60718293a4b5c6d7e8f9",
        lines(
            b"--4ab3d7e0c1f2a5b6c7d8e9f00a1b2c3d4e5f60718293a4b5c6d7e8f9",
            b'Content-Disposition: form-data; name="field"',
            b"",
            b"value",
            b"--4ab3d7e0c1f2a5b6c7d8e9f00a1b2c3d4e5f60718293a4b5c6d7e8f9",
            b'Content-Disposition: form-data; name="file"; filename="a.bin"',
            b"Content-Type: application/octet-stream",
            b"",
            NOISE,
            b"--4ab3d7e0c1f2a5b6c7d8e9f00a1b2c3d4e5f60718293a4b5c6d7e8f9--",
            b"",
        ),
    ),
    "Chromium": (
        b"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
        lines(
            b"------WebKitFormBoundary7MA4YWxkTrZu0gW",
            b'Content-Disposition: form-data; name="field"',
            b"",
            b"value",
            b"------WebKitFormBoundary7MA4YWxkTrZu0gW",
            b'Content-Disposition: form-data; name="file"; filename="a.bin"',
            b"Content-Type: application/octet-stream",
            b"",
            NOISE,
            b"------WebKitFormBoundary7MA4YWxkTrZu0gW--",
            b"",
        ),
    ),
    "Firefox": (
        b"multipart/form-data; boundary=---------------------------735323031399963166993862150",
        lines(
            b"-----------------------------735323031399963166993862150",
            b'Content-Disposition: form-data; name="field"',
            b"",
            b"value",
            b"-----------------------------735323031399963166993862150",
            b'Content-Disposition: form-data; name="file"; filename="a.bin"',
            b"Content-Type: application/octet-stream",
            b"",
            NOISE,
            b"-----------------------------735323031399963166993862150--",
            b"",
        ),
    ),
    ".NET, its boundary in quotes": (
        b'multipart/form-data; boundary="9f1c1b0e-6f0a-4b43-8d4f-3b1f6e1c2d3a"',
        lines(
            b"--9f1c1b0e-6f0a-4b43-8d4f-3b1f6e1c2d3a",
            b"Content-Type: text/plain; charset=utf-8",
            b"Content-Disposition: form-data; name=field",
            b"",
            b"value",
            b"--9f1c1b0e-6f0a-4b43-8d4f-3b1f6e1c2d3a",
            b"Content-Disposition: form-data; name=file; filename=a.bin; filename*=utf-8''a.bin",
            b"",
            NOISE,
            b"--9f1c1b0e-6f0a-4b43-8d4f-3b1f6e1c2d3a--",
            b"",
        ),
    ),
    "Apache HttpClient": (
        b"multipart/form-data; boundary=Xk3fZ_-9aBcDeFgHiJkLmNoPq; charset=ISO-8859-1",
        lines(
            b"--Xk3fZ_-9aBcDeFgHiJkLmNoPq",
            b'Content-Disposition: form-data; name="field"',
            b"Content-Type: text/plain; charset=ISO-8859-1",
            b"Content-Transfer-Encoding: 8bit",
            b"",
            b"value",
            b"--Xk3fZ_-9aBcDeFgHiJkLmNoPq",
            b'Content-Disposition: form-data; name="file"; filename="a.bin"',
            b"Content-Type: application/octet-stream",
            b"Content-Transfer-Encoding: binary",
            b"",
            NOISE,
            b"--Xk3fZ_-9aBcDeFgHiJkLmNoPq--",
            b"",
        ),
    ),
    "multipart/related of cloud storage": (
        b'multipart/related; boundary="===============7330845974216740156=="',
        b"\n".join(
            (
                b"--===============7330845974216740156==",
                b"Content-Type: application/json; charset=UTF-8",
                b"",
                b"value",
                b"--===============7330845974216740156==",
                b"Content-Type: application/octet-stream",
                b"Content-Transfer-Encoding: binary",
                b"",
                NOISE,
                b"--===============7330845974216740156==--",
            )
        ),
    ),
    "no last line break, a preamble and an epilogue": (
        b"Multipart/Mixed; Boundary=b",
        lines(b"preamble", b"--b", b"", b"value", b"--b ", b"", NOISE, b"--b--", b"epilogue"),
    ),
}


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("step", [0, 1, 13, 1000])
def test_what_clients_send_is_taken_apart(name: str, step: int) -> None:
    content_type, body = CLIENTS[name]
    (boundary,) = media_of(content_type).boundaries
    found = parts_of(Multipart(boundary), body, step)
    assert [data for part, data in found if part.media] == [b"value", NOISE]
    assert all(part.plain for part, _ in found if part.media)
    # Nothing of it needs a look besides that at the body as it stands.
    assert [where for where, _ in texts_of(body, content_type, step=step)] in ([], ["body:wide"])


@pytest.mark.parametrize("name", CLIENTS)
def test_every_cut_of_what_clients_send(name: str) -> None:
    content_type, body = CLIENTS[name]
    (boundary,) = media_of(content_type).boundaries
    body = body.replace(NOISE, NOISE[:40])
    whole = parts_of(Multipart(boundary), body)
    for cut in range(len(body)):
        reader = Multipart(boundary)
        events = [*reader.feed(body[:cut]), *reader.feed(body[cut:]), *reader.finish()]
        data = b"".join(event for event in events if isinstance(event, bytes))
        assert data == b"".join(data for _, data in whole)
        assert [event for event in events if isinstance(event, Part)] == [p for p, _ in whole]


def form(head: bytes, content: bytes) -> bytes:
    disposition = b'Content-Disposition: form-data; name="f"'
    return lines(b"--b", disposition, head, b"", content, b"--b--", b"")


@pytest.mark.parametrize("step", [0, 1, 3, 50])
@pytest.mark.parametrize(
    ("head", "content"),
    [
        (b"Content-Transfer-Encoding: base64", base64.b64encode(b"k: " + SECRET)),
        (b"content-transfer-encoding:BASE64 ", base64.encodebytes(NOISE[:200] + SECRET)),
        (
            b"Content-Transfer-Encoding: base64",
            b"\r\n".join(bytes((c,)) for c in base64.urlsafe_b64encode(SECRET)),
        ),
        (
            b"Content-Transfer-Encoding: base64",
            base64.b64encode(SECRET[:20]) + base64.b64encode(SECRET[20:]),
        ),
        (
            b"Content-Transfer-Encoding: quoted-printable",
            b"".join(b"=%02X" % c for c in SECRET),
        ),
        (
            b"Content-Transfer-Encoding: quoted-printable",
            SECRET[:9] + b"=\r\n" + SECRET[9:20] + b"= \t\r\n" + SECRET[20:],
        ),
        (b"Content-Transfer-Encoding: quoted-printable", quopri.encodestring(b"x" * 60 + SECRET)),
        (b"Content-Encoding: gzip", gzip.compress(SECRET)),
        (
            b"Content-Encoding: gzip\r\nContent-Transfer-Encoding: base64",
            base64.encodebytes(gzip.compress(SECRET)),
        ),
        (b"Content-Type: application/gzip", gzip.compress(SECRET)),
        (b"Content-Type: text/plain;\r\n charset=utf-16le", SECRET.decode().encode("utf-16-le")),
    ],
)
def test_encodings_of_parts_are_undone(head: bytes, content: bytes, step: int) -> None:
    body = form(head, content)
    assert SECRET not in body
    texts = texts_of(body, b"multipart/form-data; boundary=b", step=step)
    assert any(SECRET in text for _, text in texts), texts
    assert all(where.startswith(("body:part[0]", "body:wide")) for where, _ in texts)


def test_parts_within_parts_have_places() -> None:
    inner = lines(
        b"--c",
        b"",
        b"plain",
        b"--c",
        b"Content-Transfer-Encoding: base64",
        b"",
        base64.b64encode(SECRET),
        b"--c--",
    )
    body = lines(
        b"--b",
        b"",
        b"first",
        b"--b",
        b"Content-Type: multipart/mixed; boundary=c",
        b"",
        inner,
        b"--b--",
        b"",
    )
    (found,) = texts_of(body, b"multipart/mixed; boundary=b")
    assert found == ("body:part[1].part[1]", SECRET)


def test_a_multipart_nested_without_end_is_incomplete() -> None:
    body = b"x"
    for number in range(20):
        boundary = b"b%d" % number
        head = b"Content-Type: multipart/mixed; boundary=b%d" % (number - 1)
        body = lines(b"--" + boundary, head if number else b"", b"", body, b"--%b--" % boundary)
    with pytest.raises(HttpError) as caught:
        texts_of(body, b"multipart/mixed; boundary=b19")
    assert caught.value.reason is Reason.INCOMPLETE


def test_a_boundary_that_begins_another_is_not_taken_for_it() -> None:
    body = lines(b"--ab", b"", b"one", b"--abc", b"still one", b"--ab--x", b"too", b"--ab--", b"")
    ((_, data),) = parts_of(Multipart(b"ab"), body)
    assert data == lines(b"one", b"--abc", b"still one", b"--ab--x", b"too")


def test_dashes_without_end_take_linear_time() -> None:
    body = b"---\r\n\r\n" + b"-" * 2_000_000 + b"\n---x" * 200_000
    found = parts_of(Multipart(b"-"), body + b"\r\n-----\r\n", 65_536)
    assert found


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        # No boundary is declared, or another one: the first line shows which it is.
        (b"multipart/form-data", form(b"Content-Encoding: gzip", gzip.compress(SECRET))),
        # Recipients differ on which of two counts.
        (
            b"multipart/form-data; boundary=x; boundary=b",
            form(b"Content-Encoding: gzip", gzip.compress(SECRET)),
        ),
        (
            b'multipart/form-data; boundary="b"',
            form(b"Content-Encoding: gzip", gzip.compress(SECRET)).replace(b"\r\n--b--", b""),
        ),
        # A part behind the end.
        (
            b"multipart/form-data; boundary=b",
            b"--b--\r\n" + form(b"Content-Encoding: gzip", gzip.compress(SECRET)),
        ),
    ],
)
def test_malformed_multiparts_are_read_all_the_same(content_type: bytes, body: bytes) -> None:
    # What is cut short is read as far as it goes.
    with contextlib.suppress(HttpError):
        texts = texts_of(body, content_type)
        assert any(SECRET in text for _, text in texts)
        return
    assert b"--b--" not in body


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (b"multipart/form-data; boundary=b", form(b"Content-Transfer-Encoding: x-uuencode", b"M")),
        (b"multipart/form-data; boundary=b", form(b"Content-Encoding: made-up", b"M")),
        (b"multipart/form-data; boundary=b", form(b"Content-Encoding: gzip", b"no gzip")),
        (b"multipart/form-data; boundary=b", b"--b\r\nA: " + b"x" * 70_000),
    ],
)
def test_what_cannot_be_read_by_any_reading_is_incomplete(content_type: bytes, body: bytes) -> None:
    for step in (0, 1000):
        with pytest.raises(HttpError) as caught:
            texts_of(body, content_type, step=step)
        assert caught.value.reason is Reason.INCOMPLETE


@pytest.mark.parametrize(
    "body", [b"", b"--b", b"--b--", b'{"no": "multipart"}', b"a=1&b=2", b"--b\r\n\r\n--b\r\n\r\n"]
)
@pytest.mark.parametrize("content_type", [b"multipart/form-data", b"multipart/x; boundary=b"])
def test_mistakes_of_honest_clients_pass(body: bytes, content_type: bytes) -> None:
    assert texts_of(body, content_type) == []
    assert texts_of(body, content_type, step=1) == []


def test_mail_is_read_like_a_part() -> None:
    mail = email.message.EmailMessage(policy=email.policy.SMTP)
    mail["Subject"] = "Grüße: the key " + SECRET.decode()
    mail["From"] = "a@example.com"
    mail.set_content("ünïcödé text with " + SECRET.decode() + " " * 3, cte="quoted-printable")
    mail.add_attachment(gzip.compress(SECRET), maintype="application", subtype="gzip")
    for step in (0, 1, 100):
        texts = dict(texts_of(mail.as_bytes(), b"message/rfc822", step=step))
        assert SECRET in texts["body:message[0].part[0]"]
        assert SECRET in texts["body:message[0].part[1].gzip"]
        assert SECRET in texts["body:message[0].head"]
    assert parts_of(Message(), b"")[0][1] == b""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'form-data; name="f"; filename="plain.txt"', b""),
        (b'attachment; filename*0="gh"; filename*1*="p_"; filename*2=tail', b"ghp_tail"),
        (b"attachment; filename*1=two; filename*0=one", b"onetwo"),
        (b"form-data; name=f; filename*=UTF-8''a%20b", b""),
        (b"=?utf-8?Q?ghp=5Fabc?=", b"ghp_abc"),
        (b"=?utf-8?B?Z2hw?= =?utf-8?B?X2FiYw==?=", b"ghp_abc"),
        (b"=?utf-8?B?Z2hwX2FiYw?=", b"ghp_abc"),
        (b"a =?broken", b""),
        (b"=?x?B?a?=", b""),
    ],
)
def test_what_a_field_says_beyond_its_bytes(value: bytes, text: bytes) -> None:
    assert hidden_text(value) == text


def test_parameters() -> None:
    assert parameters(b'x; A=1 ; b="q;\\"r" ;c = d') == [
        (b"a", b"1"),
        (b"b", b'q;"r'),
        (b"c", b"d"),
    ]
    assert parameters(b'x; a="unclosed; b=2') == [(b"a", b'"unclosed'), (b"b", b"2")]
    media = media_of(b"Text/HTML ; Charset=UTF-8; boundary=a; boundary=b")
    assert media == (b"text/html", b"utf-8", (b"a", b"b"))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_transfer_encodings_at_any_cut(data: bytes, cuts: list[int]) -> None:
    for decoder, coded in (
        (Base64, base64.encodebytes(data)),
        (QuotedPrintable, quopri.encodestring(data).replace(b"\n", b"\r\n")),
    ):
        z = decoder()
        edges = [0, *sorted(min(cut, len(coded)) for cut in cuts), len(coded)]
        out = [p for a, b in itertools.pairwise(edges) for p in z.feed(coded[a:b])]
        out += z.flush()
        whole = decoder()
        assert b"".join(out) == b"".join([*whole.feed(coded), *whole.flush()])
        if decoder is Base64:
            assert b"".join(out) == data


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                *(b"--b", b"\r\n", b"\n", b"\r", b"--", b"-", b" ", b"Content-Type: multipart/x"),
                *(b"; boundary=b", b"Content-Transfer-Encoding: base64", b"QUJD", b"=", b"x", b":"),
                *(b"Content-Encoding: gzip", b"\x1f\x8b\x08\x00", b"\r\n\r\n", b"--b\r\n"),
            ]
        ),
        max_size=40,
    ),
    st.integers(1, 9),
)
def test_only_http_errors_come_out_and_cuts_do_not_matter(words: list[bytes], step: int) -> None:
    body = b"".join(words)
    outcomes = []
    for size in (0, 1, step):
        try:
            outcomes.append(repr(texts_of(body, b"multipart/x; boundary=b", step=size)))
        except HttpError as error:
            outcomes.append(error.detail)
    assert outcomes[0] == outcomes[1] == outcomes[2]
