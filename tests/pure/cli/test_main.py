"""The command line's frame: nothing imported in vain, clear errors, defined exit codes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from interceptor.cli import crash, main
from interceptor.evidence import place

ROOT = Path(__file__).resolve().parents[3]
HEAVY = (
    *("asyncio", "cryptography", "hyperscan", "msgspec", "pyroute2", "rich", "ssl", "uvloop"),
    *("yaml", "interceptor.cli.jail", "interceptor.evidence", "netns"),
)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Replace the table of commands by one command that calls a function."""

    def plant(function: Callable[[], object]) -> None:
        monkeypatch.setattr(main, "COMMANDS", {"try": main.Entry("planted", "Try.")})
        module = type(sys)("planted")
        module.command = click.Command("try", callback=function)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "planted", module)

    return plant


def test_help_lists_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    text = capsys.readouterr().out
    for name, entry in main.COMMANDS.items():
        assert name in text
        assert entry.line in text
    for code in ("128+n", "125", "126", "127"):
        assert code in text


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nosuch"]])
def test_small_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from interceptor.cli import main\n"
        f"main.run({arguments!r})\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_every_command_exists_and_shows_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: egressguard {name}" in text
    assert "Example" in text
    assert f"egressguard {name}" in text.split("Example", 1)[1]


def test_every_module_of_the_table_is_in_the_tree() -> None:
    for entry in main.COMMANDS.values():
        assert importlib.util.find_spec(entry.module) is not None, entry.module


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch"], "No such command 'nosuch'"),
        (["--nosuch"], "No such option"),
        (["jail", "--nosuch"], "No such option"),
        (["jail"], "Missing argument"),
    ],
)
def test_wrong_usage_is_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (7, 7), (137, 137)])
def test_a_commands_result_is_the_exit_code(
    planted: Callable[[Callable[[], object]], None], result: object, code: int
) -> None:
    planted(lambda: result)
    assert main.run(["try"]) == code


def raiser(error: BaseException) -> Callable[[], object]:
    def function() -> object:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.UsageError("wrong"), 2),
        (click.ClickException("no"), 1),
        (SystemExit(5), 5),
        (SystemExit(None), 0),
        (SystemExit("words"), 1),
    ],
)
def test_ends_that_are_no_defects(
    planted: Callable[[Callable[[], object]], None], error: BaseException, code: int
) -> None:
    planted(raiser(error))
    assert main.run(["try"]) == code


def test_a_defect_is_one_line_and_a_report_without_secrets(
    planted: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(place, "directory", lambda: tmp_path / "reports")
    monkeypatch.delenv("EGRESSGUARD_DEBUG", raising=False)
    secret = "plan" + "ted-3141"
    planted(raiser(ValueError(f"bad header {secret}")))
    assert main.run(["try"]) == main.EXIT_SETUP
    error = capsys.readouterr().err
    assert error.startswith("egressguard: internal error: ValueError at tests/pure/cli/")
    assert "Traceback" not in error
    (report,) = (tmp_path / "reports").iterdir()
    assert str(report) in error
    assert report.stat().st_mode & 0o777 == 0o600
    text = report.read_text()
    assert "in function" in text
    assert secret not in error + text


def test_debug_shows_the_traceback(
    planted: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EGRESSGUARD_DEBUG", "1")
    planted(raiser(ValueError("words")))
    with pytest.raises(ValueError, match="words"):
        main.run(["try"])


def test_a_report_that_cannot_be_written_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(place, "directory", lambda: tmp_path / "file")
    text = crash.explain(OSError(28, "No space left on device"))
    assert "OSError (No space left on device)" in text
    assert "No report could be written" in text


def test_causes_are_reported_once_and_bounded() -> None:
    error: BaseException = ValueError()
    for _ in range(100):
        outer = RuntimeError()
        outer.__cause__ = error
        error = outer
    assert crash.report(error).count("RuntimeError") <= 16


def test_a_closed_pipe_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [sys.executable, "-m", "interceptor.cli.main", "--help"],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(writer)
        _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert error == b""


@pytest.mark.parametrize(
    "example", [line for entry in main.COMMANDS.values() for line in entry.examples]
)
def test_examples_parse(example: str) -> None:
    """Options and arguments of every example exist; nothing is run."""
    words = example.removeprefix("sudo ").partition(" > ")[0].split()[1:]
    context = click.Context(main.cli)
    command: click.Command | None = main.cli
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0))
    assert command is not None
    command.make_context("example", words)
