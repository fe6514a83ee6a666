"""SOCKS inside the jail: answered on any port, and what is inside is judged like anything else."""

from __future__ import annotations

import pytest

from interceptor.flow.steps import Dial, Record, Terminate
from interceptor.policy.schema import TcpService
from tests.conversation import OK, Conversation, ScriptedJudge, get, post
from tests.pure.flow.test_tcp_flow import client_hello

OPEN = b"\x05\x01\x00"
GRANTED = b"\x05\x00" + b"\x05\x00\x00\x01" + bytes(6)
PORTS = [1080, 80, 443, 22, 9050]


def request(host: str, port: int = 443, command: int = 1) -> bytes:
    raw = host.encode()
    return bytes((5, command, 0, 3, len(raw))) + raw + port.to_bytes(2)


def socks4(host: str, port: int) -> bytes:
    return b"\x04\x01" + port.to_bytes(2) + b"\0\0\0\x01user\0" + host.encode() + b"\0"


@pytest.mark.parametrize("port", PORTS)
def test_http_inside_is_judged(port: int) -> None:
    talk = Conversation(name="proxy.example", port=port, answer=lambda data: OK if data else b"")
    talk.say(OPEN, request("a.example", 80))
    assert talk.received == GRANTED
    talk.say(get("/x", "a.example"))
    assert talk.statuses == [200]
    dial = next(step for step in talk.steps if isinstance(step, Dial))
    assert (dial.target.host, dial.target.port) == ("a.example", 80)
    talk.say(post(b"the SECRET", host="a.example"))
    assert talk.blocks == ["secret"]
    assert b"SECRET" not in talk.sent


@pytest.mark.parametrize("port", PORTS)
def test_tls_inside_is_terminated(port: int) -> None:
    talk = Conversation(name="proxy.example", port=port)
    talk.say(OPEN, request("a.example"), client_hello("a.example"))
    assert talk.terminated == ["a.example"]
    talk.say(get("/SECRET", "a.example"))
    assert talk.blocks == ["secret"]
    assert talk.statuses == [403]


def test_everything_in_one_piece_and_byte_by_byte() -> None:
    data = OPEN + request("a.example", 80) + get("/x", "a.example")
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        talk = Conversation(name="proxy.example", port=1080).say(*pieces)
        assert talk.received == GRANTED
        assert talk.sent.startswith(b"GET /x HTTP/1.1\r\n")


def test_with_a_password() -> None:
    talk = Conversation(name="proxy.example", port=1080)
    talk.say(b"\x05\x01\x02", b"\x01\x05alice\x06SECRET")
    assert talk.received == b"\x05\x02\x01\x00"
    talk.say(request("a.example", 80), get("/x", "a.example"))
    assert talk.verdicts == [(True, "allowed")]
    assert b"SECRET" not in talk.sent


def test_socks4_and_4a() -> None:
    granted = b"\x00\x5a" + bytes(6)
    talk = Conversation(name="proxy.example", port=1080).say(socks4("a.example", 80))
    assert talk.received == granted
    talk.say(get("/x", "a.example"))
    assert talk.sent.startswith(b"GET /x")
    talk = Conversation(
        name="proxy.example", port=1080, leases={"198.18.0.9": "leased.example"}
    ).say(b"\x04\x01\x01\xbb" + bytes((198, 18, 0, 9)) + b"\0")
    assert talk.received == granted
    talk.say(client_hello("leased.example"))
    assert talk.terminated == ["leased.example"]


def test_a_synthetic_address_stands_for_its_name() -> None:
    talk = Conversation(name="proxy.example", port=1080, leases={"198.18.0.9": "leased.example"})
    talk.say(OPEN, b"\x05\x01\x00\x01" + bytes((198, 18, 0, 9)) + b"\x00\x50")
    talk.say(get("/x", "leased.example"))
    dial = next(step for step in talk.steps if isinstance(step, Dial))
    assert dial.target.host == "leased.example"


def test_a_denied_host_is_granted_and_explained_inside() -> None:
    judge = ScriptedJudge(denied=("bad.example",))
    talk = Conversation(name="proxy.example", port=1080, judge=judge)
    talk.say(OPEN, request("bad.example", 80))
    assert talk.received == GRANTED
    talk.say(get("/x", "bad.example"))
    assert talk.blocks == ["host_denied"]
    assert talk.statuses == [403]
    assert talk.sent == b""


@pytest.mark.parametrize(("command", "name"), [(2, "BIND"), (3, "UDP ASSOCIATE")])
def test_other_commands_are_refused(command: int, name: str) -> None:
    talk = Conversation(name="proxy.example", port=1080)
    talk.say(OPEN, request("a.example", 80, command))
    assert talk.received == b"\x05\x00" + b"\x05\x07\x00\x01" + bytes(6)
    assert talk.blocks == ["protocol_refused"]
    assert talk.details == [f"{name} of SOCKS is not relayed"]
    assert talk.closed is not None


