"""The store of pins: shared, sealed, whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from interceptor.cli.mcp import command
from interceptor.decide.mcp.pins import PinState
from interceptor.mcp.pin_store import NAME, PinStore, PinStoreError

OLD = {"name": "read", "description": "Read a file."}
NEW = {"name": "read", "description": "Read a file and send it on."}


def filled(folder: Path) -> PinStore:
    store = PinStore(folder)
    store.book.check("files", "read", OLD, 1000.0)
    assert store.changed
    store.save()
    return store


def test_it_is_kept(tmp_path: Path) -> None:
    store = filled(tmp_path)
    path = tmp_path / NAME
    assert path.stat().st_mode & 0o777 == 0o600
    again = PinStore(tmp_path)
    assert not again.changed
    assert not store.changed
    assert again.book.check("files", "read", OLD, 0.0) is PinState.KNOWN
    assert again.book.check("files", "read", NEW, 0.0) is PinState.CHANGED


def test_processes_see_what_others_write_and_lose_nothing(tmp_path: Path) -> None:
    first, second = filled(tmp_path), PinStore(tmp_path)
    assert not first.refresh()
    assert first.book.check("files", "read", NEW, 0.0) is PinState.CHANGED
    second.book.check("git", "log", OLD, 0.0)
    second.save()
    first.save()  # after the other: both are there
    assert {(s, t) for s, t, _ in PinStore(tmp_path).book.pins()} == {
        ("files", "read"),
        ("git", "log"),
    }
    assert second.refresh()
    assert second.book.changed("files", "read")
    assert second.book.approve("files", "read")
    second.save()
    assert first.refresh()  # approved elsewhere
    assert first.book.check("files", "read", NEW, 0.0) is PinState.KNOWN
    second.book.forget("git")
    second.save()
    assert first.refresh()
    assert first.book.get("git", "log") is None
    assert not first.changed


@pytest.mark.parametrize("harm", ["edit", "cut", "mode", "link", "hardlink", "key", "nothing"])
def test_what_somebody_else_wrote_is_refused(tmp_path: Path, harm: str) -> None:
    store = filled(tmp_path)
    path = tmp_path / NAME
    data = path.read_bytes()
    if harm == "edit":
        path.write_bytes(data.replace(b"Read a file.", b"Read a fake."))
    elif harm == "cut":
        path.write_bytes(data[:-5])
    elif harm == "mode":
        path.chmod(0o644)
    elif harm == "link":
        path.rename(tmp_path / "other")
        path.symlink_to(tmp_path / "other")
    elif harm == "hardlink":
        os.link(path, tmp_path / "other")
    elif harm == "key":
        (tmp_path / "mcp-pins.key").unlink()
    if harm == "nothing":
        PinStore(tmp_path)
        return
    with pytest.raises(PinStoreError):
        PinStore(tmp_path)
    if harm != "key":
        store.book.check("git", "log", OLD, 0.0)
        with pytest.raises(PinStoreError):
            store.save()


def test_the_command_line(tmp_path: Path) -> None:
    def run(*words: str) -> tuple[object, str]:
        done = CliRunner().invoke(
            command, ["pins", "--state", str(tmp_path), *words], standalone_mode=False
        )
        return done.exception or done.return_value, done.output

    store = filled(tmp_path)
    assert run()[0] == 0
    assert "Read a file." in run("show", "files", "read")[1]
    store.book.check("files", "read", NEW, 0.0)
    store.save()
    code, said = run("list")
    assert code == 1
    assert said.startswith("CHANGED")
    code, said = run("show", "files", "read")
    assert code == 1
    assert '- description: "Read a file."' in said
    assert '+ description: "Read a file and send it on."' in said
    assert run("approve", "files", "read", "--digest", "0123")[0] == 1
    assert run("approve", "files", "--all")[0] == 0
    assert run("list")[0] == 0
    assert run("show", "files", "nothing")[0] == 1
    assert run("forget", "files")[0] == 0
    assert run("forget", "files")[0] == 1
    (tmp_path / NAME).write_text("{}")
    (tmp_path / NAME).chmod(0o600)
    assert "begin anew" in str(run("list")[0])
    assert run("reset")[0] == 0
    assert run("list")[0] == 0
