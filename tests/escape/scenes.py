"""Every scene: what a table of single attempts cannot say."""

from __future__ import annotations

from collections.abc import Callable

from netns.escapes.report import Line
from tests.escape.stage import LabStage
from tests.escape.start import late_socket, preload, start_race
from tests.escape.violence import VIOLENCE

SCENES: list[Callable[[LabStage], Line]] = [late_socket, preload, start_race, *VIOLENCE]
