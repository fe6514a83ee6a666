"""Packets that no listener takes: what is recorded of them, and how often."""

from __future__ import annotations

import msgspec

from interceptor.decide.judge import Judge
from interceptor.flow.packet_flow import PacketFlow, Seen
from interceptor.flow.windows import WINDOWS
from interceptor.model import Target
from interceptor.policy.schema import Policy, RequestRule
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import example
from interceptor.verdict import Reason

KEY = b"k" * 16
PACKET = Seen("udp", "NTP", "198.18.0.2", "203.0.113.9", 4000, 123, 48, b"\x23" + bytes(47))


def flow(scanner: Scanner, name: str = "") -> PacketFlow:
    judge = Judge(Policy(), scanner, KEY)
    return PacketFlow(judge, lambda _address, _now: name, "jail")


def test_the_first_is_noted_and_its_like_are_counted(scanner: Scanner) -> None:
    packets = flow(scanner)
    (first,) = packets.seen(PACKET, 1.0)
    assert (first.record.kind, first.record.target.host) == ("packet", "203.0.113.9")
    assert first.record.verdict.reason is Reason.PROTOCOL_REFUSED
    assert not first.record.verdict.allowed
    assert "NTP" in first.record.verdict.detail
    assert packets.seen(PACKET, 1.2) == packets.seen(PACKET, 1.3) == []
    assert packets.timer(1.9) == []
    (counted,) = packets.timer(2.1)
    assert "2 more within 1 s" in counted.record.verdict.detail


def test_many_kinds_share_one_note(scanner: Scanner) -> None:
    packets = flow(scanner)
    kinds = [msgspec.structs.replace(PACKET, port=port) for port in range(1000, 1400)]
    notes = [note for kind in kinds for note in packets.seen(kind, 1.0)]
    assert len(notes) == WINDOWS
    last = packets.finish()
    assert sum("more" in note.record.verdict.detail for note in last) == 1


def test_a_secret_in_a_packet_is_the_reason(scanner: Scanner) -> None:
    secret = example(["AK", "IA", "{upper32:16}"], "packet flow")
    (note,) = flow(scanner).seen(msgspec.structs.replace(PACKET, payload=b"k=" + secret), 1.0)
    assert note.record.verdict.reason is Reason.SECRET
    assert [finding.where for finding in note.record.verdict.findings] == ["packet"]


def test_a_secret_in_a_name_is_the_reason(scanner: Scanner) -> None:
    secret = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "packet name").decode()
    (note,) = flow(scanner).seen(msgspec.structs.replace(PACKET, names=(f"{secret}.test",)), 1.0)
    assert note.record.verdict.reason is Reason.SECRET_IN_NAME


def test_a_lease_names_the_host(scanner: Scanner) -> None:
    (note,) = flow(scanner, "a.example.com").seen(PACKET, 1.0)
    assert note.record.target.host == note.origin.name == "a.example.com"


def test_a_defect_is_recorded_as_one() -> None:
    class Broken:
        def packet(self, *_: object) -> None:
            raise ZeroDivisionError

    packets = PacketFlow(Broken(), lambda _address, _now: "", "jail")  # type: ignore[arg-type]
    (note,) = packets.seen(PACKET, 1.0)
    assert note.record.verdict.reason is Reason.INTERNAL_ERROR


def test_rules_for_some_programs(scanner: Scanner) -> None:
    rules = (
        RequestRule(host="a.test", action="allow", process=("git", "/usr/bin/ssh")),
        RequestRule(host="a.test", action="deny"),
        RequestRule(host="b.test", action="deny", process=("curl",)),
    )
    judge = Judge(Policy(requests=rules), scanner, KEY)
    assert judge.asks_for_process
    assert not Judge(Policy(requests=rules[1:2]), scanner, KEY).asks_for_process

    def allowed(host: str, process: str) -> bool:
        target = Target("http", host, 80, "GET", "/")
        head = b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n"
        return judge.request(target, head, [], b"", (), process).allowed

    assert allowed("a.test", "/usr/bin/git")
    assert allowed("a.test", "/opt/git")
    assert allowed("a.test", "/usr/bin/ssh")
    assert not allowed("a.test", "/opt/ssh")
    assert not allowed("a.test", "/usr/bin/digit")
    assert not allowed("a.test", "")
    assert allowed("b.test", "/usr/bin/git")
    assert not allowed("b.test", "/usr/bin/curl")
    assert not allowed("b.test", "")
