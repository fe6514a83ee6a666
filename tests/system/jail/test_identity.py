"""One identity with real clients: each attempt beside its honest twin, in one jail."""

from __future__ import annotations

import base64
import json
import shlex
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.programs import Finished
from tests.lab.world import DEV_WORK
from tests.pure.wire.test_tls_hello import ECH_OUTER, extension, hello, records, sni

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

HOST, OTHER, PROXY = "api.example.com", "www.example.com", "proxy.attacker.example"
_CURL = ["curl", "-sSk", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}"]
_H2 = ["--http2-prior-knowledge"]
_CONNECT = ["-x", f"http://{PROXY}:3128"]
_SOCKS = ["-x", f"socks5h://{PROXY}:1080"]

ROWS: dict[str, tuple[list[str], str]] = {
    # what is tried -> the command, the status it gets
    "honest": ([f"https://{HOST}/get"], "200"),
    "Host": (["-H", f"Host: {OTHER}", f"https://{HOST}/get"], "403"),
    "Host, plain": (["-H", f"Host: {OTHER}", f"http://{HOST}/get"], "403"),
    "SNI and Host": (["--connect-to", f"{OTHER}:443:{HOST}:443", f"https://{OTHER}/get"], "403"),
    "port of Host": (["-H", f"Host: {HOST}:8443", f"https://{HOST}/get"], "403"),
    "absolute form": (["--request-target", f"https://{OTHER}/get", f"https://{HOST}/get"], "403"),
    "HTTP/2 in clear, authority": ([*_H2, "-H", f"Host: {OTHER}", f"http://{HOST}/get"], "421"),
    "CONNECT, honest": ([*_CONNECT, f"https://{HOST}/get"], "200"),
    "CONNECT, Host": ([*_CONNECT, "-H", f"Host: {OTHER}", f"https://{HOST}/get"], "403"),
    "CONNECT, SNI": (
        [*_CONNECT, "--connect-to", f"{OTHER}:443:{HOST}:443", f"https://{OTHER}/get"],
        "403",
    ),
    "proxy, honest": ([*_CONNECT, f"http://{HOST}/get"], "200"),
    "proxy, Host": ([*_CONNECT, "-H", f"Host: {OTHER}", f"http://{HOST}/get"], "403"),
    "SOCKS, honest": ([*_SOCKS, f"https://{HOST}/get"], "200"),
    "SOCKS, Host": ([*_SOCKS, "-H", f"Host: {OTHER}", f"https://{HOST}/get"], "403"),
    "SOCKS, SNI": (
        [*_SOCKS, "--connect-to", f"{OTHER}:443:{HOST}:443", f"https://{OTHER}/get"],
        "403",
    ),
}


def _blocks(done: Finished) -> list[dict[str, Any]]:
    return [e for e in done.events() if e["event"] == "decision" and e["action"] == "block"]


def test_names_that_disagree(clean_lab: Lab) -> None:
    lines = [f"{shlex.join([*_CURL, *words])}; echo" for words, _ in ROWS.values()]
    done = clean_lab.jail(["sh", "-c", "\n".join(lines)], timeout=120)
    got = dict(zip(ROWS, done.text.split("\n"), strict=False))
    wrong = {row: got[row] for row, (_, status) in ROWS.items() if got[row] != status}
    assert wrong == {}, done.errors
    refused = [row for row, (_, status) in ROWS.items() if status != "200"]
    assert [event["reason"] for event in _blocks(done)] == ["name_mismatch"] * len(refused)
    honest = [row for row, (_, status) in ROWS.items() if status == "200"]
    seen = clean_lab.requests()
    assert len(seen) == len(honest)
    for request in seen:
        named = request.field("host") or request.field(":authority")
        assert named == HOST
        assert request.name in (HOST, "")
    assert {question.name for question in clean_lab.dns_log()} == {HOST}
    assert clean_lab.oracle.records() == []


