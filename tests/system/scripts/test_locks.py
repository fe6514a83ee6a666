"""Lock files say what pyproject.toml asks for, exactly and with hashes."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = PROJECT["project"]["dependencies"]


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("runtime.txt", RUNTIME),
        ("dev.txt", RUNTIME + PROJECT["project"]["optional-dependencies"]["dev"]),
        ("clients.txt", PROJECT["dependency-groups"]["clients"]),
    ],
)
def test_the_lock_satisfies_the_project(lock: str, wanted: list[str]) -> None:
    versions = locked(lock)
    for line in wanted:
        requirement = Requirement(line)
        version = versions.get(canonicalize_name(requirement.name))
        assert version, f"{line} is not in requirements/{lock}: run scripts/lock"
        assert requirement.specifier.contains(version), f"{line}: run scripts/lock"


@pytest.mark.parametrize("lock", ["runtime.txt", "dev.txt", "clients.txt"])
def test_every_package_has_hashes_and_no_place(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    entries = re.split(r"\n(?=[a-z])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    # More than once where versions of Python differ.
    assert {entry.partition("==")[0] for entry in entries} == set(locked(lock))
    for entry in entries:
        assert "--hash=sha256:" in entry
    assert "://" not in text  # no index and no address: the user's own pip settings decide


def test_tests_run_what_users_run() -> None:
    runtime = locked("runtime.txt")
    dev = locked("dev.txt")
    assert runtime == {name: dev.get(name) for name in runtime}


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text()
    extras = PROJECT["project"]["optional-dependencies"].values()
    groups = [RUNTIME, *extras, *PROJECT["dependency-groups"].values()]
    for line in itertools.chain.from_iterable(groups):
        assert f"`{Requirement(line).name}`" in text, f"{line} is missing in docs/dependencies.md"
