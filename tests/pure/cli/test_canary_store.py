"""Decoys: their shapes, and files that can be planted and taken away without a trace."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from interceptor.cli import canary_store, decoys
from interceptor.cli.canary import command
from interceptor.cli.known_secrets import collect
from interceptor.policy.schema import Secrets
from interceptor.scan.candidates import known_secrets
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import load_rules
from interceptor.scan.validators import VALIDATORS

SHAPES: dict[str, Callable[[], str]] = {
    "aws-access-key-id": decoys.aws_key_id,
    "github-token": decoys.github_token,
    "npm-access-token": decoys.npm_token,
    "stripe-secret-key": decoys.stripe_key,
    "aws-secret-access-key": lambda: f"aws_secret_access_key = {decoys.aws_secret_key()}",
}


@pytest.mark.parametrize("rule", SHAPES)
def test_a_decoy_has_the_shape_that_our_own_rule_knows(rule: str) -> None:
    (known,) = (each for each in load_rules().rules if each.id == rule)
    flags = re.IGNORECASE if known.caseless else re.NOFLAG
    for _ in range(50):
        value = SHAPES[rule]().encode()
        match = re.search(known.pattern.encode(), value, flags)
        assert match is not None, rule
        group = match.re.groups
        assert VALIDATORS[known.validator](match[group], value[match.end(group) :]), rule


def test_decoys_are_never_the_same() -> None:
    for make in (*SHAPES.values(), decoys.password, decoys.service_account_token):
        assert len({make() for _ in range(50)}) == 50


def test_variables_of_a_jail_avoid_what_is_there() -> None:
    first = decoys.for_jail(())
    taken = {name for name, _ in first.variables}
    second = decoys.for_jail(taken | {f"OLD_{name}" for name in taken})
    assert not {name for name, _ in second.variables} & (taken | {f"OLD_{n}" for n in taken})
    values = dict(first.canaries)
    for name, value in first.variables:
        assert values[name] in value
    for path, text in first.files:
        assert path.startswith("/run/secrets/")
        inside = [value for name, value in first.canaries if name.startswith(f"{path}:")]
        assert inside
        assert all(value in text for value in inside)


def planted_in(home: Path) -> list[canary_store.Planted]:
    return canary_store.plant(str(home), str(home), decoys.baits())


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_planting_is_reversible(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    before = tree(tmp_path)
    assert len(planted_in(tmp_path)) == 4
    assert ".aws/credentials" in tree(tmp_path)
    for entry in canary_store.load(str(tmp_path)):
        assert stat.S_IMODE(Path(entry.path).stat().st_mode) == 0o600
        assert canary_store.state_of(entry) == "planted"
    store = canary_store.store_of(str(tmp_path))
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    assert {state for _, state in canary_store.remove(str(tmp_path))} == {"removed"}
    left = tree(tmp_path) - before
    assert left == {".local", ".local/state", ".local/state/egressguard"}
    assert canary_store.load(str(tmp_path)) == ()


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    real = tmp_path / ".aws" / "credentials"
    real.write_text("[default]\n")
    (tmp_path / ".env.production").symlink_to("/nowhere")
    entries = planted_in(tmp_path)
    paths = {str(Path(entry.path).relative_to(tmp_path)) for entry in entries}
    assert {".aws/credentials.backup", ".env.backup"} <= paths
    assert real.read_text() == "[default]\n"
    # And what somebody has written into since is theirs.
    changed = tmp_path / ".env.backup"
    changed.write_text(changed.read_text() + "MINE=1\n")
    states = dict(canary_store.remove(str(tmp_path)))
    assert states[str(changed)] == "changed"
    assert changed.exists()
    assert (tmp_path / ".aws").is_dir()
    assert len(canary_store.load(str(tmp_path))) == 1
    changed.unlink()
    assert dict(canary_store.remove(str(tmp_path))) == {str(changed): "gone"}


def test_a_second_planting_takes_the_next_places(tmp_path: Path) -> None:
    first, second, third = planted_in(tmp_path), planted_in(tmp_path), planted_in(tmp_path)
    assert [len(first), len(second), len(third)] == [4, 4, 3]
    assert planted_in(tmp_path) == []
    assert len(list(canary_store.canaries(canary_store.load(str(tmp_path))))) == 20


@pytest.mark.parametrize("fault", ["mode", "link", "json", "version", "fifo"])
def test_a_store_that_is_not_ours_is_not_believed(tmp_path: Path, fault: str) -> None:
    planted_in(tmp_path)
    store = canary_store.store_of(str(tmp_path))
    match fault:
        case "mode":
            store.chmod(0o644)
        case "link":
            store.rename(tmp_path / "x")
            store.symlink_to(tmp_path / "x")
        case "json":
            store.write_text("{")
        case "version":
            store.write_text('{"version": 2}')
        case "fifo":
            store.unlink()
            os.mkfifo(store, 0o600)
    with pytest.raises(canary_store.StoreError, match=r"canaries\.json"):
        canary_store.load(str(tmp_path))
    assert collect(Secrets(), {}, str(tmp_path)).skipped == (("planted canaries", "unreadable"),)


def test_a_store_cannot_make_ordinary_words_into_canaries(tmp_path: Path) -> None:
    """An agent that could write one must not stop every later jail's work with it."""
    store = canary_store.store_of(str(tmp_path))
    store.parent.mkdir(parents=True)
    names = ["authorization", "content-type: application/json", "Mozilla/5.0", "https://a.example/"]
    canaries = [{"name": "x", "value": value} for value in (*names, "a" * 40, "short1X")]
    entry = {"path": "", "digest": "", "folders": [], "canaries": canaries}
    store.write_text(json.dumps({"version": 1, "planted": [entry]}))
    store.chmod(0o600)
    assert list(canary_store.canaries(canary_store.load(str(tmp_path)))) == []


