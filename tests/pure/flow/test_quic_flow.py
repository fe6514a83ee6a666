"""QUIC connections of an agent: what is answered, and what is recorded, as conversations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.flow import quic_flow
from interceptor.flow.quic_flow import QuicFlow, Send
from interceptor.flow.quic_refusals import Peer
from interceptor.flow.windows import WINDOWS, Note
from interceptor.model import Kind, Origin, Target
from interceptor.verdict import Action, Finding, Reason, Severity, Verdict
from interceptor.wire import quic
from tests.quic_packets import DCID, crypto, hello, long_packet, opening, pieces

LEASES = {"198.18.7.7": "api.example.com", "fd65:6772:6573:7300::707": "api.example.com"}
PEER = Peer(("198.18.0.2", 40_000), "198.18.7.7", 443)
LITERAL = Peer(("198.18.0.2", 40_000), "203.0.113.9", 443)
REFUSAL = quic.refusal(quic.packets(opening())[0])
HTTP = "QUIC; HTTP/2 or HTTP/1.1 over TCP will be used instead"
ALLOWED = Verdict(Action.ALLOW, Reason.ALLOWED)
FINDING = Finding("test-key", "Test key", Severity.HIGH, "name")


class FakeJudge:
    """Refuses hosts called denied, ports but 443, and names with a secret in capitals."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.targets: list[Target] = []

    def name(self, name: str) -> Verdict:
        self.names.append(name)
        if "SECRET" in name:
            return Verdict(reason=Reason.SECRET_IN_NAME, rule="test-key", findings=(FINDING,))
        if "NOTED" in name:
            return Verdict(Action.ALLOW, Reason.WOULD_BLOCK, findings=(FINDING,))
        if "broken" in name:
            raise RuntimeError("a defect")
        return ALLOWED

    def connection(self, target: Target) -> Verdict:
        self.targets.append(target)
        if target.host.startswith("denied"):
            return Verdict(reason=Reason.HOST_DENIED, rule="hosts.deny[0]", detail="denied")
        if target.port != 443:
            return Verdict(reason=Reason.PORT_NOT_ALLOWED, rule="ports")
        return ALLOWED


class Agent:
    """A flow, and what it is asked."""

    def __init__(self, leases: dict[str, str] | None = None) -> None:
        self.judge = FakeJudge()
        self.leases = LEASES if leases is None else leases
        self.flow = QuicFlow(self.judge, lambda a, now: self.leases.get(a, ""), "test")
        self.now = 100.0

    def send(self, *datagrams: bytes, peer: Peer = PEER) -> list[Note | Send]:
        steps: list[Note | Send] = []
        for data in datagrams:
            steps += self.flow.datagram(data, peer, self.now)
        return steps

    def wait(self, seconds: float) -> list[Note | Send]:
        """Let the time pass, and the timer run when it is due."""
        end, steps = self.now + seconds, []
        while (due := self.flow.deadline) <= end:
            assert due >= self.now
            self.now = due
            steps += self.flow.timer(due)
        self.now = end
        return steps


def notes(steps: Sequence[Note | Send]) -> list[tuple[str, str, str]]:
    """(host, reason, detail) of every record."""
    found = [step.record for step in steps if isinstance(step, Note)]
    return [(r.target.host, r.verdict.reason.value, r.verdict.detail) for r in found]


def sent(steps: Sequence[Note | Send]) -> list[bytes]:
    return [step.data for step in steps if isinstance(step, Send)]


@pytest.mark.parametrize("address", LEASES)
def test_a_connection_is_recorded_and_refused_in_one_go(address: str) -> None:
    agent = Agent()
    peer = Peer(("client", 40_000), address, 443)
    note, answer = agent.send(opening(), peer=peer)
    assert isinstance(note, Note)
    assert note.origin == Origin("test", "q1", address, 443, "api.example.com")
    assert note.record.kind == Kind.QUIC
    assert note.record.target == Target("quic", "api.example.com", 443)
    assert note.record.verdict == Verdict(reason=Reason.PROTOCOL_REFUSED, detail=HTTP)
    assert answer == Send(peer, REFUSAL)
    assert agent.judge.names == ["api.example.com"]