def test_streams_that_disagree(clean_lab: Lab) -> None:
    """421 tells a client that has coalesced names to open another connection."""
    clean_lab.path(f"{DEV_WORK}/h2.yaml").write_text("version: 1\nhttp2: always\n")
    rows = (
        [f"https://{HOST}/get"],
        ["-H", f"Host: {OTHER}", f"https://{HOST}/get"],
        ["--connect-to", f"{OTHER}:443:{HOST}:443", f"https://{OTHER}/get"],
        [*_CONNECT, "-H", f"Host: {OTHER}", f"https://{HOST}/get"],
    )
    lines = [f"{shlex.join([*_CURL, '--http2', *words])}; echo" for words in rows]
    done = clean_lab.jail(["sh", "-c", "\n".join(lines)], "--policy", f"{DEV_WORK}/h2.yaml")
    assert done.text.split() == ["200", "421", "421", "421"], done.errors
    assert [event["reason"] for event in _blocks(done)] == ["name_mismatch"] * 3
    assert len(clean_lab.requests()) == 1


@pytest.mark.parametrize("row", ["Host", "Host, plain", "SNI and Host"])
def test_without_the_jail_they_arrive(clean_lab: Lab, row: str) -> None:
    """Positive control: a front serves whatever the inner name says."""
    clean_lab.run([*_CURL, *ROWS[row][0]], user="dev")
    (request,) = clean_lab.requests()
    assert OTHER in (request.field("host"), request.name)


_RAW = """
import base64, json, socket, sys
told = []
for host, text in json.loads(sys.argv[1]):
    end = socket.create_connection((host, 443), 10)
    end.sendall(base64.b64decode(text))
    end.settimeout(10)
    try:
        told.append(end.recv(5).hex())
    except OSError as error:
        told.append(type(error).__name__)
    end.close()
print(json.dumps(told))
"""


def _hello(name: str, ech: bytes) -> bytes:
    """A hello that TLS 1.2 can answer, with ECH."""
    wanted = sni(name.encode()) + extension(0xFE0D, ech)
    wanted += extension(10, b"\x00\x04\x00\x1d\x00\x17") + extension(11, b"\x01\x00")
    wanted += extension(13, b"\x00\x08\x04\x03\x08\x04\x04\x01\x05\x03")
    return records(hello(wanted, ciphers=b"\xc0\x2b\xc0\x2f\xc0\x2c\xc0\x30"))


def test_encrypted_client_hello(clean_lab: Lab) -> None:
    hellos = [
        (HOST, _hello(HOST, ECH_OUTER)),  # GREASE: TLS goes on
        (HOST, _hello("front.example.net", ECH_OUTER)),
        (HOST, _hello(HOST, b"\x01")),
    ]
    rows = json.dumps([(host, base64.b64encode(data).decode()) for host, data in hellos])
    outside = clean_lab.run(["/usr/bin/python3", "-c", _RAW, rows], user="dev")
    assert json.loads(outside.stdout)[1].startswith("1603"), outside  # positive control
    clean_lab.clear()
    done = clean_lab.jail(["/usr/bin/python3", "-c", _RAW, rows])
    grease, front, inner = json.loads(done.text)
    assert grease.startswith("1603")  # a handshake record: it was answered
    assert front.startswith("1603")  # answered, so that the reason can be read
    assert not inner.startswith("1603")
    assert [event["reason"] for event in _blocks(done)] == ["ech_refused", "ech_refused"]
    assert clean_lab.dns_log() == []
    assert clean_lab.oracle.records() == []


def test_no_server_name(clean_lab: Lab) -> None:
    talk = (
        "printf 'GET /get HTTP/1.1\\r\\nHost: api.example.com\\r\\nConnection: close\\r\\n\\r\\n'"
        " | openssl s_client -quiet -noservername -connect api.example.com:443 2>/dev/null"
    )
    done = clean_lab.jail(["sh", "-c", talk])
    assert '"method": "GET"' in done.text  # the leased name is enough
    assert [request.name for request in clean_lab.requests()] == [HOST]
    clean_lab.clear()
    clean_lab.path(f"{DEV_WORK}/sni.yaml").write_text("version: 1\nhosts: {sni: required}\n")
    words = ["--policy", f"{DEV_WORK}/sni.yaml"]
    done = clean_lab.jail(["sh", "-c", talk], *words)
    assert '"reason":"sni_missing"' in done.text, done.text
    assert clean_lab.requests() == []
    done = clean_lab.jail([*_CURL, f"https://{HOST}/get"], *words)
    assert done.text == "200"
