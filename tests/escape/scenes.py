"""Every scene: what a table of single attempts cannot say."""

from __future__ import annotations

from collections.abc import Callable

from netns.escapes.report import Line
from tests.escape.late import LATE
from tests.escape.stage import LabStage
from tests.escape.start import preload, start_race
from tests.escape.violence import VIOLENCE

SCENES: list[Callable[[LabStage], Line]] = [*LATE, preload, start_race, *VIOLENCE]
