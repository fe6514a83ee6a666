"""`egressguard scan`: the same judge without the network, over lines, files and diffs."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from interceptor.cli.main import EXIT_USAGE
from interceptor.cli.scan_setup import Fault, Options, prepare

if TYPE_CHECKING:
    from interceptor.cli.scan_content import ContentScanner, Found
    from interceptor.cli.scan_files import Report

EPILOG = """\b
Examples:
  egressguard scan src/ .env
  egressguard scan --inbound README.md page.html
  egressguard scan --diff
  git diff main | egressguard scan --diff --sarif > findings.sarif
  echo '{"id": 1, "surface": "url", "text": "https://example.com/"}' | egressguard scan --jsonl
  egressguard scan --jsonl --explain items.jsonl

\b
Exit codes: 0 nothing found; 1 findings; 2 wrong usage, or a file that could not be read.
With --jsonl: 0 every line was judged; 2 some line was no item.
docs/scan.md has the format of the lines and the pre-commit hook.
"""


@click.command("scan", epilog=EPILOG)
@click.option("--jsonl", is_flag=True, help="Judge items, one JSON object a line, as they come.")
@click.option(
    "--diff",
    is_flag=True,
    help="Scan what a diff adds: from standard input, or from `git diff --cached` on a terminal.",
)
@click.option(
    "--inbound",
    is_flag=True,
    help="Say what would become of FILEs as content that comes back to an agent.",
)
@click.option("--sarif", is_flag=True, help="Print SARIF 2.1.0.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--explain", is_flag=True, help="Say why: view, encodings, rule, home, text around.")
@click.option("--policy", metavar="FILE", help="Policy file (egressguard.yaml).")
@click.option(
    "--preset",
    type=click.Choice(["strict", "balanced", "audit"]),
    help="Start from this preset; `balanced` unless the policy names one.",
)
@click.option("--rules", multiple=True, metavar="FILE", help="Rule file of your own, in addition.")
@click.option("--known", is_flag=True, help="Look for the secrets of your environment, too.")
@click.option(
    "--host",
    default="",
    metavar="HOST",
    help="Where items that name no host would go; nothing is at home unless it is given. "
    "With --inbound: where FILEs come from.",
)
@click.argument("files", nargs=-1, metavar="[FILE]...")
def command(
    jsonl: bool,  # noqa: FBT001 - click passes flags by name
    diff: bool,  # noqa: FBT001
    inbound: bool,  # noqa: FBT001
    sarif: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    explain: bool,  # noqa: FBT001
    policy: str | None,
    preset: str | None,
    rules: tuple[str, ...],
    known: bool,  # noqa: FBT001
    host: str,
    files: tuple[str, ...],
) -> int:
    """Find credentials, in any encoding, in FILEs and directories, or judge items line by line.

    What counts is what counts in a jail: the same rules, decoders and policy. Nothing is sent, and
    nothing is looked up.
    """
    options = Options(policy, preset, rules, known)
    if jsonl:
        if diff or inbound or sarif or as_json or len(files) > 1:
            raise click.UsageError("--jsonl goes with one FILE at most, and no other output")
        return _jsonl(options, files, host, explain=explain)
    if inbound:
        if diff or sarif or explain or not files:
            raise click.UsageError("--inbound goes with FILEs, and with --json as only output")
        return _inbound(options, files, host, as_json=as_json)
    if sarif and as_json:
        raise click.UsageError("--sarif or --json, not both")
    if diff and files:
        raise click.UsageError("--diff takes no FILE: pipe the diff in")
    if not diff and not files:
        raise click.UsageError("name files or directories, or write --diff or --jsonl")
    return _content(options, files, host, _output(sarif=sarif, as_json=as_json), explain=explain)


def _jsonl(options: Options, files: tuple[str, ...], host: str, *, explain: bool) -> int:
    from interceptor.cli import scan_jsonl

    prepared = prepare(options, witness=explain)
    explainer = None
    if explain:
        from interceptor.cli.scan_explain import Explainer, witnessing

        explainer = Explainer(witnessing(prepared.scanner), prepared.policy)
    stream = scan_jsonl.Stream(prepared.items, explainer, host)
    out = sys.stdout.buffer

    def write(data: bytes) -> None:
        out.write(data)
        out.flush()

    if not files or files[0] == "-":
        return scan_jsonl.run(0, stream, write)
    try:
        descriptor = os.open(files[0], os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise Fault(f"{files[0]}: cannot be read: {cause}; name a file of JSON lines") from None
    try:
        return scan_jsonl.run(descriptor, stream, write)
    except IsADirectoryError:
        raise Fault(f"{files[0]}: is a directory; name a file of JSON lines") from None
    finally:
        os.close(descriptor)


def _inbound(options: Options, files: tuple[str, ...], host: str, *, as_json: bool) -> int:
    """Judge files as what comes back; print, and return the exit code."""
    from interceptor.cli import scan_inbound

    prepared = prepare(options)
    report = scan_inbound.judge_files(files, prepared.items.judge, host)
    if as_json:
        sys.stdout.buffer.write(scan_inbound.as_json(report) + b"\n")
    else:
        sys.stdout.write(scan_inbound.as_text(report))
        sys.stdout.flush()
        with contextlib.suppress(OSError):
            sys.stderr.write(scan_inbound.summary(report))
    if report.refused:
        return 1
    return EXIT_USAGE if report.faults else 0


def _output(*, sarif: bool, as_json: bool) -> str:
    return "sarif" if sarif else "json" if as_json else "text"


def _content(
    options: Options, files: tuple[str, ...], host: str, output: str, *, explain: bool
) -> int:
    """Scan files, or a diff if there are none; print, and return the exit code."""
    from interceptor.cli import scan_report
    from interceptor.cli.scan_content import ContentScanner

    began = time.monotonic()
    diff = _diff() if not files else None
    prepared = prepare(options, record=True, witness=True)
    scanner = ContentScanner(prepared, host, explain=explain)
    progress = scan_report.Progress(sys.stderr)

    def found(finding: Found) -> None:
        if output == "text":
            progress.clear()
            scan_report.print_found(finding)

    report = _scan(files, diff, scanner, found, progress)
    progress.clear()
    if output == "text":
        sys.stdout.flush()
        with contextlib.suppress(OSError):
            sys.stderr.write(scan_report.summary(report, time.monotonic() - began))
    elif output == "json":
        sys.stdout.buffer.write(scan_report.as_json(report) + b"\n")
    else:
        from interceptor.cli.scan_sarif import as_sarif

        sys.stdout.buffer.write(as_sarif(report, prepared.scanner.rules) + b"\n")
    if report.blocking:
        return 1
    return EXIT_USAGE if report.faults else 0


def _diff() -> bytes:
    from interceptor.cli.scan_diff import staged

    return staged() if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()


def _scan(
    files: tuple[str, ...],
    diff: bytes | None,
    scanner: ContentScanner,
    found: Callable[[Found], None],
    progress: Callable[[Report, str], None],
) -> Report:
    from interceptor.cli.scan_files import scan_files

    if diff is None:
        return scan_files(files, scanner, found, progress)
    from interceptor.cli.scan_diff import scan_diff

    return scan_diff(diff, scanner, found, progress)
