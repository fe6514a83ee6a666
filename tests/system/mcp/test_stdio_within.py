"""The wrapper within a jail: as the agent's client starts it there."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.cli import mcp_run
from netns import launch
from tests.lab import Lab
from tests.lab.programs import ROOT
from tests.lab.world import DEV_HOME, DEV_UID

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

SOURCE = (ROOT / "tests/mcp_peers/server.py").read_text()
PROGRAM = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv[0] = 'egressguard'; "
    "from interceptor.cli.main import main; main()"
)


@pytest.fixture
def places(clean_lab: Lab) -> Iterator[None]:
    """What a jail hides: our own places below the home."""
    made = [clean_lab.path(f"{DEV_HOME}/{name}") for name in (".local", ".egressguard")]
    hidden = made[0] / "state/egressguard"
    hidden.mkdir(parents=True, exist_ok=True)
    compiled = Path("/var/cache/egressguard")
    if compiled.is_dir():  # not again: that takes 15 seconds
        known = made[1] / "egressguard"
        known.mkdir(parents=True, exist_ok=True)
        for file in compiled.iterdir():
            if file.is_file():
                shutil.copy(file, known / file.name)
    for path in [each for top in made if top.exists() for each in (top, *top.rglob("*"))]:
        os.chown(path, DEV_UID, DEV_UID)
    yield
    for path in made:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def environment(clean_lab: Lab) -> Iterator[str]:
    """This Python's environment, where a jail shows it: it hides the one `scripts/test` makes."""
    place = "/mnt/egressguard-environment"
    done = clean_lab.run(
        ["sh", "-ec", f"mkdir -p {place}; mount --bind {shlex.quote(sys.prefix)} {place}"]
    )
    assert done.returncode == 0, done.stderr
    yield place
    clean_lab.run(["sh", "-c", f"umount {place} && rmdir {place}"])


def test_it_knows_where_it_is() -> None:
    assert mcp_run.GATE == launch.GATE


def test_a_wrapped_server_works_within_a_jail(
    clean_lab: Lab, places: None, environment: str
) -> None:
    call = {"name": "echo", "arguments": {"text": "hello"}}
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": call},
    ]
    done = clean_lab.jail(
        [f"{environment}/bin/python", "-I", "-c", PROGRAM]  # noqa: RUF005
        + ["mcp", "--", "/usr/bin/python3", "-c", SOURCE],
        *("--ro-bind", str(ROOT)),  # wherever these tests run from
        input="".join(json.dumps(line) + "\n" for line in lines).encode(),
        timeout=120,
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [message["id"] for message in said] == [1, 2, 3], done.stderr.decode()
    assert all("result" in message for message in said)
    kept = clean_lab.path(f"{DEV_HOME}/.egressguard")
    (log,) = kept.glob("*.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert "/tools/call/echo" in [event.get("path") for event in events]
    assert (kept / "mcp-pins.json").exists()
