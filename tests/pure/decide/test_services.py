"""Services that policy opens: found by host and port, and what else they open."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interceptor.decide.judge import Judge
from interceptor.model import Target
from interceptor.policy.schema import Hosts, Policy, TcpService
from interceptor.scan.ruleset import example

SSH = TcpService(host="git.example.com", port=22, protocol="ssh")
ANY = TcpService(host="*.any.example", port=7000, protocol="any")
DATABASE = TcpService(host="192.0.43.7", port=5432, protocol="postgres")
WIDE = TcpService(host="*", port=5432, protocol="mysql")
Make = Callable[[Policy], Judge]


def target(host: str, port: int, scheme: str = "tcp") -> Target:
    return Target(scheme, host, port)


def test_the_first_entry_that_fits(judge_of: Make) -> None:
    judge = judge_of(Policy(tcp=(SSH, ANY, DATABASE, WIDE)))
    assert judge.service(target("git.example.com", 22)) is SSH
    assert judge.service(target("git.example.com", 23)) is None
    assert judge.service(target("x.git.example.com", 22)) is None
    assert judge.service(target("a.any.example", 7000)) is ANY
    assert judge.service(target("any.example", 7000)) is None
    assert judge.service(target("192.0.43.7", 5432)) is DATABASE
    assert judge.service(target("db.example.com", 5432)) is WIDE
    assert judge_of(Policy()).service(target("git.example.com", 22)) is None


@pytest.mark.parametrize("others", ["allow", "deny"])
def test_an_entry_opens_its_host_and_port(judge_of: Make, others: str) -> None:
    hosts = Hosts(others=others, literals=others)  # type: ignore[arg-type]
    judge = judge_of(Policy(tcp=(SSH, DATABASE), hosts=hosts))
    assert judge.stream(target("git.example.com", 22)).allowed
    assert judge.stream(target("192.0.43.7", 5432)).allowed


def test_deny_wins_and_addresses_are_judged(judge_of: Make) -> None:
    private = TcpService(host="10.0.0.5", port=5432, protocol="postgres")
    judge = judge_of(Policy(tcp=(SSH, private), hosts=Hosts(deny=("*.example.com",))))
    assert judge.stream(target("git.example.com", 22)).reason == "host_denied"
    assert judge.stream(target("10.0.0.5", 5432)).reason == "address_private"
    verdict, literals = judge.addresses(target("git.example.com", 22), ["10.0.0.5"])
    assert not verdict.allowed
    assert literals == ()


def test_secrets_in_names_are_judged(judge_of: Make) -> None:
    secret = example(["AK", "IA", "{upper32:16}"], "services").decode()
    service = TcpService(host="*", port=22, protocol="ssh")
    judge = judge_of(Policy(tcp=(service,)))
    assert judge.stream(target(f"{secret.lower()}.example.com", 22)).reason == "secret_in_name"


def test_http_is_opened_by_any_alone(judge_of: Make) -> None:
    judge = judge_of(Policy(tcp=(SSH, ANY), hosts=Hosts(others="deny")))
    assert judge.connection(target("a.any.example", 7000, "http")).allowed
    assert not judge.connection(target("a.any.example", 7001, "http")).allowed
    assert not judge.connection(target("git.example.com", 22, "http")).allowed
