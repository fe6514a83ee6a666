"""The table and the JSON file."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.bench.goals import Goal, Samples, median, percentile, ratios
from tests.bench.load import MEASURES, Measure, Sample

SUBJECTS = ("direct", "egressguard", "mitmproxy")


def table(facts: Mapping[str, Any], samples: Samples, found: Sequence[Goal]) -> str:
    """Everything as text, no wider than 100 characters."""
    machine, settings = facts["machine"], facts["settings"]
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
            f"Load average {facts['load'][0]:.1f} before and {facts['load'][1]:.1f} after; "
            f"{settings['rounds']} rounds, taken in turn; proxy on core 1, client and upstream on 0"
        ),
    ]
    if samples:
        lines += [
            "",
            (
                f"{'':<30}{'direct':>9}{'egressguard':>13}{'mitmproxy':>11}  "
                f"{'ours/direct':>11}  {'ours/mitmproxy':>14}"
            ),
            *(_row(m, samples[m.name]) for m in MEASURES if m.name in samples),
            "",
            (
                "CPU time of the proxy for each (us), mitmproxy's also as a multiple of ours; "
                "delay at the client (ms)"
            ),
        ]
    for measure in MEASURES:
        if measure.name in samples:
            lines += _costs(measure, samples[measure.name])
    lines += _steady(facts)
    if facts["start"]:
        lines += ["", *_start(facts["start"])]
    lines += ["", f"{'goal':<54}{'wanted':>12}{'found':>12}"]
    for goal in found:
        verdict = "met" if goal.met else "MISSED"
        lines.append(f"{goal.name:<54}{goal.wanted:>12}{goal.found:>12}  {verdict}")
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
        work = ratios(taken).get("cpu mitmproxy/egressguard") if name == "mitmproxy" else None
        more = f"{work:.1f}x" if work else ""
        delay = (
            f"median {middle.median * 1e3:.2f}, 99 % {middle.slow * 1e3:.2f}"
            if middle.median
            else ""
        )
        title = measure.name if name == "direct" else ""
        lines.append(f"  {title:<32}{name:<13}{cpu:>9}{more:>7}  {delay}".rstrip())
    return lines


def _steady(facts: Mapping[str, Any]) -> list[str]:
    lines = []
    if delay := facts.get("delay"):
        rate = facts["settings"]["low_load"]
        lines += ["", f"Delay of a request at low load, {rate} a second on one connection (ms)"]
        for name, values in delay.items():
            middle, slow = percentile(values, 0.5) / 1000, percentile(values, 0.99) / 1000
            lines.append(f"  {name:<28}median {middle:.2f}, 99 % {slow:.2f}, of {len(values):,}")
    if events := facts.get("events"):
        lines += ["", "Server-sent events, how late they came (ms)"]
        for name, found in events.items():
            late = found["late"]
            lines.append(
                f"  {name:<28}median {late['median']:.2f}, 99 % {late['99']:.2f}, most "
                f"{late['most']:.1f}; {found['streams']} streams, {found['events']:,} events"
            )
    if memory := facts.get("memory"):
        lines += ["", "Peak resident size of the interceptor while it carries one body (MB)"]
        lines += [f"  {name:<28}{size / 1e6:>9.1f}" for name, size in memory.items()]
    if idle := facts.get("idle"):
        each = (idle["after"] - idle["before"]) / idle["connections"]
        lines += [
            "",
            (
                f"{idle['connections']} idle TLS connections: resident size "
                f"{idle['before'] / 1e6:.1f} -> {idle['after'] / 1e6:.1f} MB, "
                f"{each / 1000:.1f} KB each"
            ),
        ]
    if leaves := facts.get("leaves"):
        lines += [
            "",
            (
                f"Leaf signed in {leaves['leaf']:.0f} us, with a server context "
                f"{leaves['context']:.0f} us, remembered {leaves['again']:.1f} us"
            ),
        ]
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


def as_json(facts: Mapping[str, Any], samples: Samples, found: Sequence[Goal]) -> dict[str, Any]:
    """All samples, medians, ratios and goals."""
    return {
        **facts,
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
