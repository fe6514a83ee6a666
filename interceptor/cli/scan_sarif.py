"""Findings as SARIF 2.1.0 (OASIS Standard, 27 March 2020), for code hosts and editors."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

import interceptor
from interceptor.verdict import Severity

if TYPE_CHECKING:
    from interceptor.cli.scan_content import Found
    from interceptor.cli.scan_files import Report
    from interceptor.scan.ruleset import Rule

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}
# What code hosts sort by: the middle of each range of CVSS 3 severities.
_SCORES: Final = {
    Severity.LOW: "2.0",
    Severity.MEDIUM: "5.5",
    Severity.HIGH: "8.0",
    Severity.CRITICAL: "9.5",
}
_HELP: Final = (
    "Take the value out, and revoke it where it was issued: whoever has read it can use it. What "
    "is no secret can be let through under `rules.suppress` in egressguard.yaml."
)


def as_sarif(report: Report, rules: Iterable[Rule]) -> bytes:
    """Return the report as one SARIF log.

    Args:
        report: what was found.
        rules: all rules that were looked for; those that were found are described in the log.
    """
    named = {found.rule for found in report.findings}
    described = [rule for rule in rules if rule.id in named]
    index = {rule.id: number for number, rule in enumerate(described)}
    notes = [_note(file, why, "warning") for file, why in report.unread]
    notes += [_note(file, why, "error") for file, why in report.faults]
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "egressguard",
                "version": interceptor.__version__,
                "semanticVersion": interceptor.__version__,
                "rules": [_rule(rule) for rule in described],
            }
        },
        "invocations": [
            {"executionSuccessful": not report.faults, "toolExecutionNotifications": notes}
        ],
        "results": [_result(found, index[found.rule]) for found in report.findings],
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.encode(log)


def _rule(rule: Rule) -> dict[str, Any]:
    links = "".join(f"\n- <{reference}>" for reference in rule.references)
    text = f"{rule.title}. {_HELP}"
    described: dict[str, Any] = {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.id.replace(":", "-").split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": f"{rule.title} found in content."},
        "help": {"text": text, "markdown": f"**{rule.title}**\n\n{_HELP}\n{links}".strip()},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {
            "tags": ["security", "secret"],
            "precision": "high" if rule.kind != "contextual" else "medium",
            "security-severity": _SCORES[rule.severity],
        },
    }
    if rule.references and rule.references[0].startswith("https://"):
        described["helpUri"] = rule.references[0]
    return described


def _result(found: Found, index: int) -> dict[str, Any]:
    how = f", under {found.encoding}" if found.encoding else ""
    result: dict[str, Any] = {
        "ruleId": found.rule,
        "ruleIndex": index,
        "level": "note" if found.warned else _LEVELS[Severity(found.severity)],
        "message": {"text": f"{found.title}{how} (digest {found.digest})"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": _artifact(found.file),
                    "region": {"startLine": found.line, "startColumn": found.column},
                }
            }
        ],
        "partialFingerprints": {"secretDigest/v1": found.digest},
        "properties": {"encoding": found.encoding or "plain", "where": found.where},
    }
    if found.explain is not None:
        result["properties"]["explain"] = msgspec.to_builtins(found.explain)
    return result


def _note(file: str, why: str, level: str) -> dict[str, Any]:
    return {
        "level": level,
        "message": {"text": f"not read to its end: {why}"},
        "locations": [{"physicalLocation": {"artifactLocation": _artifact(file)}}],
    }


def _artifact(file: str) -> dict[str, str]:
    """Location of a file: relative to the root of the sources, or absolute (RFC 8089)."""
    if os.path.isabs(file):  # noqa: PTH117 - a name, which need not be a path of this machine
        return {"uri": f"file://{quote(os.fsencode(file))}"}
    return {"uri": quote(os.fsencode(Path(file).as_posix())), "uriBaseId": "%SRCROOT%"}
