"""Tuning of rules in a policy: what is accepted, and what an error says and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from interceptor.cli.policy import command
from interceptor.policy import loading
from interceptor.policy.loading import PolicyError, load, rule_files
from interceptor.policy.schema import RuleAt, SecretHome

TUNING = """\
version: 1
rules:
  digest_key: made up for this test
  files: [own.toml]
  suppress:
    - {rule: github-token, host: "*.example.org", path: /docs/keys}
    - {rule: "*", digest: 0123456789abcdef}
  warn:
    - {rule: slack-token, digest: "0123456789012345"}
secrets:
  homes:
    - {name: OWN_TOKEN, host: "api.example.org:8443", places: ["header:x-own_token", url, body]}
    - {name: OTHER, host: api.example.org}
"""
RULES = """\
version = 1
[[rule]]
id = "own-token"
title = "A token of our own"
pattern = 'own_[a-z0-9]{20}'
severity = "high"
"""


def written(tmp_path: Path, text: str, rules: str = RULES) -> Path:
    (tmp_path / "own.toml").write_text(rules)
    path = tmp_path / "egressguard.yaml"
    path.write_text(text)
    return path


def test_tuning_loads(tmp_path: Path) -> None:
    policy = load(written(tmp_path, TUNING), None)
    assert policy.rules.suppress == (
        RuleAt(rule="github-token", host="*.example.org", path="/docs/keys"),
        RuleAt(rule="*", digest="0123456789abcdef"),
    )
    assert policy.rules.warn == (RuleAt(rule="slack-token", digest="0123456789012345"),)
    assert policy.secrets.homes[0].places == ("header:x-own_token", "url", "body")
    assert policy.secrets.homes[1] == SecretHome(name="OTHER", host="api.example.org")


def test_rule_files_lie_beside_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, TUNING)
    monkeypatch.chdir(tmp_path.parent)
    policy = load(Path(tmp_path.name) / "egressguard.yaml", None)
    monkeypatch.chdir("/")  # whoever reads them later need not stand where the policy was read
    assert policy.rules.files == (str(tmp_path / "own.toml"),)
    assert rule_files(policy) == ((str(tmp_path / "own.toml"), RULES.encode()),)


def test_a_rule_file_that_goes_or_grows_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load(written(tmp_path, TUNING), None)
    monkeypatch.setattr(loading, "MAX_RULE_BYTES", 10)
    with pytest.raises(PolicyError, match=r"own\.toml: the file is larger than 10 bytes"):
        rule_files(policy)
    (tmp_path / "own.toml").unlink()
    with pytest.raises(PolicyError, match=r"no such file; check the path given to rules\.files"):
        rule_files(policy)


KEYED = "version: 1\nrules: {digest_key: k, "
BAD = [
    ('version: 1\nrules: {warn: [{rule: "*"}]}\n', 2, 17, "would switch every rule off; name a"),
    ('version: 1\nrules: {warn: [{rule: "*", host: a.example}]}\n', 2, 17, "`*` without a digest"),
    (f"{KEYED}suppress: [{{rule: x, digest: 123}}]}}\n", 2, 45, "'123' is no digest; copy the 16"),
    (f"{KEYED}suppress: [{{rule: x, digest: 0123456789ABCDEF}}]}}\n", 2, 45, "lower-case hex"),
    (
        "version: 1\nrules: {warn: [{rule: x, digest: 0123456789abcdef}]}\n",
        2,
        26,
        "rules.digest_key is empty; set rules.digest_key",
    ),
    ("version: 1\nrules: {warn: [{rule: x, path: docs}]}\n", 2, 26, "does not begin with `/`"),
    ("version: 1\nrules: {warn: [{rule: x, path: /a/../b}]}\n", 2, 26, "dot segments"),
    ("version: 1\nrules: {warn: [{rule: x, path: /a//b}]}\n", 2, 26, "empty or dot"),
    ("version: 1\nrules: {warn: [{rule: x, path: '/a?b'}]}\n", 2, 26, "more than a path"),
    ("version: 1\nrules: {warn: [{rule: x, path: /%61}]}\n", 2, 26, "holds an escape"),
    ("version: 1\nrules: {suppress: [{rule: x, host: 'a b'}]}\n", 2, 30, "is no host pattern"),
    (
        "version: 1\nrules: {files: [nowhere.toml]}\n",
        2,
        17,
        "there is no file 'nowhere.toml'; name",
    ),
    ("version: 1\nrules: {files: ['.']}\n", 2, 17, "there is no file '.'"),
    ("version: 1\nsecrets: {homes: [{name: X, host: 'a b'}]}\n", 2, 29, "is no host pattern"),
    (
        "version: 1\nsecrets: {homes: [{name: X, host: a, places: [cookie]}]}\n",
        2,
        47,
        "is no place",
    ),
    (
        "version: 1\nsecrets: {homes: [{name: X, host: a, places: ['header:X-Y']}]}\n",
        2,
        47,
        "write url, body or header:NAME, the name in lower case",
    ),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), BAD)
def test_errors_name_place_cause_and_fix(
    tmp_path: Path, text: str, line: int, column: int, words: str
) -> None:
    file = written(tmp_path, text)
    with pytest.raises(PolicyError) as caught:
        load(file, None)
    error = caught.value
    assert (error.file, error.line, error.column) == (str(file), line, column), str(error)
    assert words in str(error)


def test_check_reads_the_rule_files(tmp_path: Path) -> None:
    text = "version: 1\nrules: {files: [own.toml], warn: [{rule: own-token}]}\n"
    good = CliRunner().invoke(command, ["check", str(written(tmp_path, text))])
    assert good.exit_code == 0, good.output
    missing = text.replace("own-token", "own-tokem")
    result = CliRunner().invoke(command, ["check", str(written(tmp_path, missing))])
    assert result.exit_code == 2
    assert "did you mean `own-token`?" in result.output


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("own-token", "github-token", "rule github-token: a rule that ships has this id"),
        ("{20}", "{20,}", "repeats must be bounded"),
        ("severity = ", "severe = ", "unknown field `severe`"),
        ("version = 1", "version = ", "not TOML"),
        ("'own_[a-z0-9]{20}'", "'own_[a-z'", "bad pattern"),
    ],
)
def test_check_refuses_bad_rule_files(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = "version: 1\nrules: {files: [own.toml]}\n"
    file = written(tmp_path, text, RULES.replace(old, new))
    result = CliRunner().invoke(command, ["check", str(file)])
    assert result.exit_code == 2, result.output
    assert f"{tmp_path}/own.toml" in result.output
    assert words in result.output
    assert "Traceback" not in result.output
