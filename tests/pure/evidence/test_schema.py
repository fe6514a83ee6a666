"""docs/evidence.md explains every field, and lines of later versions can be read."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from interceptor.evidence import schema

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "evidence.md").read_text("utf-8")
STRUCTS = [
    schema.Decision,
    schema.DecisionFinding,
    schema.Completion,
    schema.Gap,
    schema.Started,
    schema.Stopped,
]


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_field_is_documented(struct: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(struct):
        assert f"`{field.encode_name}`" in PAGE, f"{struct.__name__}.{field.name}"


@pytest.mark.parametrize("struct", [s for s in STRUCTS if s is not schema.DecisionFinding])
def test_every_event_is_documented(struct: type[msgspec.Struct]) -> None:
    assert f"`{struct.__struct_config__.tag}`" in PAGE


def test_fields_of_later_versions_are_skipped() -> None:
    gap = schema.Gap(time="t", seq=1, jail="box", lost=1, since="t")
    later = json.loads(msgspec.json.encode(gap)) | {"colour": "red"}
    assert schema.decode(json.dumps(later).encode()) == gap
