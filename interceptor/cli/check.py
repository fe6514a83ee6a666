"""`egressguard check`: what would become of a request, without making it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.scan_setup import Fault, Options, prepare

if TYPE_CHECKING:
    from interceptor.model import Target
    from interceptor.verdict import Verdict

EPILOG = """\b
Examples:
  egressguard check https://example.com/path?q=1
  egressguard check --policy egressguard.yaml --method DELETE https://api.example.com/items/7
  egressguard check --header 'Authorization: Bearer abc' --data @body.json https://api.example.com/

\b
Exit codes: 0 it would be allowed; 1 it would be refused; 2 wrong usage or policy.
Nothing is resolved and nothing is connected to: an address that the name turns out to have, a
certificate or what comes back can still lead to a refusal.
"""


@click.command("check", epilog=EPILOG)
@click.option("--method", "-X", default="", metavar="METHOD", help="GET, or POST with --data.")
@click.option("--header", "-H", multiple=True, metavar="'NAME: VALUE'", help="A header field.")
@click.option("--data", "-d", metavar="DATA|@FILE", help="The body; @- is standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--policy", metavar="FILE", help="Policy file (egressguard.yaml).")
@click.option(
    "--preset",
    type=click.Choice(["strict", "balanced", "audit"]),
    help="Start from this preset; `balanced` unless the policy names one.",
)
@click.option("--rules", multiple=True, metavar="FILE", help="Rule file of your own, in addition.")
@click.option("--known", is_flag=True, help="Look for the secrets of your environment, too.")
@click.argument("url")
def command(
    method: str,
    header: tuple[str, ...],
    data: str | None,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
    policy: str | None,
    preset: str | None,
    rules: tuple[str, ...],
    known: bool,  # noqa: FBT001
    url: str,
) -> int:
    """Say whether a request of URL would be allowed, and why.

    The same judge decides as in a jail. Nothing is resolved and nothing is connected to.
    """
    from interceptor.decide.urls import read_url
    from interceptor.wire.fields import HttpError

    method = method or ("GET" if data is None else "POST")
    if not (method.isascii() and method.replace("-", "").replace("_", "").isalnum()):
        raise click.UsageError(f"--method {method!r} is no method: letters and hyphens")
    fields = [_field(text) for text in header]
    body = b"" if data is None else _body(data)
    prepared = prepare(Options(policy, preset, rules, known))
    items = prepared.items
    try:
        verdict = items.visit(
            read_url(url.encode("utf-8", "surrogateescape")), method, fields, body
        )
    except HttpError as error:
        verdict = items.judge.refuse(error.reason, error.detail)
    _show(verdict, items.target, as_json=as_json)
    return 0 if verdict.allowed else 1


def _field(text: str) -> tuple[bytes, bytes]:
    name, colon, value = text.partition(":")
    if not colon:
        raise click.UsageError("--header takes 'NAME: VALUE'; there is no colon")
    encoded = value.strip().encode("utf-8", "surrogateescape")
    return name.strip().encode("utf-8", "surrogateescape"), encoded


def _body(data: str) -> bytes:
    if not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape")
    if data == "@-":
        return sys.stdin.buffer.read()
    try:
        with open(data[1:], "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise Fault(f"{data[1:]}: cannot be read: {cause}; --data @FILE takes a file") from None


def _show(verdict: Verdict, target: Target, *, as_json: bool) -> None:
    import msgspec

    from interceptor.decide.hints import HINTS
    from interceptor.evidence import masking

    findings = [
        {
            "rule": finding.rule,
            "title": finding.title,
            "severity": finding.severity.value,
            "encoding": finding.encoding,
            "where": masking.where(finding.where),
            "digest": finding.digest,
            "home": finding.home,
        }
        for finding in verdict.findings
    ]
    value: dict[str, Any] = {
        "action": verdict.action.name.lower(),
        "reason": verdict.reason.value,
        "rule": verdict.rule,
        "detail": masking.detail(verdict.detail, verdict),
        "hint": HINTS[verdict.reason],
        "host": masking.host(target.host, verdict),
        "port": target.port,
        "findings": findings,
    }
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
        return
    rows = [(name, str(value[name])) for name in ("action", "reason", "rule", "detail", "hint")]
    for finding in findings:
        home = ", at home" if finding["home"] else ""
        encoding = f", {finding['encoding']}" if finding["encoding"] else ""
        rows.append(("finding", f"{finding['title']} in {finding['where']}{encoding}{home}"))
    for name, text in rows:
        if text:
            click.echo(f"{name:<8} {text}")
    if verdict.allowed:
        click.echo("Nothing was resolved or connected to: the address will be judged when it is.")
