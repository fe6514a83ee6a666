"""What steers in streams of other protocols than plain HTTP, through a jail; and exemptions there.

Everything is asked outside the jail too: the positive control.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.disguises import BAD, GOOD
from tests.lab import Answer, Lab, daemons
from tests.lab.agents import Ran, need, python, run
from tests.lab.clients import no_environment
from tests.lab.world import WEB

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

EXEMPT = "inbound:\n  exempt:\n    - {host: '*.example.com'}\n    - {host: '*.example'}\n"
CALLS = [
    {"kind": "unary", "messages": [GOOD]},
    {"kind": "unary", "messages": [BAD]},
    {"kind": "bidi", "messages": ["one", BAD, "three"]},
]
SAID = "text.opened.example"
OPENED = "hosts:\n  allow: ['*.example', '*.example.com']\n"


@pytest.fixture
def calls(clean_lab: Lab) -> Lab:
    need(daemons.missing("grpc"))
    daemons.grpc(clean_lab).clear()
    return clean_lab


def called(lab: Lab, *, jailed: bool, policy: str = "", **plan: object) -> tuple[Any, Ran]:
    words = python(
        "grpc_calls.py", "grpc.example.com:443", {"calls": CALLS, "secure": True, **plan}
    )
    ran = run(lab, words, jailed=jailed, policy=policy)
    return ran.json(), ran


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
def test_a_message_of_grpc(calls: Lab, compress: bool) -> None:
    outside, _ = called(calls, jailed=False, compress=compress)
    assert [call["code"] for call in outside] == ["OK"] * 3
    assert outside[1]["answers"] == [f"echo:{BAD}"]
    found, ran = called(calls, jailed=True, compress=compress)
    assert [call["code"] for call in found] == ["OK", "PERMISSION_DENIED", "PERMISSION_DENIED"]
    assert found[0]["answers"] == [f"echo:{GOOD}"]
    assert found[1]["answers"] == []
    assert found[2]["answers"] in ([], ["echo:one"])  # what came before, where it was taken in time
    assert "injection" in found[1]["details"]
    assert [event["reason"] for event in ran.blocks()] == ["injection"] * 2
    exempt, ran = called(calls, jailed=True, policy=EXEMPT, compress=compress)
    assert [call["answers"] for call in exempt] == [call["answers"] for call in outside]
    assert ran.blocks() == []


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "deflate"])
def test_a_message_of_a_websocket(clean_lab: Lab, compress: bool) -> None:
    need(no_environment())
    need(daemons.missing("websocket"))
    daemons.websocket(clean_lab).clear()
    plan = {
        "url": "wss://ws.example.com/echo",
        "send": [GOOD, BAD, "more"],
        "deflate": compress,
    }
    words = python("websocket_talk.py", "websockets", plan)
    outside = run(clean_lab, words, jailed=False).json()
    assert [answer["text"] for answer in outside["answers"]] == plan["send"]
    ran = run(clean_lab, words, jailed=True)
    assert [answer["text"] for answer in ran.json()["answers"]] == [GOOD]
    assert [event["reason"] for event in ran.blocks()] == ["injection"]
    ran = run(clean_lab, words, jailed=True, policy=EXEMPT)
    assert [answer["text"] for answer in ran.json()["answers"]] == plan["send"]
    assert ran.blocks() == []


def test_records_of_a_name(clean_lab: Lab) -> None:
    said = f'"{BAD[:100]}" "{BAD[100:]}"'
    clean_lab.set_name(SAID, Answer(WEB, records=(("TXT", said),)))
    clean_lab.set_name("good.opened.example", Answer(WEB, records=(("TXT", f'"{GOOD[:200]}"'),)))
    script = "dig +short TXT good.opened.example; echo; dig TXT " + SAID
    ran = run(clean_lab, ["sh", "-c", script], jailed=True, policy=OPENED)
    assert GOOD[:40] in ran.text
    assert "Ignore all" not in ran.text
    (refused,) = ran.blocks()
    assert (refused["reason"], refused["host"]) == ("injection", SAID)
    ran = run(clean_lab, ["sh", "-c", script], jailed=True, policy=OPENED + EXEMPT)
    assert "Ignore all" in ran.text
    assert ran.blocks() == []


def test_the_end_of_a_long_page(clean_lab: Lab) -> None:
    """Longer than what is held: it passes in pieces, up to the one before what steers begins."""
    filler = "<p>The report of that day lists what was done, and by whom it was done.</p>\n"
    many = filler * (1_500_000 // len(filler))
    for version in ("never", "always"):
        for text, jailed in ((GOOD, True), (BAD, False), (BAD, True)):
            page = f"<!doctype html>{many}<p>{text}</p>{filler * 300}".encode()
            clean_lab.set_page("long", "text/html", page)
            fetch = "curl -sS --max-time 60 https://www.example.com/served/long; echo $? >&2"
            policy = f"http2: {version}\n"
            ran = run(
                clean_lab, ["sh", "-c", fetch], jailed=jailed, policy=policy if jailed else ""
            )
            got = ran.stdout
            if text == GOOD or not jailed:
                assert got == page
                continue
            assert page.startswith(got)
            assert 1_000_000 < len(got) < len(page)
            assert b"Ignore" not in got
            assert "curl: (" in ran.errors  # an end that nobody takes for the page's
            assert [event["reason"] for event in ran.blocks()] == ["injection"]
