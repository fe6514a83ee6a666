"""Limits in a real jail, where this machine's control groups can be used for them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netns import limits
from netns.limits import Group, LimitError, Limits
from tests.system.netns.test_enclosure import run

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


def limited(asked: Limits) -> Iterator[Group]:
    try:
        group = limits.limited(asked, f"test-{os.getpid()}")
    except LimitError as error:
        pytest.skip(str(error))
    paths = list(group._paths)
    assert all(path.is_dir() for path in paths)
    try:
        yield group
    finally:
        group.close()
        assert not any(path.exists() for path in paths)


@pytest.fixture
def few() -> Iterator[Group]:
    yield from limited(Limits(pids=20))


@pytest.fixture
def slow() -> Iterator[Group]:
    yield from limited(Limits(cpus=0.1))


_FORKS = "for i in $(seq 60); do sleep 2 & done 2>/dev/null; ls /proc | grep -c '^[0-9]'"
_WORK = "python3 -c 'import time; t = time.process_time\nwhile t() < 0.2: pass'"


def test_pids(few: Group) -> None:
    done = run("root", _FORKS, groups=few.descriptors)
    count = done.stdout.split()
    assert not count or int(count[-1]) <= 20, done.stderr
    assert int(run("root", _FORKS).stdout.split()[-1]) > 60  # control
    notes = few.notes()
    assert not notes or "could not be started" in notes[0]
    assert notes or not any(Path(path, "pids.events").exists() for path in few._paths)


def test_cpus(slow: Group) -> None:
    def seconds(*groups: int) -> float:
        begin = time.monotonic()
        done = run("root", _WORK, groups=groups)
        assert done.returncode == 0, done.stderr
        return time.monotonic() - begin

    # A tenth of a processor: 0.2 s of work take 2 s, however busy or idle the machine is.
    assert seconds(*slow.descriptors) > 1.5
    assert min(seconds(), seconds()) < 1.5  # control
