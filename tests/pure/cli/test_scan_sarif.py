"""SARIF 2.1.0: what its schema asks for, and what code hosts read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import interceptor
from interceptor.cli import main
from interceptor.cli.scan_content import Found
from interceptor.cli.scan_files import Report
from interceptor.cli.scan_sarif import as_sarif
from interceptor.cli.scan_setup import Prepared
from interceptor.verdict import Severity
from tests.scan_samples import ACME, BOLT, OTHER, sample_rules

# Required properties and types of the schema (OASIS, sarif-schema-2.1.0.json), of what is used.
LEVELS = {"none", "note", "warning", "error"}


def check(log: Any) -> None:
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert isinstance(driver["name"], str)
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids))
    for rule in driver["rules"]:
        for key in ("shortDescription", "fullDescription", "help"):
            assert rule[key]["text"].strip()
        assert rule["defaultConfiguration"]["level"] in LEVELS
        assert 0.0 < float(rule["properties"]["security-severity"]) <= 10.0
        assert rule.get("helpUri", "https://").startswith("https://")
    for invocation in run["invocations"]:
        assert isinstance(invocation["executionSuccessful"], bool)
        for note in invocation["toolExecutionNotifications"]:
            assert note["message"]["text"]
            assert note["level"] in LEVELS
    for result in run["results"]:
        assert result["message"]["text"]
        assert result["level"] in LEVELS
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert all(isinstance(text, str) for text in result["partialFingerprints"].values())
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        uri = physical["artifactLocation"]["uri"]
        assert uri.isascii()
        assert not set(uri) & set(' "<>\\^`{|}\x00\n')
        assert physical["region"]["startLine"] >= 1
        assert physical["region"]["startColumn"] >= 1


def found(file: str = "a", rule: str = "acme-token", **more: Any) -> Found:
    values = {"title": "T", "severity": "high", "encoding": "", "where": "body", **more}
    return Found(file=file, line=1, column=2, rule=rule, digest="d", **values)


@pytest.mark.parametrize(
    ("file", "uri", "base"),
    [
        ("src/a.py", "src/a.py", "%SRCROOT%"),
        ("a b/ä.py", "a%20b/%C3%A4.py", "%SRCROOT%"),
        ("/etc/x", "file:///etc/x", None),
        ("a\udcff", "a%FF", "%SRCROOT%"),
        ('q"#?.py', "q%22%23%3F.py", "%SRCROOT%"),
    ],
)
def test_locations_are_uris(file: str, uri: str, base: str | None) -> None:
    log = json.loads(as_sarif(Report([found(file)]), sample_rules().rules))
    check(log)
    location = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"].get("uriBaseId") == base
    assert location["artifactLocation"]["uri"] == uri


@pytest.mark.parametrize("severity", list(Severity))
def test_levels(severity: Severity) -> None:
    log = json.loads(as_sarif(Report([found(severity=severity.value)]), sample_rules().rules))
    check(log)
    log = json.loads(as_sarif(Report([found(warned=True)]), sample_rules().rules))
    assert log["runs"][0]["results"][0]["level"] == "note"


def test_nothing_found_and_what_was_not_read() -> None:
    report = Report([], unread=[("a.7z", "a 7z archive")])
    log = json.loads(as_sarif(report, sample_rules().rules))
    check(log)
    (run,) = log["runs"]
    assert run["results"] == []
    assert run["tool"]["driver"]["rules"] == []
    assert run["invocations"][0]["executionSuccessful"] is True
    report.faults.append(("b", "Permission denied"))
    log = json.loads(as_sarif(report, sample_rules().rules))
    assert log["runs"][0]["invocations"][0]["executionSuccessful"] is False


def test_the_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sampled: Callable[..., Prepared],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(ACME + b"\n" + BOLT + b"\n" + OTHER.hex().encode())
    assert main.run(["scan", "--sarif", "--explain", "a"]) == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    assert ACME.decode() not in captured.out
    log = json.loads(captured.out)
    check(log)
    (run,) = log["runs"]
    assert run["tool"]["driver"]["version"] == interceptor.__version__
    results = run["results"]
    assert [result["ruleId"] for result in results] == ["acme-token", "bolt-key", "acme-token"]
    prints = [result["partialFingerprints"]["secretDigest/v1"] for result in results]
    assert len(set(prints)) == 3
    assert results[2]["properties"]["encoding"] == "hex"
    assert "text" not in results[0]["properties"]
    assert results[0]["properties"]["explain"]["around"] == "acme…(37 bytes)"
