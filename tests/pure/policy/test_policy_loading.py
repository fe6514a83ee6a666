"""Policy files: presets, merging, and errors that name file, line, cause and fix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interceptor.policy.loading import PolicyError, load
from interceptor.policy.schema import Policy, PresetName, digest

EXAMPLE = """\
version: 1
preset: strict
hosts:
  allow: [example.org, "*.example.org:8443"]
  deny: ["bad.example.org"]
requests:
  - {host: example.org, methods: [GET], paths: [/api], action: allow}
  - {host: example.org, action: deny}
addresses: {allow: [10.1.0.0/16]}
rules:
  suppress: [{rule: gcp-api-key, host: example.org}]
  warn: [{rule: github-token}]
limits: {body_hold: 4096, idle_seconds: 2.5}
upstream: {min_tls: 1.3}
"""


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "egressguard.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_defaults_are_the_balanced_preset(tmp_path: Path) -> None:
    file = written(tmp_path, "version: 1\npreset: balanced\n")
    assert load(None, None) == Policy() == load(file, None) == load(None, "balanced")


@pytest.mark.parametrize("preset", list(PresetName))
def test_each_preset_loads(preset: PresetName) -> None:
    policy = load(None, preset)
    assert policy.preset is preset
    assert (policy.hosts.others == "deny") == (preset is PresetName.STRICT)
    assert (policy.findings == "record") == (preset is PresetName.AUDIT)


def test_file_over_preset(tmp_path: Path) -> None:
    policy = load(written(tmp_path, EXAMPLE), None)
    assert policy.hosts.others == "deny"  # from the preset, beside the file's own keys
    assert policy.hosts.allow == ("example.org", "*.example.org:8443")
    assert policy.limits.body_hold == 4096
    assert policy.limits.header_count == Policy().limits.header_count
    assert policy.upstream.min_tls == "1.3"
    assert policy.requests[0].paths == ("/api",)


def test_argument_overrides_the_files_preset(tmp_path: Path) -> None:
    policy = load(written(tmp_path, EXAMPLE), "audit")
    assert policy.preset is PresetName.AUDIT
    assert policy.findings == "record"
    assert policy.hosts.others == "allow"


def test_digest_tells_policies_apart(tmp_path: Path) -> None:
    assert digest(load(None, "strict")) == digest(load(None, "strict")) != digest(Policy())


def test_shown_policy_loads_again(tmp_path: Path) -> None:
    policy = load(written(tmp_path, EXAMPLE), None)
    shown = yaml.safe_dump(msgspec.to_builtins(policy), sort_keys=False)
    assert load(written(tmp_path, shown), None) == policy


def test_ca_file_is_found_beside_the_policy(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    policy = load(written(tmp_path, "version: 1\nupstream: {ca_file: ca.pem}\n"), None)
    assert policy.upstream.ca_file == str(tmp_path / "ca.pem")


TCP = "version: 1\ntcp: [{host: a.example, port: "
BAD = [
    ("", 1, 1, "empty"),
    ("# only a comment\n", 1, 1, "empty"),
    ("- 1\n", 1, 1, "expected a mapping"),
    ("preset: strict\n", 1, 1, "version: 1"),
    ("version: 2\n", 1, 1, "expected 1, found '2'"),
    ("version: 1\nhostz: {}\n", 2, 1, "did you mean `hosts`?"),
    ("version: 1\nhosts:\n  alow: []\n", 3, 3, "did you mean `allow`?"),
    ("version: 1\nversion: 1\n", 2, 1, "stands here twice"),
    ("version: 1\npreset: stric\n", 2, 1, "did you mean `strict`?"),
    ("version: 1\nhosts: {others: maybe}\n", 2, 9, "expected allow or deny"),
    ("version: 1\nhosts: {allow: x}\n", 2, 9, "expected a list"),
    ("version: 1\nhosts: {allow: [[x]]}\n", 2, 17, "expected text, found a list"),
    ("version: 1\nhosts:\n  allow: [*.example.org]\n", 3, 12, "quote a value that begins with"),
    ("version: 1\nhosts: {allow: ['a b']}\n", 2, 17, "'a b' is no host pattern"),
    ("version: 1\nhosts: {deny: [ok.example, 'a:99999']}\n", 2, 28, "1 to 65535"),
    ("version: 1\nports: [0x50]\n", 2, 9, "plain decimal"),
    ("version: 1\nports: [70000]\n", 2, 9, "65535"),
    ("version: 1\nports: [yes]\n", 2, 9, "expected a whole number, found 'yes'"),
    ("version: 1\nlimits: {idle_seconds: .inf}\n", 2, 10, "expected a number"),
    ("version: 1\nlimits: {idle_seconds: -1}\n", 2, 10, "> 0"),
    ("version: 1\naddresses: {allow: [10.0.0.1/8]}\n", 2, 21, "write 10.0.0.0/8"),
    ("version: 1\naddresses: {allow: [ten]}\n", 2, 21, "expected an address or a CIDR"),
    ("version: 1\nrequests: [{host: a.example}]\n", 2, 12, "`action` is missing"),
    ("version: 1\nrequests: [{host: a.example, action: deny, methods: [get]}]\n", 2, 54, "A-Z"),
    (f"{TCP}22, protocol: ssh, x: 1}}]\n", 2, 50, "there is no such key"),
    (f"{TCP}22, protocol: telnet}}]\n", 2, 35, "expected one of any, ftp"),
    (f"{TCP}22}}]\n", 2, 7, "`protocol` is missing"),
    (f"{TCP}0, protocol: ssh}}]\n", 2, 25, ">= 1"),
    ("version: 1\ntcp: [{host: 'a b', port: 22, protocol: ssh}]\n", 2, 8, "is no host pattern"),
    ("version: 1\ntcp: [{host: 'a:22', port: 22, protocol: ssh}]\n", 2, 8, "names a port; write"),
    ("version: 1\nupstream: {ca_file: nowhere.pem}\n", 2, 12, "there is no file 'nowhere.pem'"),
    ("version: 1\nupstream: {min_tls: 1.1}\n", 2, 12, "expected 1.2 or 1.3"),
    ("version: 1\na: &x 1\nb: *x\n", 2, 4, "anchors and aliases"),
    ("version: !!python/object:os.system 1\n", 1, 10, "tags are not accepted"),
    ("[" * 5000, 1, 13, "nested too deeply"),
    ("version: 1\n---\nversion: 1\n", 2, 1, "not valid YAML"),
    ("version: 1\n\ttab: 1\n", 2, 1, "not valid YAML"),
    ("version: 1\nx: \x01\n", 2, 4, "U+0001"),
    (b"version: 1\n# \xff\n", 2, 3, "not UTF-8"),
    (b"#" * 300_000, 0, 0, "larger than"),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), BAD)
def test_errors_name_place_cause_and_fix(
    tmp_path: Path, text: str | bytes, line: int, column: int, words: str
) -> None:
    file = written(tmp_path, text)
    with pytest.raises(PolicyError) as caught:
        load(file, None)
    error = caught.value
    assert error.file == str(file)
    assert (error.line, error.column) == (line, column), str(error)
    assert words in str(error)
    assert str(error).startswith(f"{file}:")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no such file"):
        load(tmp_path / "missing.yaml", None)
    with pytest.raises(PolicyError, match="cannot be read"):
        load(tmp_path, None)
    with pytest.raises(PolicyError, match="cannot be read"):
        load(tmp_path / "nul\0", None)
    with pytest.raises(PolicyError, match="the presets are strict"):
        load(None, "lax")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_load_or_are_a_policy_error(tmp_path: Path, text: bytes) -> None:
    try:
        load(written(tmp_path, b"version: 1\n" + text), None)
        load(written(tmp_path, text), None)
    except PolicyError:
        pass  # the one exception there may be


_WORDS = st.sampled_from([*EXAMPLE.split(), "[", "]", "{", "}", ":", "-", "*", "&", "null", "~"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(words=st.lists(st.tuples(_WORDS, st.sampled_from([" ", "\n", "\n  ", ", "])), max_size=30))
def test_shuffled_words_load_or_are_a_policy_error(
    tmp_path: Path, words: list[tuple[str, str]]
) -> None:
    text = "version: 1\n" + "".join(word + gap for word, gap in words)
    try:
        policy = load(written(tmp_path, text), None)
    except PolicyError:
        return
    assert policy.version == 1


def test_yaml_is_imported_only_for_a_file() -> None:
    code = (
        "import sys; from interceptor.policy.loading import load; load(None, None);"
        "assert 'yaml' not in sys.modules; load(None, 'strict'); assert 'yaml' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
