"""The database cache: used when safe, ignored when not, never a reason to fail."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import hyperscan
import pytest

from interceptor.scan import cache, database
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import Rule, Ruleset
from interceptor.verdict import Severity

RULES = Ruleset((Rule(id="one", title="One", pattern="needle[0-9]{4}", severity=Severity.LOW),))

MAIN = 4
"""Databases of everything, of names, of marks, of pieces."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir(mode=0o755)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A cache that is filled, and how many databases that took: compiling takes half a second."""
    folder = tmp_path_factory.mktemp("made") / "cache"
    folder.mkdir(mode=0o755)
    with pytest.MonkeyPatch.context() as patch:
        counted = counting_compiles(patch)
        assert works(Scanner.build(RULES, folder))
    return folder, len(counted)


@pytest.fixture
def compiles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return counting_compiles(monkeypatch)


def counting_compiles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    counted: list[int] = []
    original = database.compile_database

    def counting(*arguments: list) -> object:  # type: ignore[type-arg]
        counted.append(1)
        return original(*arguments)

    monkeypatch.setattr(database, "compile_database", counting)
    return counted


def works(scanner: Scanner) -> bool:
    return len(scanner.scan(b"a needle1234 b", "body").findings) == 1


def test_second_build_compiles_nothing(folder: Path, compiles: list[int]) -> None:
    assert works(Scanner.build(RULES, folder))
    first = len(compiles)
    assert first > MAIN
    assert works(Scanner.build(RULES, folder))
    assert len(compiles) == first
    other = Ruleset((Rule(id="one", title="One", pattern="neEd[0-9]{4}", severity=Severity.LOW),))
    Scanner.build(other, folder)
    assert len(compiles) == first + MAIN  # what is looked for by itself is the same


def test_no_folder_yet(tmp_path: Path, compiles: list[int]) -> None:
    assert works(Scanner.build(RULES, tmp_path / "a" / "b"))
    first = len(compiles)
    assert works(Scanner.build(RULES, tmp_path / "a" / "b"))
    assert len(compiles) == first


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "swap", "garbage"])
def test_damage_means_making_it_again(
    folder: Path, made: tuple[Path, int], compiles: list[int], damage: str, number: int
) -> None:
    filled, built = made
    shutil.copytree(filled, folder, dirs_exist_ok=True)
    files = sorted(folder.glob("*.db"))
    assert len(files) == MAIN + 2  # those, what is looked for by itself, and what is in all of them
    first, second = files[number], files[number - 1]
    good = first.read_bytes()
    data = first.read_bytes()
    middle = len(data) // 2
    first.write_bytes(
        {
            "truncate": data[:middle],
            "flip": data[:middle] + bytes((data[middle] ^ 1,)) + data[middle + 1 :],
            "empty": b"",
            "swap": second.read_bytes(),
            "garbage": os.urandom(5000),
        }[damage]
    )
    assert works(Scanner.build(RULES, folder))
    # What the databases are made of is worked out, not compiled.
    assert len(compiles) in (0, 1, built - MAIN)
    assert first.read_bytes() == good


def test_files_others_can_write_are_not_trusted(folder: Path) -> None:
    assert cache.store(folder, "ab", b"body")
    assert cache.load(folder, "ab") == b"body"
    path = folder / "rules-ab.db"
    path.chmod(0o666)
    assert cache.load(folder, "ab") is None
    path.chmod(0o644)
    folder.chmod(0o777)
    assert cache.load(folder, "ab") is None
    folder.chmod(0o755)
    real = path.rename(folder / "elsewhere")
    path.symlink_to(real)
    assert cache.load(folder, "ab") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="changing the owner takes root")
def test_files_of_others_are_not_trusted(folder: Path) -> None:
    assert cache.store(folder, "ab", b"body")
    os.chown(folder / "rules-ab.db", 12345, 12345)
    assert cache.load(folder, "ab") is None
    os.chown(folder / "rules-ab.db", 0, 0)
    assert cache.load(folder, "ab") == b"body"
    os.chown(folder, 12345, 12345)
    assert cache.load(folder, "ab") is None


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    assert not cache.store(file, "ab", b"body")
    assert cache.load(file, "ab") is None
    assert works(Scanner.build(RULES, file))
    assert cache.load(tmp_path / "nul\0", "ab") is None


def test_a_stale_half_written_file_does_no_harm(folder: Path) -> None:
    (folder / "rules-ab.new").write_bytes(b"half")
    assert cache.store(folder, "ab", b"body")
    assert cache.load(folder, "ab") == b"body"
    assert not list(folder.glob("*.new"))


def test_sealed_for_its_key(folder: Path) -> None:
    assert cache.store(folder, "ab", b"body")
    (folder / "rules-ab.db").rename(folder / "rules-cd.db")
    assert cache.load(folder, "cd") is None


def test_a_database_of_another_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> object:
        raise hyperscan.DatabasePlatformError

    Scanner.build(RULES, folder)
    monkeypatch.setattr(hyperscan, "loadb", refuse)
    assert works(Scanner.build(RULES, folder))


def test_known_secrets_are_not_cached(folder: Path) -> None:
    from interceptor.scan.ruleset import KnownSecret

    secret = KnownSecret(id="known", title="Known", value=b"very private value 4711")
    Scanner.build(RULES, folder, secrets=[secret])
    for file in folder.iterdir():
        assert b"private" not in file.read_bytes()
