"""`scan --inbound`: what would become of a file, its score, and where it stands in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from interceptor.cli.main import run
from interceptor.cli.scan_setup import Prepared
from tests import pdf_files
from tests.scan_samples import STEERS

GOOD = "The second release reads its settings from one file."


@pytest.fixture
def folder(
    tmp_path: Path, sampled: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> Path:
    assert sampled is not None
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    code = run(["scan", "--inbound", "--json", *words])
    found = json.loads(capsys.readouterr().out)
    return code, {one["file"]: one for one in found["files"]}


def test_files_that_would_be_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "good.md").write_text(f"# Notes\n\n{GOOD}\n")
    (folder / "bad.md").write_text(f"# Notes\n\n{GOOD}\n\n{STEERS}\n")
    (folder / "comment.html").write_text(f"<p>{GOOD}</p>\n<!-- {STEERS} -->\n")
    (folder / "page.pdf").write_bytes(pdf_files.plain(STEERS))
    code = run(["scan", "--inbound", "."])
    out, errors = capsys.readouterr()
    assert code == 1
    assert "bad.md: block, score " in out
    assert "line 5 " in out
    assert "line 2 " in out
    assert "page.pdf: block" in out
    assert "good.md" not in out
    assert errors == "4 files: 3 refused, 3 not as it is\n"
    assert run(["scan", "--inbound", "good.md"]) == 0


def test_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.txt").write_text(f"{GOOD}\n{STEERS}\n")
    (folder / "good.txt").write_text(GOOD)
    code, files = told(capsys, "bad.txt", "good.txt")
    assert code == 1
    assert files["good.txt"] == {
        "file": "good.txt",
        "handling": "pass",
        "score": 0,
        "source": "",
        "findings": [],
    }
    bad = files["bad.txt"]
    assert isinstance(bad, dict)
    assert (bad["handling"], bad["source"]) == ("block", "web")
    assert bad["score"] >= 70
    (first, *_) = bad["findings"]
    assert (first["line"], first["setting"], first["disguise"]) == (2, "shown", "")
    assert STEERS not in json.dumps(files)


def test_the_policy_and_the_host_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.txt").write_text(STEERS)
    (folder / "own.yaml").write_text(
        "version: 1\ninbound:\n  sources: {own: [docs.example.com]}\n"
        "  exempt:\n    - {host: mirror.example.com}\n"
    )
    for host, handling in (
        ("www.example.com", "block"),
        ("docs.example.com", "annotate"),
        ("mirror.example.com", "pass"),
    ):
        _, files = told(capsys, "bad.txt", "--policy", "own.yaml", "--host", host)
        found = files["bad.txt"]
        assert isinstance(found, dict)
        assert found["handling"] == handling, host


def test_wrong_usage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--diff", "a"], ["--sarif", "a"], ["--jsonl", "a"]):
        assert run(["scan", "--inbound", *words]) == 2, words
    assert run(["scan", "--inbound", "no-such-file"]) == 2
    assert "not read: no-such-file: No such file" in capsys.readouterr().err
    assert folder.is_dir()
