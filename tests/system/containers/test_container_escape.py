"""A container whose root has every capability tries to get out, and works: an OCI runtime here."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from interceptor.containers import hook, trust_files
from netns.escapes import furniture
from netns.escapes.attempt import Attempt, Event
from netns.escapes.attempts import all_local
from netns.escapes.channel import Channel, Evidence
from netns.escapes.furniture import Furniture
from netns.escapes.play import Player, Result
from tests.lab import Lab, gateways, guest
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
from tests.system.containers import bundles

pytestmark = [pytest.mark.lab, pytest.mark.timeout(200)]

NAME = "box-under-test"
EVIDENCE = "/run/gateway-box/box.jsonl"
POLICY = "/etc/box.yaml"
WORLD = {
    "modules": ["link", "work", "container"],
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
    "abstract": furniture.ABSTRACT,
    "sockets": furniture.streams(0, "/tmp", ""),
}


class Played(NamedTuple):
    results: dict[str, Result]
    work: dict[str, dict[str, Any]]
    again: dict[str, dict[str, Any]]
    """After the attempts."""
    code: int
    events: list[dict[str, Any]]
    requests: list[str]
    left: str
    """The gateway's guests after the container's end."""


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    """Two containers at once: one with our hook, one that leads to the lab's internet."""
    missing = Lab.missing() or ("" if bundles.runtime() else "no OCI runtime: apt-get install crun")
    if missing:
        if os.environ.get("EGRESSGUARD_REQUIRE_LAB") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    with Lab() as lab, contextlib.ExitStack() as undo:
        yield _play(lab, undo)


def _play(lab: Lab, undo: contextlib.ExitStack) -> Played:
    bundles.prepare(lab)
    lab.path(POLICY).write_text(f"version: 1\nupstream: {{ca_file: {BUNDLE}}}\n")
    run = undo.enter_context(gateways.running(lab, "/run/gateway-box"))
    options = {"name": NAME, "policy": POLICY, "evidence": EVIDENCE, "run": run}
    runner = [bundles.PYTHON, "-I", "-S", bundles.RUNNER]
    hooks = bundles.hooks(options)
    made = lab.run(["sh", "-c", bundles.folder(NAME)])
    assert made.returncode == 0, made.stderr
    place = bundles.bundle(lab, NAME, runner, hooks=hooks, trusted=True)
    beside = bundles.bundle(
        lab, "control", runner, hooks=bundles.without_us(lab), resolver=RESOLVER_V4
    )
    held = bundles.start(lab, NAME, place)
    undo.callback(held.close)
    control = bundles.start(lab, "control", beside)
    undo.callback(control.close, 0.1)
    oracles = [_oracle(lab, where, undo) for where in ("host", "internet")]
    for channel in (held, control):
        channel.say(WORLD)
        assert channel.hear(60.0)["uid"] == 0
    work = _work(held)
    player = Player(lambda nonces: _seen(lab, oracles, nonces), ["nothing is to be looted"])
    evidence = Evidence(lab.path(EVIDENCE))
    results = player.play(
        attempts(), mode="root", jail=held, controls={"root": control, "user": control},
        evidence=evidence,
    )  # fmt: skip
    again = _work(held)
    again["rewired"] = guest.work(held, "container.rewire", nonce="egxrewired")
    again["silent"] = guest.work(held, "work.fetch", host="www.example.com", path="/rewired")
    code = held.close(30.0)
    requests = [request.target for request in lab.requests()]
    player.match(results, evidence, WORLD)
    found = lab.path(EVIDENCE).read_text("utf-8")
    left = gateways.do(lab, "gateway", "list", "--run", run)
    return Played(
        {result.attempt.id: result for result in results},
        work,
        again,
        code,
        [json.loads(line) for line in found.splitlines()],
        requests,
        left,
    )


def attempts() -> Sequence[Attempt]:
    """The network rows of the escape suite, a network card's, and a container's own."""
    beyond = [
        attempt
        for attempt in all_local()
        if attempt.program.startswith(("local.abstract", "local.vsock", "ring.", "local.stream"))
    ]
    own = [
        Attempt(id="other-side", row=28, title="a link in the gateway's namespace, by its number",
                program="container.other_side", rights=True, event=Event.NONE),
        Attempt(id="foreign", row=28, title="network namespaces of other processes",
                program="container.foreign_namespaces", rights=True, event=Event.NONE),
    ]  # fmt: skip
    return [*beyond, *own, *guest.attempts()]


