"""The stated goals, and what came of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.load import MEASURES, Sample

WALL, CAPTIVE = 400.0, 50.0
"""Milliseconds of `jail -- true`, and of a captive namespace."""
MEMORY = 60e6
"""Bytes of all processes of a jail."""
BODY = 20e6
"""Bytes that a body of 1 GB may cost more than one of 1 MB."""
LEAF = 200.0
"""Microseconds for a leaf."""
MEDIAN, SLOW = 300.0, 2000.0
"""Microseconds that may be added to the median and the 99th percentile at low load."""
IDLE = 30_000.0
"""Bytes of an idle connection."""
STALL = 100.0
"""Milliseconds after which an event is stalled."""

Samples = Mapping[str, Mapping[str, Sequence[Sample]]]
"""Measure -> subject -> samples, in the order they were taken."""


@dataclass(frozen=True)
class Goal:
    """A stated goal and what came of it."""

    name: str
    wanted: str
    found: str
    met: bool


def ratios(samples: Mapping[str, Sequence[Sample]]) -> dict[str, float]:
    """Medians over the rounds of ours against the others, each round compared within itself."""
    ours = samples.get("egressguard", ())
    found = {}
    for other in ("direct", "mitmproxy"):
        pairs = list(zip(ours, samples.get(other, ()), strict=False))
        if pairs:
            found[f"egressguard/{other}"] = statistics.median(a.rate / b.rate for a, b in pairs)
            if other == "mitmproxy" and all(a.cpu and b.cpu for a, b in pairs):
                work = [b.cpu / a.cpu for a, b in pairs]
                found["cpu mitmproxy/egressguard"] = statistics.median(work)
    return found


def median(samples: Sequence[Sample]) -> Sample:
    """Median of each figure."""
    return Sample(
        **{
            key: statistics.median(getattr(sample, key) for sample in samples)
            for key in asdict(samples[0])
        }
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def goals(samples: Samples, facts: Mapping[str, Any]) -> list[Goal]:
    """The goals that this run can speak about."""
    return [
        *_throughput(samples),
        *_leaves(facts.get("leaves") or {}),
        *_delay(facts.get("delay") or {}),
        *_holding(facts),
        *_start(facts.get("start") or {}),
    ]


def _least(name: str, wanted: float, found: float, unit: str) -> Goal:
    digits = 2 if wanted < 1 else 1
    return Goal(name, f">= {wanted:g}{unit}", f"{found:.{digits}f}{unit}", found >= wanted)


def _most(name: str, wanted: float, found: float, unit: str, digits: int = 1) -> Goal:
    return Goal(name, f"<= {wanted:g} {unit}", f"{found:.{digits}f} {unit}", found <= wanted)


def _throughput(samples: Samples) -> list[Goal]:
    found = []
    for measure in MEASURES:
        against = ratios(samples.get(measure.name, {}))
        if "egressguard/mitmproxy" in against:
            ratio = against["egressguard/mitmproxy"]
            found.append(_least(f"{measure.name}, of mitmproxy", measure.other, ratio, "x"))
        if measure.direct and "egressguard/direct" in against:
            ratio = against["egressguard/direct"]
            found.append(_least(f"{measure.name}, of direct", measure.direct, ratio, "x"))
    return found


def _leaves(leaves: Mapping[str, float]) -> list[Goal]:
    if not leaves:
        return []
    return [
        _most("a leaf minted", LEAF / 1000, leaves["leaf"] / 1000, "ms", 3),
        _most("the same name again", 0.01, leaves["again"] / 1000, "ms", 4),
    ]


def _delay(delay: Mapping[str, Sequence[float]]) -> list[Goal]:
    if not delay:
        return []
    ours, direct = delay["egressguard"], delay["direct"]
    found = []
    for name, share, limit in (("median", 0.5, MEDIAN), ("99 %", 0.99, SLOW)):
        added = percentile(ours, share) - percentile(direct, share)
        name = f"delay added at low load, {name}"
        found.append(_most(name, limit / 1000, added / 1000, "ms", 2))
    return found


def _holding(facts: Mapping[str, Any]) -> list[Goal]:
    found = []
    memory, idle, events = (facts.get(key) or {} for key in ("memory", "idle", "events"))
    for way in ("download", "upload"):
        if memory:
            more = memory[f"{way} 1 GB"] - memory[f"{way} 1 MB"]
            found.append(_most(f"memory of a 1 GB {way} over 1 MB", BODY / 1e6, more / 1e6, "MB"))
    if idle:
        each = (idle["after"] - idle["before"]) / idle["connections"]
        found.append(_most("an idle connection", IDLE / 1000, each / 1000, "KB"))
    if events:
        ours = events["egressguard"]
        name = f"{ours['streams']} event streams, latest event"
        found.append(_most(name, STALL, ours["late"]["most"], "ms"))
        lost = ours["lost"]
        found.append(Goal(f"{ours['streams']} event streams, lost", "0", str(lost), lost == 0))
    return found


def _start(start: Mapping[str, Any]) -> list[Goal]:
    if not start:
        return []
    size = statistics.median(run["pss"] for run in start["memory"])
    return [
        _most("jail -- true, wall", WALL, statistics.median(start["wall"]), "ms", 0),
        _most("jail -- true, memory of all processes", MEMORY / 1e6, size / 1e6, "MB"),
        _most(
            "namespace and listeners ready",
            CAPTIVE,
            statistics.median(start["captive"]["inside"]),
            "ms",
        ),
    ]