@pytest.mark.parametrize("version", [quic.V1, quic.V2, quic.DRAFT_29])
def test_every_version_we_know_is_read(version: int) -> None:
    data = long_packet(crypto(hello("other.example")), version=version, size=1200)
    steps = Agent().send(data)
    assert notes(steps)[0][1] == "name_mismatch"
    assert sent(steps) == [REFUSAL]


def test_an_unknown_version_is_refused_by_its_lease() -> None:
    data = b"\xc0\xfa\xce\xb0\x02" + opening()[5:]
    steps = Agent().send(data)
    assert notes(steps) == [("api.example.com", "protocol_refused", "QUIC of an unknown version")]
    assert sent(steps) == [REFUSAL]
    assert sent(Agent().send(data[:1199])) == []


@pytest.mark.parametrize(
    ("alpn", "detail"),
    [
        (("h3",), HTTP),
        (("h3-29", "h3"), HTTP),
        (("x", "hq-interop"), HTTP),
        (("doq",), "DNS over QUIC; ordinary DNS answers every name"),
        (("private",), "QUIC; neither HTTP nor DNS was offered"),
    ],
)
def test_the_detail_says_what_happens_instead(alpn: tuple[str, ...], detail: str) -> None:
    steps = Agent().send(opening("api.example.com", *alpn))
    assert notes(steps) == [("api.example.com", "protocol_refused", detail)]


@pytest.mark.parametrize(
    ("peer", "name", "host", "reason"),
    [
        (PEER, "API.example.com", "api.example.com", "protocol_refused"),
        (PEER, "other.example", "api.example.com", "name_mismatch"),
        (PEER, "", "api.example.com", "protocol_refused"),
        (PEER, "192.0.2.1", "api.example.com", "protocol_refused"),
        (PEER, "xSECRETx.example", "xsecretx.example", "secret_in_name"),
        (PEER, "xNOTEDx.example", "xnotedx.example", "protocol_refused"),
        (LITERAL, "other.example", "other.example", "protocol_refused"),
        (LITERAL, "xSECRETx.example", "xsecretx.example", "secret_in_name"),
        (LITERAL, "", "203.0.113.9", "protocol_refused"),
        (PEER, "broken.example", "api.example.com", "internal_error"),
        (PEER, "not a name", "api.example.com", "name_invalid"),
    ],
)
def test_the_name_is_judged(peer: Peer, name: str, host: str, reason: str) -> None:
    steps = Agent().send(opening(name), peer=peer)
    ((found, why, _),) = notes(steps)
    assert (found, why) == (host, reason)
    assert sent(steps) == [REFUSAL]  # whatever is wrong with it


def test_findings_that_policy_lets_pass_are_kept() -> None:
    (note, _) = Agent().send(opening("xNOTEDx.example"))
    assert isinstance(note, Note)
    assert note.record.verdict.findings == (FINDING,)
    assert not note.record.verdict.allowed


def test_policy_comes_before_the_protocol() -> None:
    agent = Agent({PEER.address: "denied.example"})
    assert notes(agent.send(opening("denied.example"))) == [
        ("denied.example", "host_denied", "denied")
    ]
    assert agent.judge.targets == [Target("quic", "denied.example", 443)]
    agent = Agent({PEER.address: "denied.example"})
    assert notes(agent.send(opening("xSECRETx.example")))[0][1] == "secret_in_name"


def test_a_closed_port_is_no_reason_since_opening_it_would_not_help() -> None:
    peer = Peer(PEER.source, PEER.address, 853)
    note, _ = Agent().send(opening("api.example.com", "doq"), peer=peer)
    assert isinstance(note, Note)
    assert note.record.verdict.reason is Reason.PROTOCOL_REFUSED
    assert (note.record.target.port, note.origin.port) == (853, 853)


# -- hellos in pieces ---------------------------------------------------------------------------


def datagrams() -> list[bytes]:
    """Two, as Chromium sends them."""
    cut = pieces(hello(padding=1200), 10, 500, 900, 1300)
    return [
        long_packet(cut[3] + bytes(5) + cut[0], size=1200, number=1),
        long_packet(cut[4] + b"\1" + cut[1] + cut[2], size=1200, number=2),
    ]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_hello_in_two_datagrams(order: tuple[int, int]) -> None:
    agent, both = Agent(), datagrams()
    assert agent.send(both[order[0]]) == []
    agent.now += quic_flow.PATIENCE / 2
    steps = agent.send(both[order[1]])
    assert notes(steps) == [("api.example.com", "protocol_refused", HTTP)]
    assert sent(steps) == [REFUSAL]
    assert agent.wait(10) == []


