"""The `services` section: what may be written, and what every mistake is told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from interceptor.decide.services import Endpoint, NamedServices
from interceptor.policy.loading import PolicyError, load


def _load(tmp_path: Path, section: str) -> dict[str, str]:
    file = tmp_path / "p.yaml"
    file.write_text(f"version: 1\nservices:\n{section}")
    return load(file, None).services


def test_a_name_has_the_ports_service(tmp_path: Path) -> None:
    section = "  Ollama.internal.: 127.0.0.1:11434\n  ollama.internal:80: 127.0.0.1:11434\n"
    services = NamedServices(_load(tmp_path, section + '  six: "[FD00::0:5]:99"\n'))
    assert services.find("ollama.internal", 11434) == Endpoint("127.0.0.1", 11434)
    assert services.find("ollama.internal", 80) == Endpoint("127.0.0.1", 11434)
    assert services.find("six", 99) == Endpoint("fd00::5", 99)
    assert services.find("ollama.internal", 443) is None
    assert services.find("other.internal", 80) is None
    assert "ollama.internal" in services
    assert "internal" not in services
    assert services
    assert not NamedServices({})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("x.local: 10.0.0.1:80", "`.local` is never looked up in DNS"),
        ("localhost: 127.0.0.1:80", "`localhost` is never looked up in DNS"),
        ("wpad.internal: 127.0.0.1:80", "`wpad` is never looked up"),
        ("x.home.arpa: 127.0.0.1:80", "`.arpa` is never looked up"),
        ("x.internal: db.internal:80", "expected an address and a port"),
        ("x.internal: 10.0.0.1", "expected an address and a port"),
        ("x.internal: 'fe80::1%eth0'", "expected an address"),
        ("x.internal: '[fe80::1%eth0]:80'", "expected an address"),
        ("x.internal: 10.0.0.1:0", "1 to 65535"),
        ("x.internal: 0.0.0.0:80", "not the address of one host"),
        ("x.internal: '[::ffff:10.0.0.1]:80'", "not the address of one host"),
        ("x.internal: 224.0.0.1:80", "not the address of one host"),
        ("x.internal: unix:/run/x.sock", "unix sockets are not reached"),
        ("x.internal: /run/x.sock", "unix sockets are not reached"),
        ("10.0.0.1: 10.0.0.1:80", "addresses.allow"),
        ("'*.internal': 10.0.0.1:80", "plain name"),
        ("x_.-: 10.0.0.1:80", "each label"),
        ("x.internal: [10.0.0.1]", "found a list"),
        ("x.internal: {a: b}", "found a mapping"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, entry: str, said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        _load(tmp_path, f"  {entry}\n")
    assert said in str(caught.value)
    assert ":3:" in str(caught.value)


def test_a_name_and_port_may_not_come_twice(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="the same name and port"):
        _load(tmp_path, "  x.internal: 10.0.0.1:80\n  X.internal:80: 10.0.0.2:80\n")
    with pytest.raises(PolicyError, match="twice"):
        _load(tmp_path, "  x.internal: 10.0.0.1:80\n  x.internal: 10.0.0.2:80\n")


def test_shown_services_load_again(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("version: 1\nservices: {a.internal: 127.0.0.1:1, a.internal:2: '[::1]:3'}\n")
    policy = load(file, None)
    file.write_text(yaml.safe_dump(msgspec.to_builtins(policy)))
    assert load(file, None) == policy