def _work(channel: Channel) -> dict[str, dict[str, Any]]:
    url = "http://egressguard.internal/ca.pem"
    return {
        "whole": guest.work(channel, "container.whole"),
        "addresses": guest.work(channel, "work.addresses"),
        "wget": guest.work(
            channel, "container.busy_wget", url="https://www.example.com/get?n=by-wget"
        ),
        "trust": guest.work(channel, "work.trust", url=url),
        "fetch": guest.work(channel, "work.fetch", host="www.example.com", path="/get?n=honest"),
        "fetch six": guest.work(channel, "work.fetch", host="www.example.com", six=True),
        "refused": guest.work(channel, "work.fetch", host="metadata.inward.example"),
    }


def _oracle(lab: Lab, where: str, undo: contextlib.ExitStack) -> Channel:
    furnished = Furniture(abstract=furniture.ABSTRACT if where == "host" else {})
    wanted = msgspec.json.encode(furnished).decode()
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


def test_nothing_of_the_containers_got_out(played: Played) -> None:
    escaped = {
        name: (result.jailed.arrived, result.jailed.saw)
        for name, result in played.results.items()
        if result.jailed.reached
    }
    assert not escaped


def test_the_attempts_reach_the_oracle_without_egressguard(played: Played) -> None:
    """The positive control: the same root, the same rights, a cable that leads out."""
    reached = {name for name, result in played.results.items() if result.control.reached}
    assert reached >= {
        *("udp", "udp6", "tcp-22", "tcp-4444", "tcp6", "quic", "quic-odd-port", "dot", "doq"),
        *("ntp", "stun", "wireguard", "icmp-raw", "icmpv6-raw", "protocol-47", "protocol-50"),
        *("every-protocol", "lan", "metadata", "frame-raw", "all-nodes", "broadcast", "mdns"),
        *("spoofed-mac", "spoofed-neighbour", "spoofed-public", "spoofed-six", "tagged"),
        *("broadcast-frame", "fragments", "extended", "dns-name", "dns-odd-udp", "dns-odd-tcp"),
    }, {name: result.control.saw for name, result in played.results.items() if name not in reached}


def test_the_container_has_every_capability(played: Played) -> None:
    told = played.work["whole"]["loot"]
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text("ascii"))
    assert int(told.partition("CapEff:")[2].split()[0], 16) == (1 << last + 1) - 1
    assert told.splitlines()[0].split() == ["Uid:", "0", "0", "0", "0"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_honest_work_succeeds_before_and_after(played: Played, when: str) -> None:
    said = played.work if when == "before" else played.again
    wanted = ("addresses", "wget", "trust", "fetch", "fetch six")
    assert {name: said[name] for name in wanted if not said[name]["gained"]} == {}
    assert "BEGIN CERTIFICATE" in said["trust"]["loot"]
    assert {"/get?n=by-wget", "/get?n=honest"} <= set(played.requests)
    assert said["refused"]["saw"].startswith("HTTP/1.1 403 ")


def test_the_container_is_configured_without_asking(played: Played) -> None:
    told = json.loads(played.work["addresses"]["loot"])
    assert told["addresses"] == ["198.18.0.10/24", "fd65:6772:6573:7301::a/128"]
    assert "default via 198.18.0.1 dev eth0" in told["routes"]
    assert "default via fe80::1 dev eth0" in told["routes"]
    assert told["resolver"] == f"nameserver {trust_files.RESOLVER}\n"


def test_a_container_that_rewires_its_network_is_offline_and_not_free(played: Played) -> None:
    assert played.again["rewired"]["saw"].startswith("codes [0, 0, 0")
    assert not played.again["silent"]["gained"]
    assert "/rewired" not in played.requests


def test_the_evidence_names_the_container(played: Played) -> None:
    unseen = [name for name, result in played.results.items() if result.verdict == "unseen"]
    assert not unseen
    assert {event["jail"] for event in played.events} == {NAME}
    assert played.events[0]["event"] == "started"
    assert played.events[0]["user"] == f"container {NAME[:12]}"
    assert "www.example.com" in {event.get("host") for event in played.events}


def test_the_guest_ends_with_its_container(played: Played) -> None:
    assert played.code == 0
    assert played.left == "No guests.\n"
    assert played.events[-1]["event"] == "stopped"
    assert hook.STAGES == ("createRuntime", "poststop")
