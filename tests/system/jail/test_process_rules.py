"""Rules for some programs only: a convenience, and what is not known is denied."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_POLICY = """
version: 1
requests:
  - {host: www.example.com, action: allow, process: [curl]}
  - {host: www.example.com, action: deny}
"""
_PYTHON = """
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1]).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


@pytest.fixture
def policy(clean_lab: Lab) -> Iterator[str]:
    path = clean_lab.path("/etc/by-process.yaml")
    path.write_text(_POLICY)
    yield "/etc/by-process.yaml"
    path.unlink()


def test_rules_for_a_program(clean_lab: Lab, policy: str) -> None:
    url = "http://www.example.com/"
    script = f"""
        curl -s -o /dev/null -w '%{{http_code}}\\n' {url}
        /usr/bin/python3 -c "$PROGRAM" {url}
        cp /usr/bin/curl /tmp/wget && /tmp/wget -s -o /dev/null -w '%{{http_code}}\\n' {url}
    """
    done = clean_lab.jail(["sh", "-c", script], "--policy", policy, "--env", f"PROGRAM={_PYTHON}")
    assert done.text.split() == ["200", "403", "403"], done.errors
    assert {e["rule"] for e in done.events("method_not_allowed")} == {"requests[1]"}
    named = [e["process"] for e in done.events("method_not_allowed")]
    assert [p and p["executable"].rpartition("/")[2].startswith(("python", "wget")) for p in named]


def test_without_the_policy_all_of_them_may(clean_lab: Lab) -> None:
    """Positive control."""
    script = '/usr/bin/python3 -c "$PROGRAM" http://www.example.com/'
    done = clean_lab.jail(["sh", "-c", script], "--env", f"PROGRAM={_PYTHON}")
    assert done.text.split() == ["200"], done.errors
