"""Who may start a jail, and where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from interceptor.cli import jail
from netns import launch


def test_jails_do_not_nest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = tmp_path / "gate.py"
    monkeypatch.setattr(launch, "GATE", str(gate))
    root = os.geteuid() == 0
    jail._check_rights(rootless=not root)
    gate.write_text("")
    for rootless in (False, True):
        with pytest.raises(jail.Fault, match="inside a jail already") as caught:
            jail._check_rights(rootless=rootless)
        assert caught.value.exit_code == 125


def test_root_and_rootless_exclude_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "GATE", str(tmp_path / "none"))
    for uid, rootless, said in ((0, True, "for ordinary users"), (1000, False, "needs root")):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        with pytest.raises(jail.Fault, match=said):
            jail._check_rights(rootless=rootless)
