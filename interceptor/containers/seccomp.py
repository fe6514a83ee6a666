"""Seccomp profiles of containers, as far as they concern a way out that no namespace holds.

Address family AF_VSOCK (vsock(7)) leads to the hypervisor whatever the network namespace; Docker's
profile refuses it, Podman's does not. io_uring makes sockets that no filter sees
(io_uring_enter(2)), and socketcall(2) hides its arguments from one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from typing import Any, Final

AF_VSOCK: Final = 40  # linux/socket.h
ERROR: Final = 97  # EAFNOSUPPORT

_GET_LOCAL_CID: Final = 0x7B9  # linux/vm_sockets.h, IOCTL_VM_SOCKETS_GET_LOCAL_CID
_NOWHERE: Final = 0xFFFFFFFF  # VMADDR_CID_ANY: there is no transport
_INT: Final = 0xFFFFFFFF
_REFUSED: Final = {
    "index": 0,
    "value": _INT,
    "valueTwo": AF_VSOCK,
    "op": "SCMP_CMP_MASKED_EQ",
}
"""The kernel takes the lower half of the argument, a filter that compares looks at all of it."""
_RINGS: Final = ("io_uring_setup", "io_uring_enter", "io_uring_register")
_HIDDEN: Final = ("socket", "socketcall")
_REFUSALS: Final = frozenset(
    f"SCMP_ACT_{name}" for name in ("ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP")
)
"""Whatever else a profile says of a call may let it through."""


def vsock_leads_out(device: str = "/dev/vsock") -> bool:
    """Whether this machine's vsock has another end: a hypervisor, machines, or its loopback."""
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        found = fcntl.ioctl(descriptor, _GET_LOCAL_CID, bytes(4))
        return int.from_bytes(found, "little") != _NOWHERE
    except OSError:
        return True
    finally:
        os.close(descriptor)


def leaves_vsock(profile: Any) -> bool:
    """Whether a container with this profile (config-linux.md, `seccomp`) can make such a socket.

    The profile is that of the runtime's configuration, or an engine's file, whose rules for single
    capabilities and architectures count as if they held. What is not understood counts as allowed.
    """
    if not isinstance(profile, Mapping):
        return True
    allowed_else = profile.get("defaultAction") not in _REFUSALS
    rules = [rule for rule in profile.get("syscalls") or () if isinstance(rule, Mapping)]
    for name in (*_RINGS, "socket"):
        said = [rule for rule in rules if name in (rule.get("names") or ())]
        refused = any(_refuses(rule) for rule in said)
        allowed = any(rule.get("action") not in _REFUSALS and not _spares(rule) for rule in said)
        if not refused and (allowed or allowed_else):
            return True
        if refused and allowed:
            return True  # which of two rules wins is the filter's secret
    return False


def _refuses(rule: Mapping[str, Any]) -> bool:
    """Whether a rule refuses the call, always or for AF_VSOCK."""
    if rule.get("action") not in _REFUSALS:
        return False
    args = rule.get("args") or []
    return not args or (len(args) == 1 and _same(args[0], _REFUSED))


def _spares(rule: Mapping[str, Any]) -> bool:
    """Whether an allowing rule does not allow AF_VSOCK: one of its conditions shuts it out."""
    for condition in rule.get("args") or ():
        if condition.get("index") != 0:
            continue
        value, operator = condition.get("value"), condition.get("op")
        if not isinstance(value, int):
            continue
        if operator == "SCMP_CMP_EQ" and value & _INT != AF_VSOCK:
            return True
        if operator == "SCMP_CMP_LT" and value <= AF_VSOCK:
            return True
    return False


def _same(condition: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(condition.get(key) == value for key, value in wanted.items())


def without_vsock(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return an engine's profile (containers-common's seccomp.json) that refuses vsock too.

    Rules about socket(2) and io_uring go. Where the profile refuses what it does not name, sockets
    of all families below AF_VSOCK are named, but the audit's (NETLINK_AUDIT), as the engines' own
    profiles have it; where it allows that, vsock is refused. Never both: libseccomp takes no rule
    that does what is done anyway, nor two that overlap.
    """
    found = dict(profile)
    gone = {*_RINGS, *_HIDDEN}
    rules = []
    for rule in profile.get("syscalls") or ():
        names = [name for name in rule.get("names") or () if name not in gone]
        if names:
            rules.append({**rule, "names": names})
    if profile.get("defaultAction") not in _REFUSALS:
        error = {"action": "SCMP_ACT_ERRNO", "errnoRet": ERROR}
        rules.append({"names": ["socket"], **error, "args": [_REFUSED]})
        rules.append({"names": list(_RINGS), "action": "SCMP_ACT_ERRNO", "errnoRet": 38})  # ENOSYS
    else:
        netlink = 16  # AF_NETLINK; its protocol 9 is the audit's
        rules.append({"names": ["socket"], **_when(0, netlink, "LT")})
        rules.append({"names": ["socket"], **_when(0, netlink, "EQ", 2, 9, "NE")})
        families = range(netlink + 1, AF_VSOCK)
        rules += [{"names": ["socket"], **_when(0, family, "EQ")} for family in families]
    found["syscalls"] = rules
    return found


def _when(*conditions: int | str) -> dict[str, Any]:
    """An allowing rule with conditions: index, value, operator, and again."""
    args = [
        {"index": index, "value": value, "valueTwo": 0, "op": f"SCMP_CMP_{operator}"}
        for index, value, operator in zip(
            conditions[::3], conditions[1::3], conditions[2::3], strict=True
        )
    ]
    return {"action": "SCMP_ACT_ALLOW", "args": args}
