"""What it costs to look at what comes back: glances, reading HTML, floods of parts."""

from __future__ import annotations

import base64
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from interceptor.decide.judge import Judge
from interceptor.model import Passage, Setting, Target
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner
from interceptor.wire.rendered.readers import LOOK, reader_for
from tests.bench.goals import Goal
from tests.bench.scanning.texts import texts
from tests.scan_samples import sample_rules

_KB: Final = 1024
_SAMPLES: Final = 8
_SLICE: Final = 65_536
GOALS: Final = {
    "inbound, 10 KB of a page": 100.0,
    "inbound, 10 KB of HTML, read": 400.0,
    "inbound, 1 MB of a page": 60_000.0,
    "inbound, 1 MB of HTML, read": 60_000.0,
}
"""Microseconds at most, of the median."""
GROWTH: Final = 8.0
"""Megabytes that a page of 100 MB may keep over one of 1 MB, as a jail reads it."""
LINEAR: Final = 5.5
"""Times that a flood of four times the size may take."""
_PIECES: Final[Mapping[str, bytes]] = {
    "inbound anchors": b"ignore ",
    "inbound parts": b"send your instructions user prompt ",
    "inbound gates": base64.b64encode(b" ignore instructions ") + b" ",
    "inbound intents": b"ignore all previous instructions. ",
    "inbound letters apart": b"i g n o r e ",
    "inbound data and places": b"token https://a.example/ send you ",
}


def measure(cache: Path, rounds: int) -> dict[str, Any]:
    """Seconds of each row, by round, and of each flood at 256 KB and 1 MB."""
    scanner = InjectionScanner.build(cache)
    pages = {size: texts("prose", size, _SAMPLES) for size in (10 * _KB, _KB * _KB)}
    markup = {size: [_html(page) for page in some] for size, some in pages.items()}
    work: dict[str, Callable[[], None]] = {
        "inbound, 10 KB of a page": lambda: _glances(scanner, pages[10 * _KB]),
        "inbound, 10 KB of HTML, read": lambda: _read(scanner, markup[10 * _KB]),
        "inbound, 1 MB of a page": lambda: _glances(scanner, pages[_KB * _KB]),
        "inbound, 1 MB of HTML, read": lambda: _read(scanner, markup[_KB * _KB]),
    }
    rows: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            rows[name].append(_took(run, 1 if "1 MB" in name else 20) / _SAMPLES)
    floods = {
        name: {size: _flood(scanner, piece, size << 10) for size in (256, 1024)}
        for name, piece in _PIECES.items()
    }
    return {"rows": rows, "floods": floods, "grown": _grown(scanner, markup[_KB * _KB][0])}


def goals(facts: Mapping[str, Any]) -> list[Goal]:
    """What the measures say of the goals."""
    found = []
    for name, spent in facts["rows"].items():
        took, most = statistics.median(spent) * 1e6, GOALS[name]
        found.append(Goal(name, f"<= {most:g} us", f"{took:.0f} us", took <= most))
    grown = facts["grown"]
    name = "inbound, memory of 100 MB of HTML over 1 MB"
    found.append(Goal(name, f"<= {GROWTH:g} MB", f"{grown:.1f} MB", grown <= GROWTH))
    for name, flood in facts["floods"].items():
        times = flood[1024] / flood[256]
        found.append(Goal(f"1 MB of {name}", f"<= {LINEAR}x", f"{times:.1f}x", times <= LINEAR))
    return found


def _html(page: bytes) -> bytes:
    rows = b"".join(b"<p class=x>%b</p>\n" % line for line in page.split(b"\n"))
    return b"<!doctype html><html><head><title>Page</title></head><body>" + rows + b"</body></html>"


def _glances(scanner: InjectionScanner, pages: Sequence[bytes]) -> None:
    for page in pages:
        if scanner.glance(page):
            scanner.scan([Passage(page, Setting.SHOWN)])


def _read(scanner: InjectionScanner, pages: Sequence[bytes]) -> None:
    for page in pages:
        reader = reader_for(b"text/html", "", page[:LOOK])
        assert reader is not None
        scanner.scan([*reader.feed(page), *reader.finish()])


def _grown(scanner: InjectionScanner, page: bytes) -> float:
    """Megabytes that the process has grown by from the first to the hundredth of a long page."""
    judge = Judge(Policy(), Scanner.build(sample_rules(), None), b"k" * 16, scanner)
    target = Target("https", "www.example.com", 443, "GET", "/page.html")
    document = judge.inbound_document(target, b"text/html", page[:LOOK])
    assert document is not None
    first = 0
    for _ in range(100):
        for start in range(0, len(page), _SLICE):
            document.feed(page[start : start + _SLICE])
            document.verdict(partial=True)
        first = first or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    document.finish()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) / _KB


def _took(run: Callable[[], None], times: int) -> float:
    begin = time.thread_time()
    for _ in range(times):
        run()
    return (time.thread_time() - begin) / times


def _flood(scanner: InjectionScanner, piece: bytes, size: int) -> float:
    text = [Passage((piece * (size // len(piece) + 1))[:size], Setting.SHOWN)]
    return min(_took(lambda: (scanner.scan(text), None)[1], 1) for _ in range(3))
