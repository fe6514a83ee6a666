"""The table at the end of a run: right counts, bounded memory, readable anywhere, quiet if idle."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from interceptor.evidence.schema import Completion, Decision, Event, Stopped
from interceptor.evidence.summary import HOSTS, OTHERS, REFUSALS, Summary, _size


def decision(host: str = "a.example", *, blocked: bool = False, **more: Any) -> Decision:
    fields: dict[str, Any] = {
        "time": "2026-01-01T00:00:00.000000Z",
        "jail": "box",
        "flow": "f1",
        "exchange": 1,
        "kind": "http_request",
        "process": None,
        "host": host,
        "port": 443,
        "address": "198.18.0.1",
        "scheme": "https",
        "method": "GET",
        "path": "/x",
        "action": "block" if blocked else "allow",
        "reason": "secret" if blocked else "allowed",
        "rule": "some-key" if blocked else "",
        "detail": "",
        "findings": (),
        "policy": "p1",
    }
    return Decision(**(fields | more))


def completion(host: str = "a.example", *, sent: int = 0, received: int = 0) -> Completion:
    return Completion(
        time="2026-01-01T00:00:00.000000Z",
        jail="box",
        flow="f1",
        exchange=1,
        host=host,
        port=443,
        status=200,
        sent=sent,
        received=received,
        address="203.0.113.1",
        seconds=0.25,
        reason="",
    )


def stopped() -> Stopped:
    return Stopped(
        time="2026-01-01T00:00:09.000000Z",
        jail="box",
        code=0,
        seconds=9.0,
        decisions=3,
        refused=1,
        lost=2,
    )


def rendered(summary: Summary, width: int = 80, hints: dict[str, str] | None = None) -> str:
    out = io.StringIO()
    summary.show(Console(file=out, width=width), hints, "/var/log/egressguard/box.jsonl")
    return out.getvalue()


def of(*events: Event) -> Summary:
    summary = Summary()
    for event in events:
        summary.add(event)
    return summary


def test_counts() -> None:
    summary = of(
        decision(),
        completion(sent=10, received=2000),
        decision(blocked=True),
        decision("b.example", blocked=True),
        stopped(),
    )
    assert (summary.decisions, summary.refused, summary.lost) == (3, 2, 2)
    assert (summary.sent, summary.received, summary.seconds) == (10, 2000, 9.0)
    assert summary.hosts["a.example"].asked == 2
    assert summary.hosts["a.example"].refused == 1
    assert summary.reasons == {"allowed": 1, "secret": 2}
    assert sorted(times for _, times in summary.refusals.values()) == [1, 1]


def test_the_table_says_what_was_asked_refused_and_why() -> None:
    summary = of(
        decision("good.example"),
        completion("good.example", sent=10, received=2000),
        decision("bad.example", blocked=True, path="/drop"),
        stopped(),
    )
    text = rendered(summary, hints={"secret": "Leave the key out of the request."})
    for words in (
        "good.example",
        "2.0 kB",
        "bad.example GET /drop",
        "secret (some-key)",
        "Leave the key out of the request.",
        "2 decisions, 1 refused",
        "in 9.0 s",
        "/var/log/egressguard/box.jsonl",
        "2 not recorded",
    ):
        assert words in text, words


def test_nothing_happened_nothing_is_shown() -> None:
    assert rendered(Summary()) == ""
    idle = of(stopped())
    idle.lost = 0
    assert rendered(idle) == ""


@pytest.mark.parametrize("width", [20, 40, 72])
def test_narrow_terminals(width: int) -> None:
    summary = of(decision("a-rather-long-host-name.example", blocked=True, path="/" + "p" * 200))
    text = rendered(summary, width)
    assert max(map(len, text.splitlines()[:-1])) <= width  # the path is left whole, to be copied
    assert "secret" in text


def test_texts_are_not_markup() -> None:
    assert "[red]x[/red].example" in rendered(of(decision("[red]x[/red].example")))


def test_memory_is_bounded_and_no_count_is_lost() -> None:
    summary = Summary()
    for number in range(5000):
        summary.add(decision(f"h{number}.example", blocked=True))
        summary.add(completion(f"h{number}.example", received=1))
    assert len(summary.hosts) == HOSTS + 1
    assert len(summary.refusals) == REFUSALS + 1
    assert sum(row.asked for row in summary.hosts.values()) == 5000
    assert sum(times for _, times in summary.refusals.values()) == 5000
    assert summary.hosts[OTHERS].received == 5000 - HOSTS
    assert len(summary.to_bytes()) < 150_000
    assert len(rendered(summary).splitlines()) < 60


def test_many_paths_of_one_refusal_are_one_row() -> None:
    summary = of(*(decision(blocked=True, path=f"/{number}") for number in range(100)))
    ((refusal, times),) = summary.refusals.values()
    assert times == 100
    assert refusal.what == "GET /0"


def test_bytes_round_trip() -> None:
    summary = of(decision(), decision(blocked=True), completion(sent=5))
    assert Summary.from_bytes(summary.to_bytes()) == summary


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff\xff", b"\x81\xa5hosts\x01"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a summary"):
        Summary.from_bytes(data)


def test_lines_that_are_no_events_are_counted() -> None:
    summary = Summary.from_lines([b"\n", b'{"event":"decision","ti', b"junk"])
    assert summary.unreadable == 2
    assert "2 lines unreadable" in rendered(summary)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (10**18, "1000.0 PB"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    assert _size(number) == text
