"""A real Linux guest, whose root tries to get out, and works: QEMU's emulation, Debian's kernel."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest

from interceptor.serve import guest_site
from netns.escapes import furniture
from netns.escapes.channel import Channel, Evidence
from netns.escapes.furniture import Furniture
from netns.escapes.play import Player, Result
from tests.lab import Lab, guest, guest_image
from tests.lab.host_files import BUNDLE
from tests.lab.world import (
    ATTACKER,
    GATEWAY_V4,
    HOST_V4,
    LAN_SERVER,
    METADATA,
    RESOLVER_V4,
    RESOLVER_V6,
)

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

EVIDENCE = "/var/log/guest.jsonl"
NAME = "guest-under-test"
WORLD = {
    "modules": ["link", "work"],
    "public4": "9.9.9.9",
    "public6": "2d00:99::1",
    "attacker4": ATTACKER[0],
    "lan4": LAN_SERVER,
    "lan6": "fd12:3456:789a::5",
    "metadata4": METADATA[0],
    "metadata6": METADATA[1],
    "resolver4": RESOLVER_V4,
    "resolver6": RESOLVER_V6,
    "host4": HOST_V4,
    "source4": "198.18.0.10",
    "own4": "198.18.0.10",
    "own6": "fd65:6772:6573:7301::a",
    "neighbour4": GATEWAY_V4,
    "gateway4": "198.18.0.1",
    "gateway6": "fd65:6772:6573:7301::1",
    "broadcast4": "255.255.255.255",
    "device": "eth0",
}


class Played(NamedTuple):
    results: dict[str, Result]
    before: dict[str, dict[str, Any]]
    """What the guest's work came to before the attempts, by program."""
    after: dict[str, dict[str, Any]]
    """After the attempts and the floods."""
    code: int
    events: list[dict[str, Any]]
    messages: str
    requests: list[str]
    """Targets that the lab's web servers were asked for."""
    rootless: dict[str, Any]
    """What a machine that an ordinary user has started came to."""


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    """Two machines at once: one behind egressguard, one with a way to the lab's internet."""
    missing = Lab.missing() or guest_image.missing()
    if missing:
        if os.environ.get("EGRESSGUARD_REQUIRE_LAB") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    with Lab() as lab, contextlib.ExitStack() as undo:
        yield _play(lab, undo)


def _play(lab: Lab, undo: contextlib.ExitStack) -> Played:
    files = guest.image(lab)
    policy = "/etc/guest.yaml"
    lab.path(policy).write_text(f"version: 1\nupstream: {{ca_file: {BUNDLE}}}\n")
    enclosed = guest.behind(lab, files, EVIDENCE, "--name", NAME, "--policy", policy)
    undo.callback(enclosed.close)
    control = guest.beside(lab, files)
    undo.callback(control.close, 0.1)
    oracles = [_oracle(lab, where, undo) for where in ("host", "internet")]
    guest.wait_for(enclosed, WORLD)
    before = _work(enclosed)
    guest.wait_for(control, WORLD)
    player = Player(lambda nonces: _seen(lab, oracles, nonces), ["nothing is to be looted"])
    evidence = Evidence(lab.path(EVIDENCE))
    results = player.play(
        guest.attempts(),
        mode="root",
        jail=enclosed,
        controls={"root": control, "user": control},
        evidence=evidence,
    )
    floods = {
        program: guest.work(enclosed, program, ports=guest.LISTENERS)
        for program in ("link.poison", "link.advertise", "link.dhcp_flood", "link.listeners")
    }
    after = floods | _work(enclosed) | {"work.lease": guest.work(enclosed, "work.lease")}
    guest.work(enclosed, "work.leave")
    code = enclosed.close(30.0)
    player.match(results, evidence, WORLD)
    messages = lab.path(guest.MESSAGES).read_text("utf-8", "replace")
    requests = [request.target for request in lab.requests()]
    return Played(
        {result.attempt.id: result for result in results},
        before,
        after,
        code,
        lab.evidence(EVIDENCE),
        messages,
        requests,
        _rootless(lab, files),
    )


def _rootless(lab: Lab, files: guest_image.Image) -> dict[str, Any]:
    """Start the machine without any right of root's, and have it work."""
    policy, evidence = "/home/dev/guest.yaml", "/home/dev/guest.jsonl"
    lab.path(policy).write_text(f"version: 1\nupstream: {{ca_file: {BUNDLE}}}\n")
    channel = guest.behind(lab, files, evidence, "--policy", policy, rootless=True)
    guest.wait_for(channel, WORLD)
    url = f"{guest_site.URL}ca.pem"
    trusted = guest.work(channel, "work.trust", url=url)["gained"]
    fetched = guest.work(channel, "work.fetch", host="www.example.com")["gained"]
    guest.work(channel, "work.leave")
    code = channel.close(30.0)
    return {"trusted": trusted, "fetched": fetched, "code": code, "events": lab.evidence(evidence)}


def _work(channel: Channel) -> dict[str, dict[str, Any]]:
    url = f"{guest_site.URL}ca.pem"
    return {
        "work.addresses": guest.work(channel, "work.addresses"),
        "work.solicit": guest.work(channel, "work.solicit"),
        "work.trust": guest.work(channel, "work.trust", url=url),
        "work.fetch": guest.work(
            channel, "work.fetch", host="www.example.com", path="/get?n=honest"
        ),
        "work.fetch six": guest.work(channel, "work.fetch", host="www.example.com", six=True),
        "refused": guest.work(channel, "work.fetch", host="metadata.inward.example"),
    }