def test_a_hello_in_coalesced_packets() -> None:
    small = pieces(hello(), 30)
    first, second = long_packet(small[1]), long_packet(small[0], number=1)
    data = first + second + long_packet(b"\1" * 900, kind=quic.Type.ZERO_RTT)
    steps = Agent().send(data + b"\x41" + bytes(200))
    assert notes(steps)[0][2] == HTTP
    assert sent(steps) == [REFUSAL]


def test_a_hello_that_stays_incomplete_is_refused_by_its_lease() -> None:
    agent = Agent()
    assert agent.send(datagrams()[0]) == []
    assert agent.wait(quic_flow.PATIENCE / 2) == []
    steps = agent.wait(quic_flow.PATIENCE)
    assert notes(steps) == [
        ("api.example.com", "protocol_refused", "QUIC whose ClientHello is not whole")
    ]
    assert sent(steps) == [REFUSAL]
    assert sent(agent.send(datagrams()[1])) == [REFUSAL]


def test_connections_are_told_apart_by_client_and_by_id() -> None:
    first, second = datagrams()
    agent = Agent()
    other = Peer(("198.18.0.2", 40_001), PEER.address, 443)
    assert agent.send(first) == []
    assert agent.send(second, peer=other) == []
    assert agent.send(long_packet(crypto(b"x", 5), dcid=b"another1", size=1200)) == []
    assert len(sent(agent.send(second))) == 1
    assert len(sent(agent.send(first, peer=other))) == 1
    assert len(sent(agent.wait(1))) == 1


def test_too_many_at_a_time_end_the_oldest() -> None:
    agent = Agent()
    for number in range(quic_flow.PENDING):
        part = long_packet(crypto(b"x", 5), dcid=number.to_bytes(8), size=1200)
        assert agent.send(part) == []
    steps = agent.send(datagrams()[0])
    (answer,) = sent(steps)
    assert answer[-4 - 8 : -4] == bytes(8)  # the first one's id


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"\xc3" + opening()[1:], "its keys do not open"),
        (opening()[:-1] + b"\0", "its keys do not open"),
        (long_packet(b"\x08stream", size=1200), "may not hold"),
        (long_packet(crypto(b"\2\0\0\0"), size=1200), "does not begin"),
    ],
)
def test_what_cannot_be_read_is_refused_all_the_same(data: bytes, detail: str) -> None:
    steps = Agent().send(data)
    ((host, reason, said),) = notes(steps)
    assert (host, reason) == ("api.example.com", "protocol_refused")
    assert detail in said
    assert sent(steps) == [REFUSAL]


@pytest.mark.parametrize(
    "data",
    [
        long_packet(b"\1" * 1300, kind=quic.Type.ZERO_RTT),
        long_packet(b"\1" * 1300, kind=quic.Type.HANDSHAKE),
        long_packet(b"\1" * 1300, kind=quic.Type.RETRY),
    ],
    ids=["0-RTT", "Handshake", "Retry"],
)
def test_other_packets_open_nothing(data: bytes) -> None:
    steps = Agent().send(data)
    assert notes(steps) == [("api.example.com", "protocol_refused", "QUIC that opens nothing")]
    assert sent(steps) == [REFUSAL]


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\x41" + bytes(1300), b"\xc0" + bytes(1300), bytes(9000)]
)
def test_what_is_no_quic_is_recorded_and_not_answered(data: bytes) -> None:
    ((host, reason, detail),) = notes(steps := Agent().send(data))
    assert (host, reason) == ("api.example.com", "protocol_refused")
    assert detail.startswith("no QUIC: ")
    assert sent(steps) == []


def test_a_small_datagram_is_never_answered() -> None:
    agent = Agent()
    small = long_packet(crypto(hello()), size=1199)
    assert sent(agent.send(small)) == []
    agent.send(opening())
    assert agent.send(small) == []


