"""Medians, ratios and goals from samples; the table and the JSON file."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.load import MEASURES, Measure, Sample

SUBJECTS = ("direct", "egressguard", "mitmproxy")
_SPEED_GOAL = 10.0
_WALL_GOAL, _CAPTIVE_GOAL = 400.0, 50.0
_MEMORY_GOAL = 60e6
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
            for key in ("rate", "cpu", "median", "slow")
        }
    )


def goals(samples: Samples, start: Mapping[str, Any]) -> list[Goal]:
    """The goals that this run can speak about."""
    found = []
    for measure in MEASURES[:2]:
        ratio = ratios(samples.get(measure.name, {})).get("egressguard/mitmproxy")
        if ratio is not None:
            found.append(
                Goal(
                    f"{measure.name}, against mitmproxy",
                    f">= {_SPEED_GOAL:g}x",
                    f"{ratio:.1f}x",
                    ratio >= _SPEED_GOAL,
                )
            )
    if start:
        wall = statistics.median(start["wall"])
        size = statistics.median(run["pss"] for run in start["memory"])
        captive = statistics.median(start["captive"]["inside"])
        found += [
            Goal(
                "jail -- true, wall",
                f"<= {_WALL_GOAL:g} ms",
                f"{wall:.0f} ms",
                wall <= _WALL_GOAL,
            ),
            Goal(
                "jail -- true, peak memory of all processes",
                f"<= {_MEMORY_GOAL / 1e6:g} MB",
                f"{size / 1e6:.1f} MB",
                size <= _MEMORY_GOAL,
            ),
            Goal(
                "namespace and listeners ready",
                f"< {_CAPTIVE_GOAL:g} ms",
                f"{captive:.1f} ms",
                captive < _CAPTIVE_GOAL,
            ),
        ]
    return found


def table(report: Mapping[str, Any], samples: Samples, found: Sequence[Goal]) -> str:
    """Everything as text, no wider than 100 characters."""
    machine, settings = report["machine"], report["settings"]
    lines = [
        (
            f"{machine['cores']} cores ({machine['model']}), Linux {machine['kernel']}, "
            f"{machine['system']}"
        ),
        (
            f"Python {machine['python']}, egressguard {machine['egressguard']} "
            f"({machine['revision']}), mitmproxy {machine['mitmproxy']}, nginx {machine['nginx']}, "
            f"wrk {machine['wrk']}"
        ),
        (
            f"Load average {report['load'][0]:.1f} before and {report['load'][1]:.1f} after; "
            f"{settings['rounds']} rounds, taken in turn; proxy on core 1, client and upstream on 0"
        ),
        "",
        (
            f"{'':<30}{'direct':>9}{'egressguard':>13}{'mitmproxy':>11}  "
            f"{'ours/direct':>11}  {'ours/mitmproxy':>14}"
        ),
    ]
    lines += [
        _row(measure, samples[measure.name]) for measure in MEASURES if measure.name in samples
    ]
    lines += ["", "CPU time of the proxy for each (us), and the delay seen by the client (ms)"]
    for measure in MEASURES:
        if measure.name in samples:
            lines += _costs(measure, samples[measure.name])
    start = report["start"]
    if start:
        lines += ["", *_start(start)]
    if report["memory"]:
        lines += ["", "Peak resident size of the interceptor while it carries one body (MB)"]
        lines += [f"  {name:<28}{size / 1e6:>9.1f}" for name, size in report["memory"].items()]
    lines += ["", f"{'goal':<46}{'wanted':>12}{'found':>12}"]
    for goal in found:
        verdict = "met" if goal.met else "MISSED"
        lines.append(f"{goal.name:<46}{goal.wanted:>12}{goal.found:>12}  {verdict}")
    return "\n".join(lines)


def _row(measure: Measure, taken: Mapping[str, Sequence[Sample]]) -> str:
    title = f"{measure.name} ({measure.unit})"
    cells = [f"{median(taken[name]).rate:,.0f}" if name in taken else "-" for name in SUBJECTS]
    against = ratios(taken)
    ours_direct = against.get("egressguard/direct")
    ours_other = against.get("egressguard/mitmproxy")
    return (
        f"{title}\n{'':<30}{cells[0]:>9}{cells[1]:>13}{cells[2]:>11}  "
        f"{f'{ours_direct:.2f}' if ours_direct else '-':>11}  "
        f"{f'{ours_other:.1f}x' if ours_other else '-':>14}"
    )


def _costs(measure: Measure, taken: Mapping[str, Sequence[Sample]]) -> list[str]:
    lines = []
    for name in SUBJECTS:
        if name not in taken:
            continue
        middle = median(taken[name])
        cpu = f"{middle.cpu * 1e6:,.0f}" if middle.cpu else "-"
        delay = (
            f"median {middle.median * 1e3:.2f}, 99 % {middle.slow * 1e3:.2f}"
            if middle.median
            else ""
        )
        title = measure.name if name == "direct" else ""
        lines.append(f"  {title:<32}{name:<13}{cpu:>9}  {delay}".rstrip())
    return lines


def _start(start: Mapping[str, Any]) -> list[str]:
    walls = start["wall"]
    peaks = [run["pss"] for run in start["memory"]]
    largest = max(run["rss"] for run in start["memory"])
    inside, whole = start["captive"]["inside"], start["captive"]["whole"]
    fullest = max(start["memory"], key=lambda run: run["pss"])
    shown = ", ".join(
        f"{name.partition(' ')[2]} {size / 1e6:.1f}"
        for name, size in sorted(fullest["processes"].items(), key=lambda item: -item[1])
    )
    return [
        f"egressguard jail -- true, warm, {len(walls)} runs through scripts/egressguard",
        (
            f"  wall (ms)                     median {statistics.median(walls):.0f}, "
            f"least {min(walls):.0f}, most {max(walls):.0f}"
        ),
        (
            f"  memory, sum of PSS (MB)       median {statistics.median(peaks) / 1e6:.1f}, "
            f"most {max(peaks) / 1e6:.1f}: {shown}"
        ),
        f"  largest process, RSS (MB)     {largest / 1e6:.1f}",
        (
            f"  namespace and listeners (ms)  median {statistics.median(inside):.1f}, "
            f"most {max(inside):.1f}; with fork and hand-over {statistics.median(whole):.1f}"
        ),
    ]


def as_json(report: Mapping[str, Any], samples: Samples, found: Sequence[Goal]) -> dict[str, Any]:
    """All samples, medians, ratios and goals."""
    return {
        **report,
        "samples": {
            measure: {name: [asdict(sample) for sample in row] for name, row in taken.items()}
            for measure, taken in samples.items()
        },
        "medians": {
            measure: {name: asdict(median(row)) for name, row in taken.items()}
            for measure, taken in samples.items()
        },
        "ratios": {measure: ratios(taken) for measure, taken in samples.items()},
        "goals": [asdict(goal) for goal in found],
    }
