"""A hostile DNS server: it changes its answers between any two queries, and nothing inside is hit.

One program asks every name in three rounds; between them the interceptor's memory of answers ends.
Without the jail the same program reaches the private addresses: that is the positive control.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.world import DEV_WORK, LAN_SERVER, SILENT, WEB, Answer

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

PUBLIC, PUBLIC6 = WEB
LOOP = "127.0.0.1"
ROUNDS = 3

NAMES: dict[str, tuple[Answer, tuple[int, ...]]] = {
    # name -> what DNS says in turn, and what the agent gets in each round
    "public-private": (Answer(turns=((PUBLIC,), (LAN_SERVER,), (LOOP,)), ttl=0), (200, 403, 403)),
    "private-public": (Answer(turns=((LAN_SERVER,), (PUBLIC,), (LOOP,)), ttl=0), (403, 200, 403)),
    "mixed": (Answer(turns=((PUBLIC, LAN_SERVER),), ttl=0), (403, 403, 403)),
    "mixed-families": (Answer(turns=((PUBLIC, "::1"),), ttl=0), (403, 403, 403)),
    "mixed-later": (
        Answer(turns=((PUBLIC,), (PUBLIC, LOOP), (PUBLIC, PUBLIC6)), ttl=0),
        (200, 403, 200),
    ),
    "mapped-later": (Answer(turns=((PUBLIC6,), ("::ffff:10.0.0.5",)), ttl=0), (200, 403, 403)),
    "long-ttl": (Answer(turns=((PUBLIC,), (LAN_SERVER,)), ttl=86_400), (200, 403, 403)),
    "alias-to-private": (
        Answer(cnames=("www.example.com", "lan.inward.example"), ttl=0),
        (200, 403, 403),
    ),
    "alias-to-metadata": (
        Answer(cnames=("metadata.inward.example", "www.example.com"), ttl=0),
        (403, 200, 200),
    ),
    # the address is public: the name is what tells
    "alias-to-its-name": (
        Answer(cnames=("www.example.com", "metadata.google.internal"), ttl=0),
        (200, 403, 403),
    ),
    "alias-to-denied": (
        Answer(cnames=("bad.denied.example", "www.example.com"), ttl=0),
        (403, 200, 200),
    ),
    "silent-private": (Answer(turns=(SILENT[:1], (LAN_SERVER,)), ttl=0), (502, 403, 403)),
}
REASONS = {
    "public-private": "address_private",
    "private-public": "address_private",
    "mixed": "address_private",
    "mixed-families": "address_private",
    "mixed-later": "address_private",
    "mapped-later": "address_private",
    "long-ttl": "address_private",
    "alias-to-private": "address_private",
    "alias-to-metadata": "address_metadata",
    "alias-to-its-name": "address_metadata",
    "alias-to-denied": "host_denied",
    "silent-private": "address_private",
}

PROGRAM = """
import http.client, json, sys, time
names, rounds, pause = json.loads(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
told = {name: [] for name in names}
for number in range(rounds):
    if number:
        time.sleep(pause)
    for name in names:
        try:
            end = http.client.HTTPConnection(name + ".hostile.example", 80, timeout=20)
            end.request("GET", "/close-delimited")  # upstream keeps no connection
            answer = end.getresponse()
            told[name].append([answer.status, answer.read().decode("latin-1")])
        except Exception as error:
            told[name].append([0, f"{type(error).__name__}: {error}"])
print(json.dumps(told))
"""
POLICY = """
hosts: {deny: ["*.denied.example"]}
limits: {connect_seconds: 1.5}
"""


def _set_names(lab: Lab) -> None:
    for name, (answer, _) in NAMES.items():
        lab.set_name(f"{name}.hostile.example", answer)
    lab.set_name("metadata.google.internal", Answer((PUBLIC,)))
    lab.set_name("bad.denied.example", Answer((PUBLIC,)))


def _words(pause: float, without: str = "") -> list[str]:
    names = json.dumps([name for name in NAMES if name != without])
    return ["/usr/bin/python3", "-c", PROGRAM, names, str(ROUNDS), str(pause)]


def test_without_the_jail_it_reaches_what_is_inside(clean_lab: Lab) -> None:
    """Positive control."""
    _set_names(clean_lab)
    clean_lab.run(_words(0.0, "silent-private"), user="dev", timeout=60)
    hit = {record.destination for record in clean_lab.oracle.records()}
    assert {LAN_SERVER, LOOP, "169.254.169.254"} <= hit


def test_nothing_inside_is_reached(clean_lab: Lab) -> None:
    _set_names(clean_lab)
    clean_lab.path(f"{DEV_WORK}/policy.yaml").write_text(f"version: 1\n{POLICY}")
    words = ["--policy", f"{DEV_WORK}/policy.yaml"]
    done = clean_lab.jail(_words(5.3), *words, timeout=120)
    told = json.loads(done.text)
    hit = {record.destination for record in clean_lab.oracle.records()}
    assert hit == {SILENT[0]}  # which is public, and was allowed
    assert "oracle" not in done.text
    got = {name: tuple(status for status, _ in rounds) for name, rounds in told.items()}
    assert got == {name: expected for name, (_, expected) in NAMES.items()}, told
    for name, rounds in told.items():
        for status, text in rounds:
            if status == 403:
                explained = json.loads(text)
                assert explained["reason"] == REASONS[name], (name, explained)
                assert f"{name}.hostile.example" in explained["detail"]
    # what was dialled was public, each time
    events = done.events()
    ends = [event for event in events if event["event"] == "finished"]
    assert {event["address"] for event in ends} == {PUBLIC, PUBLIC6, ""}
    # one look-up for each request: an answer that nobody judged was never asked for
    asked = Counter((question.name, question.kind) for question in clean_lab.dns_log())
    for name in NAMES:
        for kind in ("A", "AAAA"):
            assert asked[f"{name}.hostile.example", kind] == ROUNDS, (name, asked)


def test_a_connection_that_is_kept_outlives_no_judgement(clean_lab: Lab) -> None:
    """The pool keeps what was dialled, not a name: DNS that changes meanwhile moves nobody."""
    clean_lab.set_name("kept.hostile.example", Answer(turns=((PUBLIC,), (LAN_SERVER,)), ttl=0))
    program = (
        "import http.client, sys, time\n"
        "for pause in (0, 0.2, 6):\n"
        "    time.sleep(pause)\n"
        "    end = http.client.HTTPConnection('kept.hostile.example', 80, timeout=20)\n"
        "    end.request('GET', '/get')\n"
        "    answer = end.getresponse()\n"
        "    print(answer.status, b'\"method\"' in answer.read())\n"
        "    end.close()\n"
    )
    done = clean_lab.jail(["/usr/bin/python3", "-c", program])
    assert done.text.split("\n")[:3] == ["200 True"] * 3, done.errors
    found: list[Any] = clean_lab.requests("kept.hostile.example")
    assert len({entry.connection for entry in found}) == 1
    assert clean_lab.oracle.records() == []