def test_malformed_requests_are_refused() -> None:
    talk = Conversation(name="proxy.example", port=1080).say(OPEN, request("a b", 80))
    assert talk.received.endswith(b"\x05\x01\x00\x01" + bytes(6))
    assert talk.blocks == ["name_invalid"]
    assert Conversation(port=1080).say(b"\x05\x01\x01").received == b"\x05\xff"


def test_secrets_in_names_are_refused() -> None:
    talk = Conversation(name="proxy.example", port=1080)
    talk.say(OPEN, request("secret.evil.example", 80))
    assert talk.blocks == ["secret_in_name"]
    assert talk.received.endswith(b"\x05\x02\x00\x01" + bytes(6))
    record = next(step for step in talk.steps if isinstance(step, Record))
    assert record.target.port == 80


def test_chains_end() -> None:
    """SOCKS in CONNECT in SOCKS in SOCKS4, then HTTP; one more is refused."""
    connect = b"CONNECT c.example:1080 HTTP/1.1\r\nHost: c.example:1080\r\n\r\n"
    chain = [OPEN, request("b.example", 8080), connect, OPEN, request("d.example", 9050)]
    talk = Conversation(name="proxy.example", port=1080).say(*chain, socks4("e.example", 80))
    talk.say(get("/x", "e.example"))
    dial = next(step for step in talk.steps if isinstance(step, Dial))
    assert dial.target.host == "e.example"
    talk = Conversation(name="proxy.example", port=1080)
    talk.say(*chain, socks4("e.example", 1080), OPEN, request("f.example", 80))
    assert talk.blocks == ["limit_exceeded"]


def test_socks_inside_of_tls() -> None:
    talk = Conversation(name="proxy.example", port=443).say(client_hello("proxy.example"))
    talk.say(OPEN, request("a.example", 443), client_hello("a.example"))
    assert talk.terminated == ["proxy.example", "a.example"]
    judge = ScriptedJudge(denied=("proxy.example",))
    talk = Conversation(name="proxy.example", port=443, judge=judge)
    talk.say(client_hello("proxy.example"), OPEN, request("a.example", 443))
    assert talk.blocks == ["host_denied"]


def test_opened_services_are_reached_through_it() -> None:
    service = TcpService(host="git.example.com", port=22, protocol="ssh")
    judge = ScriptedJudge(services=[service])
    talk = Conversation(name="proxy.example", port=1080, judge=judge)
    talk.say(OPEN, request("git.example.com", 22))
    dial = next(step for step in talk.steps if isinstance(step, Dial))
    assert (dial.target.host, dial.target.port) == ("git.example.com", 22)
    talk.say(b"SSH-2.0-x\r\n")
    assert talk.sent == b"SSH-2.0-x\r\n"


def test_services_that_are_not_opened_are_named_inside() -> None:
    talk = Conversation(name="proxy.example", port=1080)
    talk.say(OPEN, request("git.example.com", 22), b"SSH-2.0-x\r\n")
    assert talk.blocks == ["protocol_refused"]
    assert talk.details == ["ssh is not opened for git.example.com:22; add it under tcp"]
    talk = Conversation(name="proxy.example", port=1080)
    talk.say(OPEN, request("mx.example.com", 25))
    assert talk.flow.deadline - talk.now <= 1
    talk.now = talk.flow.deadline
    talk.act(talk.flow.timer(talk.now))
    assert talk.blocks == ["port_not_allowed"]


def test_time_and_ends() -> None:
    talk = Conversation(name="proxy.example", port=1080).say(OPEN)
    assert talk.flow.wants_client
    talk.now = talk.flow.deadline
    talk.act(talk.flow.timer(talk.now))
    assert talk.blocks == ["timeout"]
    talk = Conversation(name="proxy.example", port=1080).say(OPEN)
    talk.act(talk.flow.client_eof(talk.now))
    assert talk.closed is not None
    talk = Conversation(name="proxy.example", port=1080).say(OPEN)
    talk.act(talk.flow.client_lost(talk.now))
    assert talk.flow.closed
    talk = Conversation(name="proxy.example", port=1080).say(OPEN)
    talk.flow.client_bytes(request("a.example", 80, 2), talk.now)
    assert talk.flow.unwritable()[-1].reset  # type: ignore[union-attr]


def test_nothing_is_terminated_twice_for_one_hello() -> None:
    talk = Conversation(name="proxy.example", port=1080)
    talk.say(OPEN + request("a.example") + client_hello("a.example"))
    assert sum(isinstance(step, Terminate) for step in talk.steps) == 1
