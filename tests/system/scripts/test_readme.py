"""The README's commands exist and its policy is valid. Jails run in tests/system/jail."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from interceptor.cli import main
from interceptor.policy.loading import load

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line]
PROGRAMS = ("scripts/egressguard", "scripts/test")
HARMLESS = [line for line in COMMANDS if not re.search(r"\bsudo | jail | mcp ", line)]
"""Those that need no root, start nothing of others and change nothing of who runs this."""
FINDING = ("scripts/egressguard scan scripts/ README.md", "scripts/egressguard scan --diff")
"""Those that end with 1 where there is something to find (docs/exit-codes.md)."""


def stages(line: str) -> list[list[str]]:
    """The commands of a pipeline, as words."""
    words = shlex.shlex(line, posix=True, punctuation_chars="|")
    words.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            found.append([])
        else:
            found[-1].append(word)
    return found


def test_there_are_commands() -> None:
    """What the other tests loop over is not empty, and every block names its language."""
    assert len(COMMANDS) > 5
    assert HARMLESS
    assert set(re.findall(r"^```(\w*)$", README, re.MULTILINE)) == {"sh", "yaml", ""}
    assert README.count("```sh") + README.count("```yaml") == README.count("\n```\n")


def test_pipelines_are_told_from_quoted_bars() -> None:
    assert stages("echo 'a | b' | cat -n") == [["echo", "a | b"], ["cat", "-n"]]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line: str) -> None:
    """The program is in the tree, and every option and argument is one that it takes."""
    ours = 0
    for program, *words in stages(line.removeprefix("sudo ")):
        if program in PROGRAMS:
            ours += 1
            check_words(program, words)
        else:
            assert program == "echo", "a program that every shell has"
    assert ours == 1


def check_words(program: str, words: list[str]) -> None:
    assert (ROOT / program).stat().st_mode & 0o111, program
    if program == "scripts/test":
        assert words == []
        return
    context = click.Context(main.cli)
    command: click.Command | None = main.cli
    while isinstance(command, click.Group) and not words[0].startswith("-"):
        command = command.get_command(context, words.pop(0))
    assert command is not None
    try:
        command.make_context("readme", words)
    except click.exceptions.Exit as done:
        assert done.exit_code == 0  # --help  # noqa: PT017


@pytest.mark.parametrize("line", HARMLESS)
def test_harmless_commands_run(line: str) -> None:
    """In the checkout as it stands, and with a result. `scan` may find something: in a diff of
    whoever runs this, say; that the shipped files hold nothing is test_false_alarms' business.
    """
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    if done.returncode == 125 and "offline" in done.stderr:
        pytest.skip(f"first use needs the package index: {done.stderr}")
    assert done.returncode in ((0, 1) if line in FINDING else (0,)), done.stderr
    assert done.stdout or "nothing found" in done.stderr
    assert "not read" not in done.stderr


def test_the_policy_is_valid(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    path = tmp_path / "egressguard.yaml"
    path.write_text(text)
    policy = load(path, None)
    assert policy.hosts.allow
    assert policy.requests


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    pattern = r"`((?:interceptor|netns|tests|scripts|docs|requirements)/[\w./-]*)`"
    for name in re.findall(pattern, page.read_text("utf-8")):
        assert (ROOT / name).exists(), name
