"""Honest work in a virtual machine: learn to trust, look up, fetch."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import subprocess
import time
import urllib.request

from netns.escapes.task import Task

_AUTHORITY = "/run/authority.pem"


def trust(task: Task) -> str:
    """Get the authority's certificate from its documented place."""
    with urllib.request.urlopen(task.args["url"], timeout=20) as answer:
        content = answer.read()
    with open(_AUTHORITY, "wb") as file:
        file.write(content)
    task.took(content)
    return task.gain(f"{len(content)} bytes")


def fetch(task: Task) -> str:
    """Fetch over TLS, verified with that certificate alone, over IPv4 or IPv6."""
    family = socket.AF_INET6 if task.args.get("six") else socket.AF_INET
    host = task.args["host"]
    where = socket.getaddrinfo(host, 443, family, socket.SOCK_STREAM)[0][4]
    context = ssl.create_default_context(cafile=_AUTHORITY)
    with socket.socket(family, socket.SOCK_STREAM) as plain:
        plain.settimeout(20)
        plain.connect(where)
        with context.wrap_socket(plain, server_hostname=host) as end:
            path = task.args.get("path", "/").replace("NONCE", task.nonce.decode())
            end.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            data = b""
            while piece := end.recv(65536):
                data += piece
    task.took(data)
    if data.startswith(b"HTTP/1.1 200 "):
        task.gain("fetched")
    return data.partition(b"\r\n")[0].decode()


def addresses(task: Task) -> str:
    """Say which addresses, routes and name server this machine has been given."""
    deadline = time.monotonic() + 10
    while True:
        shown = subprocess.run(["ip", "addr", "show", "eth0"], capture_output=True, check=True)
        found = re.findall(rb"inet6? (\S+) .*scope global", shown.stdout)
        routes = subprocess.run(["ip", "route"], capture_output=True, check=True).stdout
        routes += subprocess.run(["ip", "-6", "route"], capture_output=True, check=True).stdout
        if len(found) >= 2 or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    with open("/etc/resolv.conf") as file:
        resolver = file.read()
    told = {"addresses": [each.decode() for each in found], "routes": routes.decode()}
    task.took(json.dumps({**told, "resolver": resolver}))
    return task.gain("told") if found else "none"


def solicit(task: Task) -> str:
    """Ask for a router, and say which name servers it advertises (RFC 8106)."""
    index = socket.if_nametoindex("eth0")
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as end:
        end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        end.settimeout(5)
        end.sendto(b"\x85" + bytes(7), ("ff02::2", 0, 0, index))
        while True:
            data = end.recv(2048)
            if data[0] == 134:
                break
    at = 16
    while at + 8 <= len(data):
        kind, size = data[at], data[at + 1] * 8
        if kind == 25:
            (lifetime,) = struct.unpack_from("!I", data, at + 4)
            server = socket.inet_ntop(socket.AF_INET6, data[at + 8 : at + 24])
            task.gain("advertised")
            task.took(server)
            return f"{server} for {lifetime} s"
        at += size or len(data)
    return "no name server in it"


def lease(task: Task) -> str:
    """Get an address by DHCP once more."""
    done = subprocess.run(
        ["udhcpc", "-i", "eth0", "-q", "-n", "-f", "-t", "8", "-T", "1", "-s", "/bin/true"],
        capture_output=True,
        check=False,
    )
    said = (done.stdout + done.stderr).decode()
    if found := re.search(r"lease of (\S+) obtained", said):
        task.gain("obtained")
        return found[1]
    return said[-200:]


def leave(task: Task) -> str:
    """Switch the machine off."""
    # In a session of its own: what an attempt leaves behind is killed.
    subprocess.Popen(["sh", "-c", "sleep 0.3; poweroff -f"], start_new_session=True)
    return task.gain("leaving")
