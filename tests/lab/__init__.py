"""The lab: a sealed pair of network namespaces that play a user's machine and the internet.

    with Lab() as lab:
        lab.run(["curl", "-s", "https://example.com/get"])
        lab.oracle.records()

Used by tests/system, `egressguard demo` and scripts/bench. Needs root; opens no path to any
network, and asserts so before its first packet (`Lab.assert_sealed`).
"""

from __future__ import annotations

from tests.lab.host import Lab
from tests.lab.programs import LabError
from tests.lab.records import Arrival, Question, Request
from tests.lab.world import Answer

__all__ = ["Answer", "Arrival", "Lab", "LabError", "Question", "Request"]
