"""Real resolvers in the jail, and what leaves for the names they ask for: nothing before a verdict.

Every packet that reaches the lab's internet is captured, with the kernel's time of its arrival.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import uuid
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.agents import Ran, need, run, secret
from tests.lab.capture import Capture, capturing
from tests.lab.programs import search_path
from tests.lab.resolvers import RESOLVERS, build, missing
from tests.lab.world import WEB, Answer

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_V4 = re.compile(r"\b198\.1[89]\.\d+\.\d+\b")
_V6 = re.compile(r"\bfd65:6772:6573:7300:[0-9a-f:]*\b")
_ANY = re.compile(r"\b198\.1[89]\.(?!0\.1\b)|\bfd65:6772:6573:7300:|11\.22\.33")
VERIFY = "dns: {mode: verify}\n"
OPENED = "hosts: {allow: [opened.example, '*.opened.example', '*']}\n"


@pytest.fixture(scope="module")
def equipped(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The lab with resolvers for its user, and names that have records."""
    build(lab, tmp_path_factory.mktemp("resolvers"))
    long = tuple(("TXT", f'"{i:02} {"x" * 100}"') for i in range(30))
    for name, records in {
        "opened.example": (("MX", "10 mail.opened.example."), ("NS", "ns.opened.example.")),
        "text.opened.example": (("TXT", '"v=spf1 -all"'),),
        "long.opened.example": long,
        "_imaps._tcp.opened.example": (("SRV", "0 1 993 mail.opened.example."),),
        "leak.opened.example": (("TXT", f'"key {secret()}"'),),
        "other.example": (("TXT", '"not for agents"'), ("MX", "10 mail.other.example.")),
    }.items():
        lab.set_name(name, Answer(WEB, records=records))
    return lab


@pytest.fixture(scope="module")
def capture(equipped: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Capture]:
    with capturing(equipped, tmp_path_factory.mktemp("capture")) as running:
        yield running


def _need(resolver: str) -> None:
    """Skip what scripts/test does not install and this machine does not have."""
    reason = missing(resolver)
    if resolver in ("dig", "nslookup", "glibc", "python", "node", "c-ares"):
        need(reason)
    if reason:
        pytest.skip(reason)


def fresh(below: str = "example.com") -> str:
    """A name that nobody has asked for before."""
    return f"n{uuid.uuid4().hex[:6]}.{below}"


def resolve(lab: Lab, resolver: str, *names: str, policy: str = "") -> tuple[list[str], Ran]:
    """What a resolver in the jail says of each name."""
    script = f'for n; do set -- "$n"; {RESOLVERS[resolver]}; echo; echo "=="; done 2>&1'
    ran = run(lab, ["sh", "-c", script, "sh", *names], jailed=True, policy=policy)
    said = ran.text.split("==\n")[:-1]
    assert len(said) == len(names), (ran.text, ran.errors)
    return said, ran


def allowed(ran: Ran, host: str, kind: str) -> list[float]:
    """When a kind of unit of a host was allowed."""
    return [
        dt.datetime.fromisoformat(event["time"]).timestamp()
        for event in ran.evidence
        if event["event"] == "decision"
        and (event["host"], event["kind"], event["action"]) == (host, kind, "allow")
    ]


def test_the_capture_sees_what_the_host_asks(equipped: Lab, capture: Capture) -> None:
    """The positive control: without us a look-up is on the wire, in every resolver's form."""
    for number, resolver in enumerate(("glibc", "dig", "go")):
        if missing(resolver):
            continue
        name = fresh()
        script = f"set -- {name}; {RESOLVERS[resolver]}"
        done = equipped.run(["sh", "-c", script], user="dev")
        assert b"11.22.33.10" in done.stdout, (number, done.stderr)
        assert capture.wait_for(name), resolver
    assert (("11.22.33.53", 53)) in capture.queries()


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_names_resolve_after_their_verdict(equipped: Lab, capture: Capture, resolver: str) -> None:
    """In the mode that looks names up; who does not exist is told so."""
    _need(resolver)
    there, gone = fresh(), fresh("nowhere.example")
    bad = f"{secret().lower()}.{fresh()}"
    said, ran = resolve(equipped, resolver, there, gone, bad, "localhost", policy=VERIFY)
    assert _V4.search(said[0]), said[0]
    assert _V6.search(said[0]), said[0]
    for absent in said[1:3]:
        assert not _ANY.search(absent), absent
    assert "127.0.0.1" in said[3] or "::1" in said[3], said[3]
    for name in (there, gone):
        (first, *_) = capture.wait_for(name)
        assert min(allowed(ran, name, "dns_query")) <= first
    assert capture.asked(bad) == []
    assert {block["reason"] for block in ran.blocks()} == {"secret_in_name"}


@pytest.mark.parametrize("resolver", ["glibc", "c-ares", "musl", "go"])
def test_by_default_nobody_is_asked(equipped: Lab, capture: Capture, resolver: str) -> None:
    _need(resolver)
    name = fresh()
    (said, again), ran = resolve(equipped, resolver, name, name)
    assert _V4.search(said), said
    assert _V4.findall(said) == _V4.findall(again)
    assert allowed(ran, name, "dns_query")
    assert capture.asked(name) == []


def test_a_connection_asks_after_its_request_was_judged(equipped: Lab, capture: Capture) -> None:
    name = fresh()
    ran = run(equipped, ["curl", "-sS", f"http://{name}/get"], jailed=True)
    assert name in ran.text, ran.errors
    (first, *_) = capture.wait_for(name)
    assert min(allowed(ran, name, "http_request")) <= first


