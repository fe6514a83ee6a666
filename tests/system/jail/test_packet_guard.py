"""Refused packets are named, with who sent them, and what they carried is looked at."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interceptor.scan.ruleset import example
from tests.lab import Lab

# It has no wheels; where it could not be built, packets are refused without a name.
pytest.importorskip("netfilterqueue")

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_SEND = """
import socket, sys, time
kept = []
for address, port, data in {sent!r}:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    kept.append(sock)
    try:
        sock.sendto(bytes.fromhex(data), (address, port))
        print("sent")
    except OSError as error:
        print(error.errno)
time.sleep(3)  # the guard imports what it names packets with for the first one
"""


def program(*sent: tuple[str, int, bytes]) -> list[str]:
    listed = [(address, port, data.hex()) for address, port, data in sent]
    return ["/usr/bin/python3", "-c", _SEND.format(sent=listed)]


def packets(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [e for e in events if e["event"] == "decision" and e["kind"] == "packet"]


def test_datagrams_are_named(clean_lab: Lab) -> None:
    ntp = b"\x1b" + bytes(47)
    query = b"\0\1\1\0\0\1\0\0\0\0\0\0\1a\7example\4test\0\0\1\0\1"
    stun = b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)
    sent = program(
        ("9.9.9.9", 123, ntp), ("2d00:99::1", 5300, query), ("9.9.9.9", 4242, stun),
        ("9.9.9.9", 7000, b"ordinary words"),
    )  # fmt: skip
    done = clean_lab.jail(sent)
    assert done.text.split() == ["1"] * 4, done.errors  # EPERM, at once
    said = {e["detail"].partition(":")[0] for e in packets(done.events())}
    assert said == {"NTP", "DNS on port 5300", "STUN on port 4242", "UDP"}
    assert {e["action"] for e in packets(done.events())} == {"block"}
    known = [e for e in done.events() if e["event"] == "process"]
    owners = {e["flow"]: e["process"] for e in known} | {
        e["flow"]: e["process"] for e in packets(done.events()) if e["process"]
    }
    assert owners.keys() == {e["flow"] for e in packets(done.events())}
    assert all(p["executable"].startswith("/usr/bin/python3") for p in owners.values())


def test_what_a_datagram_carries_is_looked_at(clean_lab: Lab) -> None:
    secret = example(["AK", "IA", "{upper32:16}"], "packet guard")
    done = clean_lab.jail(program(("9.9.9.9", 9000, b"x=" + secret)))
    (event,) = packets(done.events())
    assert event["reason"] == "secret"
    assert secret.decode() not in json.dumps(done.events())


def test_connections_name_their_process(clean_lab: Lab) -> None:
    done = clean_lab.jail(["/usr/bin/curl", "-s", "-o", "/dev/null", "https://www.example.com/"])
    flows = {e["flow"] for e in done.events() if e["event"] == "decision" and e["flow"][0] == "f"}
    named = {
        e["flow"]: e["process"]
        for e in done.events()
        if e["event"] in ("decision", "process") and e["process"]
    }
    assert flows
    assert flows <= set(named)
    assert named[flows.pop()]["executable"].endswith("curl")
