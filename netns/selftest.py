"""Judge the exec gate's report: everything the enclosure promises, seen from the inside.

The gate observes, this module judges, and the two share no code. One broken promise and the agent
is not started.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REFUSED = frozenset(
    {
        "ECONNREFUSED",
        "EPERM",
        "EACCES",
        "EHOSTUNREACH",
        "ENETUNREACH",
        "EADDRNOTAVAIL",  # a kernel without IPv6
        "EAFNOSUPPORT",
    }
)
"""What a datagram to a port without a listener may end in: an immediate refusal."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the report must say."""

    uid: int
    gid: int
    hostname: str
    outside: Mapping[str, str]
    """The supervisor's own namespaces, kind to identity, as in /proc/self/ns."""
    network: str
    """Identity of the captive network namespace, such as `net:[4026532000]`."""
    resolver: str
    """Content of the jail's /etc/resolv.conf."""
    listener: bool
    """The TCP listener must accept."""
    dns: bool
    """The DNS shim must answer."""
    devices: tuple[str, ...] = ("lo",)
    """The network devices that there are."""


def parsed(line: bytes) -> dict[str, Any]:
    """Return the report in a line of JSON. Raises ValueError when it is not one."""
    report = json.loads(line)
    if not isinstance(report, dict):
        raise ValueError("the gate's report is not an object")  # noqa: TRY004
    return report


def problems(report: Mapping[str, Any], expected: Expectation) -> list[str]:
    """Return every broken promise as a clause for people; empty when all hold.

    A report that lacks a key breaks the promise the key stands for.
    """
    found: list[str] = []

    def promise(held: bool, broken: str) -> None:  # noqa: FBT001
        if not held:
            found.append(broken)

    status = report.get("status", {})
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        value = str(status.get(name, "missing"))
        promise(value.strip("0") == "", f"capability set {name} is {value}, not empty")
    promise(status.get("NoNewPrivs") == "1", "no_new_privs is not set")
    promise(status.get("Seccomp") == "2", "no system call filter is loaded")

    ids = report.get("ids", {})
    promise(ids.get("uid") == [expected.uid] * 3, f"user ids are {ids.get('uid')}")
    promise(ids.get("gid") == [expected.gid] * 3, f"group ids are {ids.get('gid')}")

    inside = report.get("namespaces", {})
    for kind in ("mnt", "pid", "ipc", "uts"):
        own = kind in inside and inside[kind] != expected.outside.get(kind)
        promise(own, f"the {kind} namespace is the host's")
    promise(inside.get("net") == expected.network, "the network namespace is not the captive one")
    promise(report.get("hostname") == expected.hostname, f"hostname is {report.get('hostname')!r}")

    kinds = report.get("stdio", ["missing"])
    promise(
        all(kind in {"file", "pipe", "terminal", "null"} for kind in kinds),
        f"stdin, stdout or stderr lead outside: {', '.join(map(str, kinds))}",
    )
    open_descriptors = report.get("descriptors", {"all": "missing"})
    promise(not open_descriptors, f"descriptors were inherited: {open_descriptors}")
    promise(report.get("controlling_terminal") is False, "the operator's terminal is reachable")

    devices = report.get("interfaces")
    promise(devices == [*expected.devices], f"network devices: {devices}")
    promise(report.get("resolver") == expected.resolver, "/etc/resolv.conf is not the jail's")
    promise(report.get("sockets") == [], f"unix sockets of others: {report.get('sockets')}")
    for path, value in report.get("read_only", {"/": False}).items():
        promise(value is True, f"{path} is writable")

    for protocol, wanted, good in (
        ("udp", True, REFUSED),
        ("tcp", expected.listener, frozenset({"connected"})),
        ("dns", expected.dns, frozenset({"answered"})),
    ):
        outcomes = report.get(protocol, {})
        promise(bool(outcomes) or not wanted, f"the {protocol} probe was not made")
        for address, outcome in outcomes.items():
            promise(outcome in good, f"{protocol} probe of {address}: {outcome}")
    return found
