"""Violence to our own processes (rows 45, 46, 50): whatever happens to them, nothing gets out."""

from __future__ import annotations

from collections.abc import Callable

from netns.escapes.report import Line
from tests.escape.stage import LabStage

SCENES: tuple[Callable[[LabStage], Line], ...] = ()
