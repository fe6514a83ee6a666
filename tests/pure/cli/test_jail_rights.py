"""Who may start a jail, and where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from interceptor.cli import jail_checks
from netns import launch
from netns.identity import Identity


def test_jails_do_not_nest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = tmp_path / "gate.py"
    monkeypatch.setattr(launch, "GATE", str(gate))
    root = os.geteuid() == 0
    jail_checks.rights(rootless=not root)
    gate.write_text("")
    for rootless in (False, True):
        with pytest.raises(jail_checks.Fault, match="inside a jail already") as caught:
            jail_checks.rights(rootless=rootless)
        assert caught.value.exit_code == 125


def test_root_and_rootless_exclude_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "GATE", str(tmp_path / "none"))
    for uid, rootless, said in ((0, True, "for ordinary users"), (1000, False, "needs root")):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        with pytest.raises(jail_checks.Fault, match=said):
            jail_checks.rights(rootless=rootless)


def test_the_working_directory_must_be_enterable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permission bits of each directory on the way, as somebody without capabilities meets them."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    owner = closed.stat().st_uid
    rows = ((owner, 0, False), (owner + 1, 0, True))
    for uid, gid, kept_out in rows:
        who = Identity(uid, gid, (gid,), "somebody", "", "/bin/sh")
        assert jail_checks._closed(who, closed) is kept_out, uid
    closed.chmod(0o750)
    member = Identity(owner + 1, closed.stat().st_gid, (), "member", "", "/bin/sh")
    assert not jail_checks._closed(member, closed)
    inside = closed / "work"
    inside.mkdir()
    monkeypatch.chdir(inside)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(jail_checks, "_enters", lambda *_, **__: False)
    stranger = Identity(owner + 1, 61_999, (), "stranger", "", "/bin/sh")
    with pytest.raises(jail_checks.Fault, match="stranger may not enter it") as caught:
        jail_checks.working_directory(stranger, "rw")
    assert caught.value.exit_code == 2
    monkeypatch.setattr(jail_checks, "_enters", lambda *_, **__: True)
    assert jail_checks.working_directory(stranger, "rw") == str(inside)
