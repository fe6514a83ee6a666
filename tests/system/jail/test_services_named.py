"""`services`: a private place under a name of its own, and nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.agents import secret
from tests.lab.programs import Finished
from tests.lab.world import DEV_WORK, HOST_V4, Answer

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_CURL = ["curl", "-sS", "--max-time", "15", "-w", "\n%{http_code}"]
PLAIN, TLS, CACHE = 18080, 18443, 16379
"""Ports on the host's loopback."""

SERVER = f"""
import http.server, socketserver, ssl, threading

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        size = int(self.headers.get("Content-Length", 0))
        text = f"model says hello to {{self.headers['Host']}} {{self.path}} {{len(self.rfile.read(size))}}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    do_POST = do_GET
    def log_message(self, *words):
        pass

class Cache(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline():
            self.wfile.write(b"+PONG\\r\\n")

plain = http.server.ThreadingHTTPServer(("127.0.0.1", {PLAIN}), Handler)
sealed = http.server.ThreadingHTTPServer(("127.0.0.1", {TLS}), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/run/lab/model.pem")
sealed.socket = context.wrap_socket(sealed.socket, server_side=True)
cache = socketserver.ThreadingTCPServer(("127.0.0.1", {CACHE}), Cache)
for server in (plain, sealed, cache):
    threading.Thread(target=server.serve_forever).start()
print("ready", flush=True)
"""  # noqa: E501

POLICY = f"""version: 1
hosts: {{deny: ["denied.internal"]}}
services:
  model.internal: 127.0.0.1:{PLAIN}
  model.internal:80: 127.0.0.1:{PLAIN}
  secure.internal:443: 127.0.0.1:{TLS}
  other.internal:443: 127.0.0.1:{TLS}
  cache.internal:6379: 127.0.0.1:{CACHE}
  denied.internal: 127.0.0.1:{PLAIN}
tcp:
  - {{host: cache.internal, port: 6379, protocol: redis}}
"""


@pytest.fixture(scope="module")
def hosted(lab: Lab) -> Iterator[Lab]:
    """The lab with servers on its host's loopback."""
    lab.path("/run/lab/model.pem").write_bytes(lab.leaf("secure.internal"))
    lab.path(f"{DEV_WORK}/policy.yaml").write_text(POLICY)
    lab.set_name("also.example", Answer(("127.0.0.1",)))
    lab.set_name("model.internal", Answer(("11.22.33.66",)))  # DNS would say so: nobody asks it
    with lab.popen(["/usr/bin/python3", "-c", SERVER]) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        yield lab
        program.kill()


@pytest.fixture
def model(hosted: Lab) -> Lab:
    hosted.clear()
    return hosted


def jail(lab: Lab, argv: list[str], preset: str = "balanced") -> Finished:
    words = ("--policy", f"{DEV_WORK}/policy.yaml", "--preset", preset)
    return lab.jail(argv, *words)


def test_http_and_tls_and_another_protocol(model: Lab) -> None:
    redis = (
        "import socket; s = socket.create_connection(('cache.internal', 6379), 10);"
        "s.sendall(b'PING\\r\\n'); print(s.recv(99).decode().strip())"
    )
    script = "; ".join(
        [
            f"curl -sS http://model.internal:{PLAIN}/a",
            "echo; curl -sS http://model.internal/b -d question",
            "echo; curl -sS https://secure.internal/c",
            f'echo; /usr/bin/python3 -c "{redis}"',
            "getent hosts model.internal",
        ]
    )
    for preset in ("balanced", "strict"):
        done = jail(model, ["sh", "-c", script], preset)
        lines = done.text.splitlines()
        assert lines[:4] == [
            f"model says hello to model.internal:{PLAIN} /a 0",
            "model says hello to model.internal /b 8",
            "model says hello to secure.internal /c 0",
            "+PONG",
        ], (preset, done.errors)
        assert lines[4].startswith(("198.1", "fd65:6772:6573:7300:"))
        ends = [event for event in done.evidence if event["event"] == "finished"]
        assert {event["address"] for event in ends} == {"127.0.0.1"}
        assert {event["host"] for event in ends} == {
            *("model.internal", "secure.internal", "cache.internal")
        }
    assert model.dns_log() == []  # the name is never asked for outside
    assert model.oracle.records() == []
    assert model.requests() == []


def test_what_is_sent_there_is_judged(model: Lab) -> None:
    done = jail(model, [*_CURL, "-d", f"note={secret()}", "http://model.internal/x"])
    assert done.text.endswith("403"), done.errors
    assert json.loads(done.text[:-3])["reason"] == "secret"
    assert "model says" not in done.text


BESIDE = {
    # what is tried -> the reason, or what the client says
    "another port of the name": ("http://model.internal:8080/", "port_not_allowed"),
    "an open port of the name": ("https://model.internal/", "port_not_allowed"),
    "a port of the address, by the name": (f"https://model.internal:{TLS}/", "port_not_allowed"),
    "another name at that address": (f"http://also.example:{PLAIN}/", "port_not_allowed"),
    "another name at an open port": ("http://also.example/", "address_private"),
    "the address of the host": (f"http://{HOST_V4}:{PLAIN}/", "address_private"),
    "a name below": ("http://sub.model.internal/", "resolve_failed"),
    "a name that is denied": (f"http://denied.internal:{PLAIN}/", "host_denied"),
    "HTTP where another protocol is": ("http://cache.internal:6379/", "protocol_refused"),
    "a certificate for another name": ("https://other.internal/", "certificate_invalid"),
}


@pytest.mark.parametrize("case", BESIDE)
def test_nothing_beside_it(model: Lab, case: str) -> None:
    url, reason = BESIDE[case]
    done = jail(model, [*_CURL, "-k", url])
    assert "model says" not in done.text
    assert reason in {event.get("reason") for event in done.evidence}, done.events()
    assert model.oracle.records() == []
    assert model.requests() == []


def test_the_address_is_the_agents_own_loopback(model: Lab) -> None:
    done = jail(model, [*_CURL, f"http://127.0.0.1:{PLAIN}/"])
    assert done.returncode == 7
    assert "model says" not in done.text
    outside = model.run([*_CURL, f"http://127.0.0.1:{PLAIN}/"], user="dev")
    assert b"model says" in outside.stdout  # positive control


def test_without_the_section_it_is_out_of_reach(model: Lab) -> None:
    model.set_name("plain.internal", Answer(("127.0.0.1",)))
    done = model.jail([*_CURL, "http://plain.internal/"])
    assert json.loads(done.text[:-3])["reason"] == "address_private"


def test_a_mistake_in_the_policy_is_told(model: Lab) -> None:
    model.path(f"{DEV_WORK}/wrong.yaml").write_text(
        "version: 1\nservices: {model.internal: localhost:80}\n"
    )
    done = model.jail(["true"], "--policy", f"{DEV_WORK}/wrong.yaml")
    assert done.returncode == 2
    assert "wrong.yaml:2:12" in done.errors
    assert "expected an address and a port" in done.errors
