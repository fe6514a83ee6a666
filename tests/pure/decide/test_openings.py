"""Names that policy speaks of: what may be looked up, and what is fetched."""

from __future__ import annotations

import pytest

from interceptor.decide.openings import Openings
from interceptor.policy.schema import Dns, Hosts, Policy, TcpService


def test_by_default_nothing_is_looked_up_and_nothing_fetched() -> None:
    openings = Openings(Policy())
    assert openings.reachable("a.example")
    assert not openings.looked_up("a.example")
    assert not openings.opened("a.example")
    assert not openings.fetched("a.example")


def test_what_no_connection_can_be_made_to_is_not_looked_up() -> None:
    hosts = Hosts(
        allow=("api.example.com:8443", "*.example.org", "192.0.2.1"),
        deny=("bad.example.org", "ssh.example.org:22"),
        others="deny",
    )
    tcp = (TcpService(host="db.example.net", port=5432, protocol="postgres"),)
    openings = Openings(Policy(hosts=hosts, tcp=tcp, dns=Dns(mode="verify")))
    for name in ("api.example.com", "x.example.org", "ssh.example.org", "db.example.net"):
        assert openings.looked_up(name), name
    for name in ("example.com", "example.org", "bad.example.org", "other.example", "com"):
        assert not openings.looked_up(name), name


def test_a_denied_name_is_not_looked_up_where_all_others_are() -> None:
    policy = Policy(hosts=Hosts(deny=("*.paste.example",)), dns=Dns(mode="verify"))
    assert Openings(policy).looked_up("a.example")
    assert not Openings(policy).looked_up("x.paste.example")


def test_a_named_service_needs_no_resolver() -> None:
    policy = Policy(services={"ollama.internal": "127.0.0.1:11434"}, dns=Dns(mode="verify"))
    assert not Openings(policy).looked_up("ollama.internal")
    assert Openings(policy).looked_up("other.internal")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("example.com", True),
        ("_imaps._tcp.example.com", True),
        ("_dmarc.example.com", True),
        ("x.example.com", False),
        ("data-in-a-label._tcp.example.com", False),
        ("_a._b._c.example.com", False),
        ("_longer-than-fifteen._tcp.example.com", False),
        ("x.example.org", True),
        ("_sip._udp.x.example.org", True),
        ("mail.example.net", True),
        ("denied.example.org", False),
        ("anything.example", False),
        ("_tcp", False),
    ],
)
def test_records_are_fetched_for_names_that_stand_in_the_policy(name: str, expected: bool) -> None:
    policy = Policy(
        hosts=Hosts(allow=("*", "example.com:8443", "*.example.org"), deny=("denied.example.org",)),
        tcp=(
            TcpService(host="mail.example.net", port=993, protocol="imap"),
            TcpService(host="*", port=22, protocol="ssh"),
        ),
    )
    assert Openings(policy).fetched(name) is expected


def test_records_can_be_switched_off() -> None:
    policy = Policy(hosts=Hosts(allow=("example.com",)), dns=Dns(records="never"))
    assert Openings(policy).opened("example.com")
    assert not Openings(policy).fetched("example.com")
