"""What `egressguard jail` does when it is told nothing."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.lab import Lab
from tests.lab.programs import JAIL_ENVIRONMENT
from tests.lab.world import BAD_CERTIFICATES

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


def test_evidence_goes_to_its_own_place_and_the_agent_cannot_read_it(lab: Lab) -> None:
    script = "id -u; cat /var/log/egressguard/* 2>/dev/null | wc -c; ls -A /var/log/egressguard"
    command = lab.jail_command(["sh", "-c", script])
    done = lab.run(command, env=JAIL_ENVIRONMENT, cwd="/home/dev/work")
    assert done.returncode in (0, 2), done.stderr
    assert done.stdout.split()[:2] == [b"4242", b"0"]
    assert list(lab.path("/var/log/egressguard").glob("*.jsonl"))


@pytest.mark.parametrize("name", sorted(BAD_CERTIFICATES))
def test_a_bad_certificate_is_called_that_every_time(lab: Lab, name: str) -> None:
    """Whether the alert arrives before or after the dialler waits for it."""
    fetch = f"for i in $(seq 40); do curl -sS https://{name}/get; done"
    done = lab.jail(["sh", "-c", fetch])
    reasons = Counter(json.loads(line)["reason"] for line in done.text.splitlines())
    assert reasons == {"certificate_invalid": 40}


def test_a_trust_file_that_holds_none_is_said_clearly(clean_lab: Lab) -> None:
    """The interceptor finds it; its last words are what the operator reads."""
    clean_lab.path("/home/dev/work/junk.pem").write_text("junk\n")
    policy = clean_lab.path("/home/dev/work/junk.yaml")
    policy.write_text("version: 1\nupstream:\n  ca_file: junk.pem\n")
    before = clean_lab.processes()
    done = clean_lab.jail(["true"], "--policy", "/home/dev/work/junk.yaml")
    assert done.returncode == 125
    assert "cannot load trusted certificates from /home/dev/work/junk.pem" in done.errors
    assert "Traceback" not in done.errors
    assert clean_lab.processes() == before


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--name", "Bad Name"), 2, "jail name"),
        (("--bind", "/no/such"), 2, "does not exist"),
        (("--ro-bind", "/no/such"), 2, "does not exist"),
        (("--policy", "/no/such.yaml"), 2, "no such file"),
        (("--user", "no-such-user"), 2, "no such user"),
    ],
)
def test_mistakes_on_the_command_line(
    clean_lab: Lab, options: tuple[str, ...], code: int, said: str
) -> None:
    done = clean_lab.jail(["true"], *options)
    assert done.returncode == code, done.errors
    assert said in done.errors
    assert "Traceback" not in done.errors


@pytest.mark.parametrize("limit", [16, 40])
def test_too_few_descriptors_is_said_clearly(clean_lab: Lab, limit: int) -> None:
    command = " ".join(clean_lab.jail_command(["true"]))
    done = clean_lab.run(["sh", "-c", f"ulimit -n {limit}; exec {command}"], env=JAIL_ENVIRONMENT)
    assert done.returncode == 125
    assert b"too few descriptors" in done.stderr
