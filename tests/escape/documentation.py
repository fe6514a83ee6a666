"""docs/escape-matrix.md, written by the suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netns.escapes.report import Line, markdown, summary
from tests.lab.programs import ROOT

PATH = ROOT / "docs" / "escape-matrix.md"

_HEAD = Path(__file__).with_name("escape-matrix.head.md").read_text("utf-8")


def write(lines: Sequence[Line], about: str) -> None:
    """Write the file."""
    PATH.write_text(f"{_HEAD}\n{summary(lines)}\n\n{about}\n\n{markdown(lines)}\n", "utf-8")
