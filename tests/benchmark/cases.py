"""The benchmark's cases: read, and said which of them are driven."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec

from tests.lab.programs import ROOT

PLACE = Path(
    os.environ.get("EGRESSGUARD_BENCHMARK", ROOT.parent / "shared" / "corpora" / "aeb-dev")
)
"""Folder with the benchmark's `cases.jsonl`; absent where nobody has put it."""

LATER: dict[str, str] = {}
"""Kinds of input that are not driven here, and why."""


class Case(msgspec.Struct, frozen=True):
    """One case, as the benchmark has it."""

    id: str
    category: str
    input_type: str
    payload: dict[str, Any]
    expected_verdict: str

    @property
    def blocks(self) -> bool:
        """Whether it should be stopped."""
        return self.expected_verdict == "block"

    @property
    def comes_back(self) -> bool:
        """Whether it is what an agent receives, not what it sends."""
        return self.input_type == "response_content"

    @property
    def talks(self) -> bool:
        """Whether it is a conversation of MCP or A2A."""
        return self.input_type.startswith(("mcp_", "a2a_"))

    @property
    def later(self) -> str:
        """Why it is not driven here; empty when it is."""
        return LATER.get(self.input_type, "")


def load() -> list[Case]:
    """All cases; none where the benchmark is not there."""
    file = PLACE / "cases.jsonl"
    if not file.exists():
        return []
    lines = file.read_text("utf-8").splitlines()
    return [msgspec.convert(json.loads(line), Case, strict=False) for line in lines]