def test_a_refused_request_asks_nobody(equipped: Lab, capture: Capture) -> None:
    name = fresh()
    url = f"http://{name}/get?key={secret()}"
    ran = run(equipped, ["curl", "-sS", url], jailed=True)
    assert [block["reason"] for block in ran.blocks()] == ["secret"]
    denied = fresh("denied.example")
    policy = "dns: {mode: verify}\nhosts: {deny: ['*.denied.example']}\n"
    ran = run(equipped, ["curl", "-sS", f"http://{denied}/"], jailed=True, policy=policy)
    assert '"reason":"host_denied"' in ran.text, ran.errors  # it resolves, so that it can be told
    assert capture.asked(name) == []
    assert capture.asked(denied) == []


CHROMIUM = (
    "chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    '--enable-features=AsyncDns --user-data-dir="$(mktemp -d)" --dump-dom "http://$1/get"'
)


def test_chromium(equipped: Lab, capture: Capture) -> None:
    """With its own resolver, which asks for HTTPS records as well."""
    need("" if shutil.which("chromium", path=search_path()) else "chromium is not installed")
    for name in (fresh(), fresh("nowhere.example")):
        words = ["sh", "-c", CHROMIUM, "sh", name]
        ran = run(equipped, words, jailed=True, policy=VERIFY, timeout=90)
        if name.endswith("nowhere.example"):  # or that it is offline, as there is no network card
            assert "ERR_NAME_NOT_RESOLVED" in ran.errors or "ERR_INTERNET_DISC" in ran.errors
        else:
            assert f'"host": "{name}"' in ran.text, ran.errors
        kinds = {event.get("method") for event in ran.evidence if event.get("host") == name}
        assert kinds >= {"A", "AAAA", "HTTPS"}
        (first, *_) = capture.wait_for(name)
        assert min(allowed(ran, name, "dns_query")) <= first


def dig(lab: Lab, *questions: str, policy: str = OPENED) -> tuple[list[str], Ran]:
    """What dig says to each question, header and all."""
    script = "".join(f"dig +tries=1 +timeout=8 {question}; echo ==\n" for question in questions)
    ran = run(lab, ["sh", "-c", script], jailed=True, policy=policy)
    return ran.text.split("==\n"), ran


def test_records_of_opened_names_are_fetched_and_scanned(equipped: Lab, capture: Capture) -> None:
    said, ran = dig(
        equipped,
        "text.opened.example TXT",
        "opened.example MX",
        "_imaps._tcp.opened.example SRV",
        "long.opened.example TXT",
        "+notcp +ignore long.opened.example TXT",
        "leak.opened.example TXT",
        "opened.example NS",
        "other.example TXT",
        "other.example MX",
    )
    assert '"v=spf1 -all"' in said[0]
    assert "mail.opened.example." in said[1]
    assert "993 mail.opened.example." in said[2]
    assert said[3].count("x" * 100) == 30
    assert "flags: qr aa tc rd ra" in said[4]
    assert secret() not in said[5]
    assert "EDE: 15 (Blocked): (secret)" in said[5]
    for number in (6, 7, 8):
        assert "status: NOERROR" in said[number]
        assert "ANSWER: 0" in said[number]
    for text in said:
        assert "WARNING" not in text.upper().replace("; WARNING: RECURSION", "")
    assert {(block["reason"], block["host"]) for block in ran.blocks()} == {
        ("secret", "leak.opened.example")
    }
    (first, *_) = capture.wait_for("text.opened.example")
    assert min(allowed(ran, "text.opened.example", "dns_query")) <= first
    kinds = {(q.name, q.kind) for q in equipped.dns_log()}
    assert ("text.opened.example", "TXT") in kinds
    assert not [name for name, _ in kinds if name == "other.example"]
    assert ("opened.example", "NS") not in kinds


ENCRYPTED = """
import json, socket, ssl, sys
said = {}
def tls(port, alpn):
    context = ssl.create_default_context()
    context.set_alpn_protocols(alpn)
    with socket.create_connection(("www.example.com", port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="www.example.com"):
            pass
for name, port, alpn in (("dot", 443, ["dot"]), ("853", 853, ["http/1.1"]), ("both", 853, ["dot"])):
    try:
        tls(port, alpn)
        said[name] = "connected"
    except OSError as error:
        said[name] = type(error).__name__
for group, port in (("224.0.0.251", 5353), ("224.0.0.252", 5355)):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(bytes.fromhex("000000000001000000000000077072696e746572056c6f63616c0000010001"),
                      (group, port))
print(json.dumps(said))
"""


def test_other_ways_are_refused_by_name(equipped: Lab, capture: Capture) -> None:
    before = len(capture.queries())
    script = (
        "curl -sS -H 'accept: application/dns-message' "
        "'https://www.example.com/q?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB'; "
        "curl -sS https://dns.google/resolve?name=x; "
        'python3 -c "$1"'
    )
    ran = run(equipped, ["sh", "-c", script, "sh", ENCRYPTED], jailed=True)
    said = json.loads(ran.text.splitlines()[-1])
    assert "connected" not in said.values(), said
    found = [(block["reason"], block["host"], block["detail"].partition(";")[0])
             for block in ran.blocks()]  # fmt: skip
    assert sorted(found) == sorted(
        [
            ("dns_bypass", "www.example.com", "DNS over HTTPS"),
            ("dns_bypass", "dns.google", "encrypted DNS of Google"),
            ("dns_bypass", "www.example.com", "DNS over TLS"),
            ("dns_bypass", "www.example.com", "DNS over TLS"),
            ("dns_bypass", "www.example.com", "DNS over TLS"),
            ("dns_bypass", "224.0.0.251", "multicast DNS"),
            ("dns_bypass", "224.0.0.252", "LLMNR"),
        ]
    ), ran.errors
    assert len(capture.queries()) == before
