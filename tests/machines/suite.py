"""What `escape-suite` of the lab's agent is made of: the escape suite's own programs, in tar."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

from netns.escapes import furniture
from tests.lab import guest, world
from tests.lab.programs import ROOT

SCRIPT: Final = ROOT / "scripts" / "provision" / "escape-suite"

WORLD: Final[dict[str, Any]] = {
    "public4": "9.9.9.9",
    "public6": "2d00:99::1",
    "attacker4": world.ATTACKER[0],
    "lan4": world.LAN_SERVER,
    "lan6": "fd12:3456:789a::5",
    "metadata4": world.METADATA[0],
    "metadata6": world.METADATA[1],
    "resolver4": world.RESOLVER_V4,
    "resolver6": world.RESOLVER_V6,
    "host4": world.GATEWAY_V4,
    "source4": "198.18.0.10",
    "own4": "198.18.0.10",
    "own6": "fd65:6772:6573:7301::a",
    "neighbour4": world.GATEWAY_V4,
    "gateway4": "198.18.0.1",
    "gateway6": "fd65:6772:6573:7301::1",
    "broadcast4": "255.255.255.255",
}
"""Where the attempts send to; the network card is the machine's to say."""


def attempts() -> list[dict[str, Any]]:
    """The network rows of the escape suite, and a network card's, as the runner takes them."""
    return [
        {
            "id": each.id,
            "title": each.title,
            "program": each.program,
            "args": dict(each.args),
            "seconds": each.seconds,
        }
        for each in guest.attempts()
    ]


def archive() -> bytes:
    """Programs, attempts and the script, tar(1)."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        furniture.bundle(place / "bundle")
        for file in guest.PROGRAMS.glob("*.py"):
            shutil.copy(file, place / "bundle" / "netns" / "escapes" / "programs")
        plan = {"world": WORLD, "attempts": attempts()}
        (place / "attempts.json").write_text(json.dumps(plan), "utf-8")
        shutil.copy(SCRIPT, place / "escape-suite")
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as out:
            for name in ("bundle", "attempts.json", "escape-suite"):
                out.add(place / name, name)
        return made.getvalue()
