"""`egressguard demo`: an agent that works, then tries to leak a planted key, and what comes of it.

Only the command is here. The lab is tests/lab; the sample agent, its attempts and the table are
tests/demo: the demo needs a checkout, and runs what the tests run.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

import interceptor
from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE

if TYPE_CHECKING:
    from tests.demo.show import Show, Summary
    from tests.demo.stage import Result, Stage


@click.command("demo")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as one JSON object.")
@click.option("--plain", is_flag=True, help="Lines instead of a table, as without a terminal.")
def command(*, as_json: bool, plain: bool) -> int:
    """Watch an agent try to leak a key.

    In a sealed lab of network namespaces, a sample agent does honest work and then tries to get a
    planted key out in every way it knows, first without egressguard, then in the jail. The table
    shows what it saw, which rule said so, and what the lab's internet received. Needs root and a
    checkout, and no network at all.

    Exit code 0 when every leak was stopped, all honest work was done and the same leaks arrived
    without egressguard; 1 when not; 125 when the demo itself failed.
    """
    if os.geteuid() != 0:
        _fail("the demo needs root (it makes network namespaces): put sudo before it", EXIT_USAGE)
    root = Path(interceptor.__file__).resolve().parents[1]
    if not (root / "tests/lab/__init__.py").is_file():
        _fail(
            f"the demo needs a checkout: there is no tests/lab below {root}. "
            "Clone the repository and run: sudo scripts/egressguard demo"
        )
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    from tests.demo.show import LiveShow, Show

    if as_json:
        show = Show(None, sys.stderr)
    elif plain or not sys.stdout.isatty():
        show = Show(sys.stdout, sys.stderr)
    else:
        show = LiveShow(sys.stdout)
    show.step("Starting the lab: a host and an internet, sealed off from everything")
    summary = _run(show)
    if as_json:
        click.echo(_as_json(summary))
    return 0 if summary.passed else 1


def _run(show: Show) -> Summary:
    from tests.demo.show import Summary
    from tests.demo.stage import Stage, StageError, missing
    from tests.lab import LabError

    if reason := missing():
        _fail(f"no demo here: {reason}")
    summary = Summary()
    try:
        with Stage() as stage:
            _play(stage, show, summary)
    except (LabError, StageError) as error:
        show.stop()
        _fail(f"the demo failed: {error}")
    finally:
        show.stop()
    summary.seconds = time.monotonic() - summary.began
    show.close(summary)
    return summary


def _play(stage: Stage, show: Show, summary: Summary) -> None:
    from tests.demo.stage import Result

    show.step(f"Without egressguard: the agent tries {len(stage.leaks)} leaks")
    controls: dict[str, Result] = {}
    for attempt, saw, reached in stage.controls():
        row = Result(id=attempt.id, title=attempt.title, without=saw, reached=reached)
        controls[attempt.id] = row
        show.control(row)
    before = stage.traces()
    show.step("In the jail: honest work first, then the same leaks")
    for row in stage.jailed():
        control = controls.get(row.id)
        if control is None:
            summary.work.append(row)
            show.worked(row)
            continue
        row.without, row.reached = control.without, control.reached
        summary.leaks.append(row)
        show.leaked(row)
    summary.seen = stage.leaked()
    summary.written = stage.written()
    summary.left = stage.left_behind(before)


def _as_json(summary: Summary) -> bytes:
    import msgspec

    def shown(row: Result) -> dict[str, object]:
        return {**msgspec.to_builtins(row), "stopped": row.stopped}

    work = [
        {"id": row.id, "title": row.title, "saw": row.saw, "done": row.done} for row in summary.work
    ]
    return msgspec.json.encode(
        {
            "passed": summary.passed,
            "rows": [shown(row) for row in summary.leaks],
            "work": work,
            "oracle_bytes": summary.seen,
            "evidence_bytes": summary.written,
            "left_behind": summary.left,
            "seconds": round(summary.seconds, 3),
        }
    )


def _fail(message: str, code: int = EXIT_SETUP) -> NoReturn:
    click.echo(f"egressguard: {message}", err=True)
    sys.exit(code)