def test_what_is_planted_is_known_to_jails_and_nowhere_at_home(tmp_path: Path) -> None:
    planted_in(tmp_path)
    collected = collect(Secrets(well_known="register"), {}, str(tmp_path))
    scanner = Scanner.build(load_rules(), None)
    secrets, guarded = known_secrets(collected, scanner, Secrets())
    assert secrets
    assert all(secret.canary and secret.home == () for secret in secrets)
    assert len(guarded.canaries) == len(secrets) == 7
    assert guarded.names == ()
    assert guarded.lines() == ("7 canaries are planted",)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from netns import identity

    me = identity.Identity(os.geteuid(), os.getegid(), (), "me", str(tmp_path), "/bin/sh")
    monkeypatch.setattr(identity, "resolve", lambda *_: me)
    run = CliRunner()
    assert run.invoke(command, ["list"]).output == "No canary is planted.\n"
    done = run.invoke(command, ["plant"])
    assert done.exit_code == 0, done.output
    assert f"{tmp_path}/.aws/credentials  2 canaries\n" in done.output
    printed = run.invoke(command, ["print"]).output.splitlines()
    assert len(printed) == 5
    rows = json.loads(run.invoke(command, ["list", "--json"]).output)["canaries"]
    assert len(rows) == 12
    assert {row["state"] for row in rows} == {"planted", "printed"}
    values = {value for _, value in canary_store.canaries(canary_store.load(str(tmp_path)))}
    shown = run.invoke(command, ["list"]).output
    assert not any(value in shown for value in values)
    assert any(line.partition("=")[2] in values for line in printed)
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    assert run.invoke(command, ["plant", "--dir", str(elsewhere)]).exit_code == 0
    assert (elsewhere / ".aws" / "credentials").is_file()
    done = run.invoke(command, ["remove"])
    assert done.exit_code == 0
    assert not (tmp_path / ".aws").exists()
    assert not (elsewhere / ".aws").exists()
    assert run.invoke(command, ["plant", "--dir", str(tmp_path / "none" / "x")]).exit_code == 0
    (tmp_path / "file").write_text("")
    assert run.invoke(command, ["plant", "--dir", str(tmp_path / "file")]).exit_code == 1