def _oracle(lab: Lab, where: str, undo: contextlib.ExitStack) -> Channel:
    wanted = msgspec.json.encode(Furniture()).decode()
    command = [*furniture.module("netns.escapes.oracle"), wanted]
    channel = Channel(lab.popen(command, stdin=-1, stderr=None, where=where), where)
    undo.callback(channel.close)
    channel.hear()
    return channel


def _seen(lab: Lab, oracles: Sequence[Channel], nonces: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for channel, name in zip(oracles, ("host", "internet"), strict=True):
        for nonce in channel.ask({"nonces": nonces})["found"]:
            found.setdefault(nonce, set()).add(f"{name}'s network")
    for arrival in lab.oracle.records():
        for nonce in nonces:
            if nonce.encode() in arrival.data + arrival.plaintext:
                found.setdefault(nonce, set()).add(f"lab's oracle ({arrival.where})")
    for question in lab.dns_log():
        for nonce in nonces:
            if nonce in question.name:
                found.setdefault(nonce, set()).add("resolver")
    return {nonce: sorted(places) for nonce, places in found.items()}


def test_nothing_of_the_guests_got_out(played: Played) -> None:
    escaped = {name: result.jailed.arrived for name, result in played.results.items()
               if result.jailed.reached}  # fmt: skip
    assert not escaped


def test_each_attempt_works_without_egressguard(played: Played) -> None:
    """The positive control: the same guest, the same programs, another card."""
    reached = {name for name, result in played.results.items() if result.control.reached}
    assert reached >= {
        *("udp", "udp6", "tcp-22", "tcp-4444", "tcp6", "quic", "quic-odd-port", "dot", "doq"),
        *("ntp", "stun", "wireguard", "icmp-raw", "icmpv6-raw", "protocol-47", "protocol-50"),
        *("every-protocol", "lan", "metadata", "frame-raw", "all-nodes", "broadcast", "mdns"),
        *("spoofed-mac", "spoofed-neighbour", "spoofed-public", "spoofed-six", "tagged"),
        *("broadcast-frame", "fragments", "extended", "dns-name", "dns-odd-udp", "dns-odd-tcp"),
    }, {name: result.control.saw for name, result in played.results.items() if name not in reached}


def test_the_evidence_names_what_was_refused_and_who_tried(played: Played) -> None:
    unseen = [name for name, result in played.results.items() if result.verdict == "unseen"]
    assert not unseen
    assert {event["jail"] for event in played.events} == {NAME}
    assert played.events[0]["event"] == "started"
    assert played.events[-1]["event"] == "stopped"
    packets = [event for event in played.events if event.get("kind") == "packet"]
    assert {"block"} == {event["action"] for event in packets}


@pytest.mark.parametrize("when", ["before", "after"])
def test_honest_work_succeeds_before_and_after(played: Played, when: str) -> None:
    said = played.before if when == "before" else played.after
    wanted = ("work.addresses", "work.solicit", "work.trust", "work.fetch", "work.fetch six")
    assert {name: said[name]["saw"] for name in wanted if not said[name]["gained"]} == {}
    assert "BEGIN CERTIFICATE" in said["work.trust"]["loot"]
    assert said["work.solicit"]["loot"] == "fd65:6772:6573:7301::1"
    assert "/get?n=honest" in played.requests
    assert said["refused"]["saw"].startswith("HTTP/1.1 403 ")


def test_an_unmodified_guest_is_configured(played: Played) -> None:
    told = json.loads(played.before["work.addresses"]["loot"])
    assert "198.18.0.10/24" in told["addresses"]
    assert [each for each in told["addresses"] if each.startswith("fd65:6772:6573:7301:")]
    assert "default via 198.18.0.1 dev eth0" in told["routes"]
    assert "default via fe80::1 dev eth0" in told["routes"]
    assert told["resolver"] == "nameserver 198.18.0.1\n"


def test_floods_cost_the_guest_nothing_but_their_answers(played: Played) -> None:
    assert played.after["work.lease"]["saw"] == "198.18.0.10"
    assert not played.after["link.listeners"]["gained"], played.after["link.listeners"]
    assert all("sent" in played.after[f"link.{name}"]["saw"]
               for name in ("poison", "advertise", "dhcp_flood"))  # fmt: skip


def test_the_trust_is_given_by_the_same_decision_path(played: Played) -> None:
    asked = [e for e in played.events if e["event"] == "decision" and guest_site.NAME in str(e)]
    (fetched, *_) = [e for e in asked if e.get("kind") == "http_request"]
    assert fetched["action"] == "allow"
    assert fetched["path"] == "/ca.pem"


def test_the_machine_ends_as_it_would_and_the_operator_is_told(played: Played) -> None:
    assert played.code == 0, played.messages
    assert "Evidence: " in played.messages
    assert "Traceback" not in played.messages


def test_an_ordinary_user_may_start_one(played: Played) -> None:
    said = played.rootless
    assert (said["trusted"], said["fetched"], said["code"]) == (True, True, 0)
    assert said["events"][0]["rootless"] is True
    assert "www.example.com" in {event.get("host") for event in said["events"]}
