"""Answers judged: every address, the name behind an alias, and services that have a place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interceptor.decide.judge import Judge
from interceptor.decide.reach import Reach
from interceptor.model import Target
from interceptor.policy.schema import Addresses, Hosts, Policy, TcpService

OLLAMA = {"ollama.internal": "127.0.0.1:11434", "ollama.internal:80": "127.0.0.1:11434"}
JudgeOf = Callable[[Policy], Judge]


@pytest.mark.parametrize(
    ("canonical", "reason"),
    [
        ("paste.example", "host_denied"),
        ("metadata.google.internal", "address_metadata"),
        ("localhost", "address_private"),
        ("0x7f.1", "address_private"),
        ("a..b", "name_invalid"),
        ("edge.example.net", ""),
        ("d111111abcdef8.cloudfront.example", ""),
        ("a1b2c3d4e5f60718.awsglobalaccelerator.example", ""),
        ("_acme.e1234.dscb.akamaiedge.example", ""),
    ],
)
def test_the_name_behind_an_alias(judge_of: JudgeOf, canonical: str, reason: str) -> None:
    """The address alone would pass: the name says where it leads."""
    judge = judge_of(Policy(hosts=Hosts(deny=("paste.example",))))
    target = Target("https", "www.example.com", 443)
    verdict, literals = judge.addresses(target, ["11.22.33.10"], canonical)
    assert verdict.allowed is (not reason), verdict
    assert literals == (() if reason else ("11.22.33.10",))
    if reason:
        assert verdict.reason == reason
        assert "alias" in verdict.detail


def test_an_alias_of_a_host_that_is_not_listed_passes(judge_of: JudgeOf) -> None:
    judge = judge_of(Policy(hosts=Hosts(allow=("www.example.com",), others="deny")))
    target = Target("https", "www.example.com", 443)
    assert judge.addresses(target, ["11.22.33.10"], "edge.example.net")[0].allowed


@pytest.mark.parametrize("others", ["allow", "deny"])
def test_nothing_beside_a_named_service_is_opened(judge_of: JudgeOf, others: str) -> None:
    hosts = Hosts(others=others, literals=others)  # type: ignore[arg-type]
    judge = judge_of(Policy(services=OLLAMA, hosts=hosts))
    for port in (80, 11434):
        target = Target("http", "ollama.internal", port)
        assert judge.connection(target).allowed
        assert judge.addresses(target, ["127.0.0.1"])[1] == ("127.0.0.1",)
        for other in (["127.0.0.2"], ["127.0.0.1", "127.0.0.2"], ["::1"], ["10.0.0.5"]):
            assert not judge.addresses(target, other)[0].allowed
    for port in (443, 8080, 11435, 22):  # other ports of the name, open ones too
        target = Target("https", "ollama.internal", port)
        assert judge.connection(target).reason == "port_not_allowed"
        assert not judge.addresses(target, ["127.0.0.1"])[0].allowed
        assert judge.endpoint(target) is None
    for host in ("127.0.0.1", "sub.ollama.internal", "other.internal", "internal"):
        for port in (80, 11434):
            target = Target("http", host, port)
            reached = judge.connection(target).allowed
            assert not (reached and judge.addresses(target, ["127.0.0.1"])[0].allowed), host
    # an address that the host may have, under a name that resolves to it
    assert judge.connection(Target("http", "127.0.0.1", 11434)).reason == "address_private"


def test_deny_and_other_protocols_stay_in_force(judge_of: JudgeOf) -> None:
    denied = judge_of(Policy(services=OLLAMA, hosts=Hosts(deny=("*.internal",))))
    assert denied.connection(Target("http", "ollama.internal", 80)).reason == "host_denied"
    database = TcpService(host="db.internal", port=5432, protocol="postgres")
    named = {"db.internal:5432": "10.0.0.5:5433"}
    judge = judge_of(Policy(services=named, tcp=(database,)))
    target = Target("tcp", "db.internal", 5432)
    assert judge.stream(target).allowed
    assert judge.addresses(target, ["10.0.0.5"])[0].allowed
    assert judge.connection(target).reason == "port_not_allowed"  # no HTTP there
    elsewhere = judge_of(Policy(services={"db.internal": "10.0.0.5:1"}, tcp=(database,)))
    assert elsewhere.stream(target).reason == "port_not_allowed"


def test_an_exception_for_addresses_opens_no_service(judge_of: JudgeOf) -> None:
    judge = judge_of(Policy(services=OLLAMA, addresses=Addresses(allow=("127.0.0.1",))))
    target = Target("http", "ollama.internal", 80)
    assert not judge.addresses(target, ["127.0.0.1", "10.0.0.5"])[0].allowed


def test_epochs_differ(judge_of: JudgeOf) -> None:
    one, two = judge_of(Policy()), judge_of(Policy())
    assert one.epoch != two.epoch
    before = one.epoch
    one.use(one._scanner)
    assert one.epoch not in (before, two.epoch)


def test_a_service_may_have_a_name_that_is_known_to_lead_inward(judge_of: JudgeOf) -> None:
    named = {"host.docker.internal": "127.0.0.1:11434"}
    reach = Reach(judge_of(Policy(services=named)))
    assert reach.target_of("host.docker.internal:11434")[1].allowed
    assert reach.target_of("host.docker.internal:443")[1].reason == "port_not_allowed"
    without = Reach(judge_of(Policy(ports=(11434,))))
    assert without.target_of("host.docker.internal:11434")[1].reason == "address_private"
