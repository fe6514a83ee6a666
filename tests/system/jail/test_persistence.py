"""What an agent could leave behind for the next start: our files cannot be changed or swapped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.programs import JAIL_ENVIRONMENT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

HOME = "/home/dev"


def _shell(lab: Lab, script: str) -> None:
    """Run as the lab's user on the host, without a jail."""
    done = lab.run(["sh", "-ec", script], user="dev", cwd=HOME)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def place(clean_lab: Lab) -> Lab:
    _shell(clean_lab, f"rm -rf {HOME}/own && mkdir -p {HOME}/own/conf {HOME}/own/logs")
    return clean_lab


def test_without_a_jail_directories_can_be_swapped(place: Lab) -> None:
    """The positive control of all below."""
    _shell(place, "mv own/conf own/old && mkdir own/conf && mv own else && mv else own")


@pytest.mark.parametrize(
    "swap",
    [
        "mv own/conf own/old",
        "mv own else",
        "rm -rf own/conf",
        "rm -f own/conf/p.yaml",
        "echo 'version: 1' > own/conf/p.yaml",
    ],
)
@pytest.mark.parametrize("rootless", [False, True])
def test_the_policy_cannot_be_swapped(place: Lab, swap: str, rootless: bool) -> None:
    text = "version: 1\nhosts:\n  deny: [denied.example]\n"
    _shell(place, f"printf '%s' '{text}' > own/conf/p.yaml")
    options = ["--policy", f"{HOME}/own/conf/p.yaml", *(["--rootless"] if rootless else [])]
    script = f"cd {HOME}; ({swap}) 2>/dev/null && echo changed || echo refused"
    done = place.jail(["sh", "-c", script], *options, user="dev" if rootless else None)
    assert done.text == "refused\n", done.errors
    assert place.path(f"{HOME}/own/conf/p.yaml").read_text() == text


@pytest.mark.parametrize("rootless", [False, True])
def test_the_evidence_cannot_be_swapped(place: Lab, rootless: bool) -> None:
    evidence = f"{HOME}/own/logs/e.jsonl"
    script = (
        f"cd {HOME}; mv own/logs own/old; mv own else; rm -f own/logs/e.jsonl; "
        "echo forged > own/logs/e.jsonl; curl -sS -o /dev/null http://10.0.0.1/"
    )
    command = place.jail_command(
        ["sh", "-c", script],
        *(["--rootless"] if rootless else []),
        *("--evidence", evidence),
        rootless=rootless,
    )
    done = place.run(command, user="dev" if rootless else None, env=JAIL_ENVIRONMENT, cwd=HOME)
    assert b"address_private" in done.stderr, done.stderr
    reasons = [event.get("reason") for event in place.evidence(evidence)]
    assert "address_private" in reasons
    assert b"forged" not in place.path(evidence).read_bytes()


@pytest.mark.parametrize("folder", [".cache", ".local", ".local/state"])
def test_a_rootless_agent_reaches_neither_rules_nor_earlier_evidence(
    place: Lab, folder: str
) -> None:
    script = (
        f"cd {HOME}; mv {folder} elsewhere 2>/dev/null && echo moved; "
        "ls .cache/egressguard .local/state/egressguard; "
        "touch .cache/egressguard/x 2>/dev/null && echo planted; true"
    )
    done = place.jail(["sh", "-c", script], "--rootless", user="dev")
    assert "moved" not in done.text
    assert "planted" not in done.text
    assert ".db" not in done.text
    assert ".jsonl" not in done.text


def test_an_argument_need_not_be_text(clean_lab: Lab) -> None:
    done = clean_lab.jail(["printf", "%s", "caf\udce9"])
    assert (done.returncode, done.stdout) == (0, b"caf\xe9"), done.errors


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full"])
def test_the_exit_code_is_the_commands_whatever_the_streams(clean_lab: Lab, streams: str) -> None:
    inner = clean_lab.jail_command(["sh", "-c", "curl -s http://10.0.0.1/; exit 7"])
    script = " ".join(f"'{word}'" for word in inner) + " " + streams
    done = clean_lab.run(["sh", "-c", script], env=JAIL_ENVIRONMENT, cwd=HOME)
    assert done.returncode == 7, done.stderr


def test_our_own_program_cannot_be_changed(place: Lab) -> None:
    """A checkout in the agent's home is what the next start runs, perhaps as root."""
    checkout = Path(__file__).parents[3]
    copy = f"{HOME}/own/eg"
    files = " ".join(str(checkout / name) for name in ("interceptor", "netns", "pyproject.toml"))
    assert place.run(["sh", "-c", f"mkdir {copy} && cp -r {files} {copy}"]).returncode == 0
    assert place.run(["chown", "-R", "dev", copy]).returncode == 0
    change = f"echo '# changed' >> {copy}/interceptor/__init__.py"
    script = f"({change}) 2>/dev/null && echo changed; cd {HOME}; mv own/eg own/x || mv own else"
    command = place.jail_command(["sh", "-c", script], "--evidence", "/run/own.jsonl")
    environment = {**JAIL_ENVIRONMENT, "PYTHONPATH": copy}
    done = place.run(command, env=environment, cwd=f"{HOME}/own")
    assert done.stdout == b"", done.stderr
    assert done.stderr.count(b"cannot move") == 2, done.stderr
    assert b"# changed" not in place.path(f"{copy}/interceptor/__init__.py").read_bytes()
    _shell(place, change)  # the positive control: nothing but the jail was in the way
    assert b"# changed" in place.path(f"{copy}/interceptor/__init__.py").read_bytes()
