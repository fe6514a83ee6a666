"""What runs later and was changed is named; ordinary work is not."""

from __future__ import annotations

import os
from pathlib import Path

from netns.startup_files import changed, snapshot


def test_changes_are_named(tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "home" / "work"
    (project / ".git" / "hooks").mkdir(parents=True)
    (home / ".bashrc").write_text("a")
    (home / ".profile").write_text("a")
    tools = home / "tools"
    tools.mkdir()
    before = snapshot(str(home), str(project), f"/usr/bin:{tools}")
    (home / ".bashrc").write_text("b")
    os.utime(home / ".bashrc", ns=(0, 0))  # a time that is put back does not hide it
    (home / ".profile").unlink()
    (project / ".git" / "hooks" / "post-checkout").write_text("x")
    (project / ".mcp.json").symlink_to("/etc/passwd")
    (tools / "git").write_text("x")
    (project / "main.py").write_text("ordinary work")
    (project / ".git" / "hooks" / "pre-push.sample").write_text("a sample")
    after = snapshot(str(home), str(project), f"/usr/bin:{tools}")
    assert changed(before, after) == (
        f"changed {home}/.bashrc",
        f"removed {home}/.profile",
        f"made {tools}/git",
        f"made {project}/.git/hooks/post-checkout",
        f"made {project}/.mcp.json",
    )


def test_nothing_changed(tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("a")
    before = snapshot(str(tmp_path), str(tmp_path))
    (tmp_path / "notes.txt").write_text("ordinary work")
    assert changed(before, snapshot(str(tmp_path), str(tmp_path))) == ()
    assert f"{tmp_path}/.bashrc" in before


def test_a_folder_that_is_swapped_for_another(tmp_path: Path) -> None:
    hooks = tmp_path / ".git" / "hooks"
    hooks.mkdir(parents=True)
    before = snapshot("", str(tmp_path))
    hooks.rename(tmp_path / "old")
    hooks.symlink_to(tmp_path / "old")
    assert changed(before, snapshot("", str(tmp_path))) == (f"changed {hooks}",)


def test_no_home_and_unreadable_places() -> None:
    assert snapshot("", "/nonexistent/place") == {}
    assert snapshot("/proc/self/mem", "/dev/null", "relative:/also:") == {}
