"""Uploads through the whole flow with the real judge: what is in them is found, and not sent."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from typing import cast

import pytest

from interceptor.decide.judge import Judge
from interceptor.policy.schema import Addresses, Limits, Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import load_rules
from tests.body_texts import SECRET
from tests.conversation import Conversation, ScriptedJudge

NOISE = random.Random(4).randbytes(60_000)
POLICY = Policy(addresses=Addresses(allow=("192.0.2.0/24",)))
JUDGE = Judge(POLICY, Scanner.build(load_rules(), None), b"k" * 16)


def multipart(secret: bytes) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("noise", NOISE)
        archive.writestr("env", b"KEY=" + secret)
        archive.writestr("more", NOISE)
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.zip"\r\n\r\n'
    return (
        "Content-Type: multipart/form-data; boundary=b\r\n",
        head + buffer.getvalue() + b"\r\n--b--",
    )


def coded(secret: bytes) -> tuple[str, bytes]:
    return "Content-Encoding: gzip\r\n", gzip.compress(NOISE + secret + NOISE)


def wide(secret: bytes) -> tuple[str, bytes]:
    text = "words " * 20_000 + secret.decode() + " words" * 20_000
    return "Content-Type: text/plain\r\n", text.encode("utf-16-le")


@pytest.mark.parametrize("make", [multipart, coded, wide])
@pytest.mark.parametrize("hold", [1 << 20, 4096])
@pytest.mark.parametrize("step", [700, 1 << 20])
def test_uploads(make: object, hold: int, step: int) -> None:
    for secret in (SECRET, b"gh" + b"p_" + b"x" * 36):
        fields, body = make(secret)  # type: ignore[operator]
        head = f"POST / HTTP/1.1\r\nHost: api.example.com\r\n{fields}"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        talk = Conversation(
            judge=cast("ScriptedJudge", JUDGE),
            limits=Limits(body_hold=hold),
        )
        talk.say(head.encode(), *(body[at : at + step] for at in range(0, len(body), step)))
        sent = talk.sent
        if secret is SECRET:
            assert talk.blocks == ["secret"]
            assert len(sent) < len(body)
            assert hold == 4096 or not sent
            assert b"403" in talk.received[:20]
        else:
            assert not talk.blocks
            assert sent.endswith(body)
