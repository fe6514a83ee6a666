"""`egressguard policy`: exit codes and words, never a traceback."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from interceptor.cli.policy import command
from interceptor.policy.loading import load


def test_check(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("version: 1\npreset: strict\n")
    result = CliRunner().invoke(command, ["check", str(file)])
    assert result.exit_code == 0
    assert "good; preset strict" in result.output


def test_check_refuses(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("version: 1\nhost: {}\n")
    result = CliRunner().invoke(command, ["check", str(file)])
    assert result.exit_code == 2
    assert f"{file}:2:1: host: there is no such key; did you mean `hosts`?" in result.output


def test_check_knows_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("version: 1\nrules: {warn: [{rule: github-tokens}]}\n")
    result = CliRunner().invoke(command, ["check", str(file)])
    assert result.exit_code == 2
    assert "did you mean `github-token`?" in result.output


def test_show_is_a_policy_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["show", "--preset", "audit"])
    assert result.exit_code == 0
    file = tmp_path / "p.yaml"
    file.write_text(result.output)
    assert load(file, None) == load(None, "audit")
