"""`scan FILE`: which files are read, and where in them findings are."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interceptor.cli import main, scan_report
from interceptor.cli.scan_content import ContentScanner, Found, begin_of
from interceptor.cli.scan_files import Report
from interceptor.cli.scan_setup import Options, Prepared
from tests.scan_samples import ACME, BOLT, OTHER

Prepare = Callable[..., Prepared]


@pytest.fixture
def scanner(sampled: Prepare) -> ContentScanner:
    return ContentScanner(sampled(record=True, witness=True), "")


def places(found: list[Found]) -> list[tuple[int, int, str]]:
    return [(one.line, one.column, one.encoding) for one in found]


def scan(scanner: ContentScanner, data: bytes, name: str = "a.txt") -> list[Found]:
    found, unread = scanner.scan(name, [data])
    assert unread == ""
    return found


# -- places ------------------------------------------------------------------------------------


def test_every_occurrence_has_its_line_and_column(scanner: ContentScanner) -> None:
    data = b"one\nK=" + ACME + b"\r\n\n  " + ACME + b" " + BOLT + b"\n" + OTHER
    found = scan(scanner, data)
    width = 4 + len(ACME)
    assert places(found) == [(2, 3, ""), (4, 3, ""), (4, width, ""), (5, 1, "")]
    assert [one.rule for one in found] == ["acme-token", "acme-token", "bolt-key", "acme-token"]
    assert scan(scanner, b"nothing\n" * 100) == []
    assert scan(scanner, b"") == []


@pytest.mark.parametrize(
    "encode", [base64.b64encode, base64.encodebytes, lambda d: d.hex().encode()]
)
def test_what_is_encoded_is_placed_where_its_encoding_stands(
    scanner: ContentScanner, encode: Callable[[bytes], bytes]
) -> None:
    coded = encode(ACME)
    data = b"x\n" * 10 + b"value = '" + coded.rstrip() + b"'\n" + b"y\n" * 10
    (found,) = scan(scanner, data)
    assert found.line == 11
    assert 10 <= found.column <= 10 + 4
    assert found.encoding in ("base64", "hex")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    before=st.integers(0, 400_000),
    width=st.integers(1, 300),
    cut=st.integers(1, 200_000),
    coded=st.booleans(),
)
def test_places_are_right_anywhere_in_a_long_file(
    scanner: ContentScanner, before: int, width: int, cut: int, coded: bool
) -> None:
    lines = (b"." * (width - 1) + b"\n") * (before // width)
    secret = base64.b64encode(ACME) if coded else ACME
    data = lines + b"\n key: " + secret + b"\n" + lines
    found, _ = scanner.scan("a", [data[at : at + cut] for at in range(0, len(data), cut)])
    assert [one.line for one in found] == [before // width + 2]
    assert found[0].column == 7


def test_a_file_of_one_long_line(scanner: ContentScanner) -> None:
    data = b"a" * 700_000 + b";" + ACME + b";" + b"b" * 100_000
    assert places(scan(scanner, data)) == [(1, 700_002, "")]


@given(data=st.binary(max_size=200), at=st.integers(0, 200), size=st.integers(1, 20))
def test_the_begin_of_what_is_found(data: bytes, at: int, size: int) -> None:
    needle = b"\xfe\xff" * size
    text = data[:at].replace(b"\xfe", b"\n") + needle + data[at:].replace(b"\xfe", b"\n")
    begin = begin_of(text, lambda part: needle in part)
    assert begin is not None
    assert text[begin:].startswith(needle)
    assert begin_of(data.replace(b"\xfe", b""), lambda part: needle in part) is None


def test_texts_within_files_are_read_and_named(scanner: ContentScanner) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inner.txt", b"x " * 500 + ACME)
    (found,) = scan(scanner, archive.getvalue())
    assert "zip" in (found.where + found.encoding)  # a view of the body, or a decoder
    assert (found.line, found.column) == (1, 1)
    (found,) = scan(scanner, gzip.compress(ACME))
    assert "gzip" in (found.where + found.encoding)
    assert (found.line, found.column) == (1, 1)
    (found,) = scan(scanner, ("a\nb " + ACME.decode() + "\n").encode("utf-16"))
    assert found.line == 2
    assert "utf-16" in found.where


def test_what_cannot_be_read_is_scanned_as_it_stands(scanner: ContentScanner) -> None:
    data = b"7z\xbc\xaf\x27\x1c" + b"\0" * 100 + b"\n" + ACME + b"\0" * 300_000 + OTHER
    found, unread = scanner.scan("a.7z", [data])
    assert "7z" in unread
    assert {one.digest for one in found} == {
        one.digest for one in scan(scanner, ACME + b" " + OTHER)
    }
    assert found[0].line == 2


def test_more_encoded_secrets_than_are_located_are_still_told(scanner: ContentScanner) -> None:
    secrets = [b"acme_" + str(number).encode().zfill(32) for number in range(60)]
    data = b"\n".join(base64.b64encode(secret + b"!") for secret in secrets)
    found = scan(scanner, data)
    assert len({one.digest for one in found}) == len(secrets) or len(found) >= 16


# -- files -------------------------------------------------------------------------------------


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main.run(["scan", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampled: Prepare) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("src/a.py", "src/deep/b.bin", "node_modules/c.js", ".git/d", "clean.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\1x\nkey " + ACME + b"\n" if name != "clean.txt" else b"clean\n")
    (tmp_path / "src/link").symlink_to("a.py")
    (tmp_path / "src/loop").symlink_to(".")
    os.mkfifo(tmp_path / "src/pipe")
    return tmp_path


def test_directories_are_walked_in_order(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(["."], capsys)
    lines = out.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["src/a.py:2:5", "src/deep/b.bin:2:5"]
    assert code == 1
    assert "2 findings; 3 files" in err
    assert "passed over 2 directories" in err
    code, out, err = run(["clean.txt"], capsys)
    assert (code, out) == (0, "")
    assert "nothing found; 1 file," in err


def test_the_line_of_a_finding(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(["src/a.py"], capsys)
    place, rule, severity, encoding, digest, *title = out.split()
    assert (place, rule, severity, encoding) == ("src/a.py:2:5", "acme-token", "critical", "plain")
    assert len(digest) == 16
    assert title == ["Acme", "token"]
    assert ACME.decode() not in out


def test_who_names_a_directory_or_a_link_gets_it_scanned(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("node_modules", ".git", "src/link"):
        code, out, _ = run([name], capsys)
        assert code == 1
        assert out.startswith(name)


def test_standard_input_is_a_dash(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = os.dup(0)
    with open("src/a.py", "rb") as file:
        os.dup2(file.fileno(), 0)
        try:
            code, out, _ = run(["-"], capsys)
        finally:
            os.dup2(saved, 0)
            os.close(saved)
    assert code == 1
    assert out.startswith("stdin:2:5 ")


def test_files_that_cannot_be_read_are_named(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(["nosuch", "clean.txt"], capsys)
    assert code == 2
    assert "nosuch: not read: No such file or directory" in err
    assert "1 file," in err
    code, _, _ = run(["nosuch", "src"], capsys)  # findings weigh more
    assert code == 1
    code, _, err = run(["a\0b"], capsys)
    assert code == 2
    (tree / "x.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + b"\0" * 100)
    code, _, err = run(["x.7z"], capsys)
    assert code == 0
    assert "x.7z: not read to its end, scanned as it stands" in err


def test_names_cannot_steer_the_terminal(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[2J\nb"
    (tree / name).write_bytes(ACME)
    _, out, _ = run([name], capsys)
    assert "\x1b" not in out
    assert out.count("\n") == 1


def test_json_and_policy(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "p.yaml").write_text(
        "version: 1\nrules:\n  suppress: [{rule: acme-token, path: /src/deep}]\n"
        "  warn: [{rule: bolt-key}]\n"
    )
    (tree / "w").write_bytes(BOLT)
    code, out, _ = run(["--json", "--policy", "p.yaml", "src", "w", "nosuch"], capsys)
    told: Any = json.loads(out)
    assert [one["file"] for one in told["findings"]] == ["src/a.py", "w"]
    assert [one.get("warned", False) for one in told["findings"]] == [False, True]
    assert told["files"] == 3
    assert told["faults"] == [{"file": "nosuch", "why": "No such file or directory"}]
    assert code == 1
    code, out, _ = run(["--policy", "p.yaml", "w"], capsys)
    assert code == 0  # a warning counts for nothing
    assert out.endswith("(warning only)\n")


def test_explanations_are_masked(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "e").write_bytes(b"TOKEN=" + base64.b64encode(b"user " + ACME + b" end") + b"\n")
    _, out, _ = run(["--explain", "e", "src/a.py"], capsys)
    assert "encoding  base64" in out
    assert (
        "      user acme…(37 bytes) end\n" in out
    )  # the first four characters, and how long it is
    assert "https://acme.example/docs/tokens" in out
    assert "belongs in header:authorization of api.acme.example" in out
    assert ACME.decode() not in out
    assert ACME[5:12].decode() not in out


@pytest.mark.parametrize(
    "arguments",
    [["--sarif", "--json", "x"], ["--diff", "x"], ["--preset", "nosuch", "x"], ["--nosuch"]],
)
def test_wrong_usage_is_2(
    arguments: list[str], sampled: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(arguments, capsys)
    assert (code, out) == (2, "")
    assert "Error" in err or "egressguard:" in err


def test_the_host_decides_about_home(sampled: Prepare) -> None:
    at_home = ContentScanner(sampled(Options(), record=True, witness=True), "api.acme.example")
    found, _ = at_home.scan("a", [ACME])
    assert len(found) == 1  # a body is no home


def test_known_secrets_are_found_by_their_value(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    value = "plum-" + "Quartz" + "-81-orchard-Vx"
    monkeypatch.setenv("SERVICE_PASSWORD", value)
    monkeypatch.setenv("HOME", str(tree))
    (tree / "k").write_bytes(b"see " + base64.b64encode(f"pw {value}".encode()) + b"\n")
    assert run(["k"], capsys)[0] == 0
    code, out, _ = run(["--known", "--explain", "k"], capsys)
    assert code == 1
    assert "known:SERVICE_PASSWORD" in out
    assert "base64" in out
    assert not any(value[at : at + 5] in out for at in range(len(value) - 4))
    (tree / "mine.env").write_text(f"DATABASE_PASSWORD={value}\n")
    monkeypatch.delenv("SERVICE_PASSWORD")
    (tree / "p.yaml").write_text("version: 1\nsecrets: {files: [mine.env]}\n")
    code, out, _ = run(["--policy", "p.yaml", "k"], capsys)  # named in a policy: no option needed
    assert code == 1
    assert "DATABASE_PASSWORD" in out
    (tree / "mine.env").unlink()
    code, _, err = run(["--policy", "p.yaml", "k"], capsys)
    assert code == 2
    assert "secrets.files[0]" in err


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_when_it_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    terminal, pipe = _Terminal(), io.StringIO()
    report = Report([], files=7, bytes=3_000_000)
    shown, hidden = scan_report.Progress(terminal), scan_report.Progress(pipe)
    shown(report, "a")
    shown.clear()
    assert terminal.getvalue() == ""
    now += 5.0
    for progress in (shown, hidden):
        progress(report, "b\x1b")
        progress(report, "c")  # too soon after
        progress.clear()
        progress.clear()
    assert terminal.getvalue() == "\r\x1b[K7 files, 3 MB: b\\u{1b}\r\x1b[K"
    assert pipe.getvalue() == ""