def test_what_is_sent_again_is_answered_again_and_recorded_once() -> None:
    agent = Agent()
    assert len(agent.send(opening())) == 2
    for _ in range(3):
        assert agent.wait(0.5) == []
        assert agent.send(opening()) == [Send(PEER, REFUSAL)]
    zero_rtt = long_packet(b"\1" * 1300, kind=quic.Type.ZERO_RTT)
    assert agent.send(zero_rtt) == [Send(PEER, REFUSAL)]
    agent.wait(quic_flow.KEPT)
    assert len(agent.send(opening())) == 2


def test_a_client_that_gives_up_is_not_answered() -> None:
    agent = Agent()
    gone = long_packet(b"\x1c\0\0\0" + bytes(900), size=1200, number=1)
    assert agent.send(datagrams()[0]) == []
    steps = agent.send(gone)
    assert notes(steps) == [("api.example.com", "protocol_refused", "QUIC that was given up")]
    assert sent(steps) == []
    assert agent.wait(5) == []


# -- floods -------------------------------------------------------------------------------------


def test_equal_refusals_are_one_event_a_second_with_a_count() -> None:
    agent = Agent()
    ids = (number.to_bytes(8) for number in itertools.count())
    seen: list[tuple[str, str, str]] = []
    answers = 0
    for _ in range(24):  # three seconds
        steps = agent.send(*(opening(dcid=next(ids)) for _ in range(10)))
        answers += len(sent(steps))
        seen += notes(steps) + notes(agent.wait(0.125))
    assert answers == 240
    assert [detail for _, _, detail in seen] == [
        HTTP,
        f"{HTTP} (79 more within 1 s)",
        f"{HTTP} (80 more within 1 s)",
        f"{HTTP} (80 more within 1 s)",
    ]
    assert notes(agent.wait(5)) == []
    assert notes(agent.send(opening(dcid=next(ids)))) == [
        ("api.example.com", "protocol_refused", HTTP)
    ]


def test_one_more_is_said_when_the_second_or_the_jail_is_over() -> None:
    for end in ("second", "jail"):
        agent = Agent()
        agent.send(opening())
        assert notes(agent.send(opening(dcid=b"12345678"))) == []
        steps = agent.wait(1) if end == "second" else agent.flow.finish()
        assert [detail for _, _, detail in notes(steps)] == [f"{HTTP} (once more within 1 s)"]
        assert agent.flow.finish() == []


def test_different_hosts_have_events_of_their_own_up_to_a_number() -> None:
    agent = Agent({})
    many = WINDOWS + 40
    steps: list[Note | Send] = []
    for number in range(many):
        data = opening(f"h{number}.example", dcid=number.to_bytes(8))
        steps += agent.send(data, peer=LITERAL)
    assert len(notes(steps)) == WINDOWS
    assert len(sent(steps)) == many
    assert notes(agent.wait(2)) == [
        ("", "limit_exceeded", "QUIC to many other hosts (40 more within 1 s)")
    ]


def test_memory_stays_bounded() -> None:
    agent = Agent({})
    for number in range(quic_flow.ANSWERED + 500):
        agent.send(long_packet(crypto(b"x", 5), dcid=number.to_bytes(8), size=1200), peer=LITERAL)
    assert len(agent.flow._pending) == quic_flow.PENDING
    assert len(agent.flow._answered) <= quic_flow.ANSWERED
    agent.wait(10)
    assert not agent.flow._pending
    agent.send(b"")
    assert not agent.flow._answered


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=80)), max_size=12))
def test_any_datagrams_end_in_steps(sequence: list[tuple[int, bytes]]) -> None:
    agent = Agent()
    for kind, data in sequence:
        whole = [
            data,
            b"\xc0\0\0\0\1" + data + bytes(1200),
            long_packet(data or b"\1", size=1200),
            long_packet(crypto(data), size=1200, dcid=data[:4]),
        ][kind]
        agent.send(whole)
        agent.wait(0.01)
    agent.wait(10)
    assert agent.flow.deadline == float("inf")


def test_nothing_is_ever_allowed() -> None:
    agent = Agent()
    steps = agent.send(opening(), opening("xNOTEDx.example", dcid=b"12345678"), b"")
    for step in steps:
        assert isinstance(step, Send) or not step.record.verdict.allowed
    assert DCID in sent(steps)[0]
