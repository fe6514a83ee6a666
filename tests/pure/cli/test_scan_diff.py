"""`scan --diff`: added lines only, with the line numbers of the new files."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.cli import main
from interceptor.cli.scan_diff import added, staged
from interceptor.cli.scan_setup import Fault, Prepared
from interceptor.scan.ruleset import example
from tests.scan_samples import ACME, OTHER

Prepare = Callable[..., Prepared]


def read(diff: bytes) -> list[tuple[str, bytes, tuple[int, ...]]]:
    return [tuple(hunk) for hunk in added(io.BytesIO(diff))]  # type: ignore[misc]


HEAD = b"diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n"


def test_lines_are_numbered_as_in_the_new_file() -> None:
    diff = (
        HEAD + b"@@ -1,3 +1,4 @@ def f():\n one\n-two\n+TWO\n+three\n four\n"
        b"@@ -10 +11,0 @@\n-gone\n@@ -20,0 +21 @@\n+last\n\\ No newline at end of file\n"
    )
    assert read(diff) == [("x", b"TWO\nthree\n", (2, 3)), ("x", b"last\n", (21,))]


def test_lines_that_look_like_headers_are_read_by_the_counts() -> None:
    diff = HEAD + b"@@ -1,2 +1,2 @@\n--- a/y\n+++ b/y\n-@@ -1 +1 @@\n+@@ -9 +9 @@\n"
    assert read(diff) == [("x", b"++ b/y\n@@ -9 +9 @@\n", (1, 2))]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"b/src/a.py", "src/a.py"),
        (b"src/a.py", "src/a.py"),
        (b"b/with space.py\t", "with space.py"),
        (b"b/a.py\t2024-01-01 10:00:00", "a.py"),
        (b'"b/\\303\\244 \\"q\\" \\t.py"', 'ä "q" \t.py'),
        (b"b/a.py\r", "a.py"),
    ],
)
def test_names(line: bytes, name: str) -> None:
    diff = b"--- /dev/null\n+++ " + line + b"\n@@ -0,0 +1 @@\n+x\n"
    assert read(diff) == [(name, b"x\n", (1,))]


@pytest.mark.parametrize(
    "diff",
    [
        b"@@ -1 +1 @@\n-a\n+b\n",
        HEAD + b"@@@ -1 -1 +1 @@@\n- a\n++b\n",
        HEAD + b"@@ -x +1 @@\n-a\n+b\n",
        HEAD + b"@@ -1 +1,2 @@\n-a\n+b\n",
        HEAD + b"@@ -1 +1 @@\n*a\n+b\n",
    ],
)
def test_what_is_no_diff_is_refused(diff: bytes) -> None:
    with pytest.raises(Fault):
        read(diff)


def test_deleted_files_and_text_around_are_passed_over() -> None:
    gone = b"--- a/x\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-+++ b/z\n-a\n"
    kept = b"--- a/y\n+++ b/y\n@@ -0,0 +1 @@\n+b\n"
    diff = b"From 1\nSubject: [PATCH]\n\n" + gone + kept + b"-- \n2.40\n"
    assert read(diff) == [("y", b"b\n", (1,))]
    assert read(b"") == []
    assert read(b"Binary files a/x and b/x differ\n") == []


@given(
    data=st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            [
                b"+++ b/x\n",
                b"@@ -1 +1 @@\n",
                b"@@ -1,2 +1,3 @@\n",
                b"+a\n",
                b"-b\n",
                b" c\n",
                b"\n",
                b"\\ No newline\n",
                b"--- a/x\n",
                b"@@@ -1 -1 +1 @@@\n",
            ]
        ),
        max_size=12,
    ).map(b"".join)
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        hunks = read(data)
    except Fault:
        return
    for file, text, lines in hunks:
        assert file
        assert text.count(b"\n") in (len(lines), len(lines) - 1)


# -- the command -------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampled: Prepare) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    git("init", "-q")
    git("config", "user.email", "a@x.example")
    git("config", "user.name", "a")
    (tmp_path / "old.txt").write_bytes(b"1\n2\nkey " + ACME + b"\n")
    git("add", "old.txt")
    git("commit", "-q", "-m", "one")
    return tmp_path


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], check=True, capture_output=True).stdout


def scan_stdin(data: bytes, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    return main.run(["scan", "--diff", *arguments])


def test_what_is_staged_is_scanned_and_nothing_else(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "old.txt").write_bytes(b"0\n1\n2\nkey " + ACME + b"\nmore\n")  # moved down
    (repository / "dir").mkdir()
    (repository / "dir/new ä.txt").write_bytes(b"a\nb " + OTHER + b"\n")
    (repository / "unstaged.txt").write_bytes(ACME)
    git("add", "old.txt", "dir")
    git("config", "diff.noprefix", "true")  # what the user likes to see changes nothing
    git("config", "color.ui", "always")
    code = scan_stdin(staged(), [], monkeypatch)
    captured = capsys.readouterr()
    assert code == 1
    assert [line.split(" acme-token")[0] for line in captured.out.splitlines()] == [
        "dir/new ä.txt:2:3"
    ]
    assert "1 finding; 2 files" in captured.err
    git("commit", "-q", "-m", "two")
    assert scan_stdin(staged(), [], monkeypatch) == 0


def test_a_binary_file_and_one_in_pieces(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "b.bin").write_bytes(b"\0\0\n\0" + ACME + b"\0\n")
    (repository / "old.txt").write_bytes(b"a\n" + OTHER + b"\n1\n2\nkey\n")
    git("add", ".")
    code = scan_stdin(staged(), ["--json"], monkeypatch)
    told = json.loads(capsys.readouterr().out)
    places = {(one["file"], one["line"], one["column"]) for one in told["findings"]}
    assert places == {("b.bin", 2, 2), ("old.txt", 2, 1)}
    assert code == 1


def test_on_a_terminal_git_is_asked(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "new.txt").write_bytes(ACME)
    git("add", "new.txt")
    monkeypatch.setattr("sys.stdin", None)  # as good as a terminal: nothing can be piped in
    assert main.run(["scan", "--diff"]) == 1
    assert capsys.readouterr().out.startswith("new.txt:1:1 ")


def test_without_a_repository_or_git_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr("sys.stdin", None)
    assert main.run(["scan", "--diff"]) == 2
    assert "git diff --cached failed: " in capsys.readouterr().err
    monkeypatch.setenv("PATH", "/nonexistent")
    assert main.run(["scan", "--diff"]) == 2
    assert "git cannot be run" in capsys.readouterr().err


def test_the_hook_of_the_docs_stops_a_commit(
    repository: Path, scan_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).resolve().parents[3]
    text = (root / "docs/scan.md").read_text()
    hook = text.split("```sh\n#!/bin/sh", 1)[1].split("```", 1)[0]
    tools = repository / "tools"
    tools.mkdir()
    command = tools / "egressguard"
    command.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
        "from pathlib import Path\nfrom interceptor.cli import main, scan_setup\n"
        f"scan_setup.cache_folder = lambda: Path({str(scan_cache)!r})\nmain.main()\n"
    )
    command.chmod(0o755)
    file = repository / ".git/hooks/pre-commit"
    file.parent.mkdir(exist_ok=True)
    file.write_text("#!/bin/sh" + hook)
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    key = example(["AK", "IA", "{upper32:16}"], "diff").decode()
    for number, (content, code) in enumerate([("harmless\n", 0), (f"id = {key}\n", 1)]):
        (repository / f"c{number}").write_text(content)
        git("add", f"c{number}")
        done = subprocess.run(
            ["git", "commit", "-q", "-m", "x"], check=False, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        assert key not in done.stdout + done.stderr
    assert "c1:1:6 " in done.stdout + done.stderr
