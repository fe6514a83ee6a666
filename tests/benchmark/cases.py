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

LATER = {"mcp_tool_sequence": "chains of tool calls"}
"""Kinds of input that later issues are about, and why."""
BACK = frozenset(("response_content", "mcp_tool_definition", "mcp_tool_result", "a2a_agent_card"))
"""Kinds of input that come back to the agent."""
_LATER_WORDS = {
    "shell_obfuscation": "commands in tool calls",
    "injection": "text that steers, sent out",
}


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
        return self.input_type in BACK

    @property
    def later(self) -> str:
        """Why it is not driven here; empty when it is."""
        if self.input_type in LATER:
            return LATER[self.input_type]
        if self.comes_back:
            return ""
        for word, why in _LATER_WORDS.items():
            if (word == self.category or f"-{word}-" in f"{self.id}-") and self.blocks:
                return why
        return ""


def load() -> list[Case]:
    """All cases; none where the benchmark is not there."""
    file = PLACE / "cases.jsonl"
    if not file.exists():
        return []
    lines = file.read_text("utf-8").splitlines()
    return [msgspec.convert(json.loads(line), Case, strict=False) for line in lines]
