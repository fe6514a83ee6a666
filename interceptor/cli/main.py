"""The command `egressguard`: a lazy table of commands, and what becomes of errors.

Only the module of the command that was asked for is imported, so that `--help` and small commands
start in the time that Python itself needs. Exit codes are listed in docs/exit-codes.md.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import click

import interceptor

EXIT_USAGE = 2
"""The command line or the policy is wrong; nothing was started."""
EXIT_SETUP = 125
"""egressguard itself failed; the command was not started, or its end is unknown."""


class Entry(NamedTuple):
    """One command of the table."""

    module: str
    """Has a click command named `command`."""
    line: str
    """What it does, in the list of commands."""
    examples: tuple[str, ...] = ()
    """Shown below its help, unless it has an epilog of its own."""


COMMANDS: dict[str, Entry] = {
    "jail": Entry("interceptor.cli.jail", "Run a command with no way out but egressguard."),
    "vm": Entry("interceptor.cli.vm", "Run a virtual machine whose only network is egressguard."),
    "demo": Entry(
        "interceptor.cli.demo",
        "Watch an agent try to leak a key, in a sealed lab.",
        ("sudo egressguard demo", "sudo egressguard demo --json"),
    ),
    "doctor": Entry(
        "interceptor.cli.doctor",
        "Say what this machine offers and what is missing.",
        ("sudo egressguard doctor", "egressguard doctor --json"),
    ),
    "self-test": Entry(
        "interceptor.cli.self_test", "Try to get out of a jail, and show what the outside saw."
    ),
    "canary": Entry("interceptor.cli.canary", "Plant decoys that nothing may send."),
    "policy": Entry(
        "interceptor.cli.policy",
        "Show and check policies.",
        (
            "egressguard policy check egressguard.yaml",
            "egressguard policy show --preset strict > egressguard.yaml",
        ),
    ),
    "scan": Entry(
        "interceptor.cli.scan",
        "Find credentials in files, diffs and items, without a network.",
    ),
    "check": Entry(
        "interceptor.cli.check", "Say what would become of a request, without making it."
    ),
    "container": Entry(
        "interceptor.cli.container", "Run containers whose only network is egressguard."
    ),
    "gateway": Entry(
        "interceptor.cli.gateway", "Serve many captive machines and containers, for long."
    ),
    "guard-host": Entry(
        "interceptor.cli.guard_host", "Put a machine's logins and agents into a captive namespace."
    ),
    "k8s": Entry(
        "interceptor.cli.k8s", "Rewrite Kubernetes workloads: no way out but egressguard."
    ),
    "kill": Entry("interceptor.cli.kill", "End live jails."),
    "logs": Entry("interceptor.cli.logs", "Show a jail's evidence for people, live or afterwards."),
    "mcp": Entry("interceptor.cli.mcp", "Run a tool server (MCP) so that no message is unjudged."),
    "proxy": Entry(
        "interceptor.cli.proxy", "Serve programs that use HTTPS_PROXY: a weaker guarantee."
    ),
    "ps": Entry(
        "interceptor.cli.ps",
        "List live jails and reclaim what dead ones left.",
        ("sudo egressguard ps", "sudo egressguard ps --json"),
    ),
}

EPILOG = """\b
Exit codes (docs/exit-codes.md):
  the command's own; 128+n when signal n ended it
  2    wrong usage or policy; nothing was started
  125  the jail could not be set up
  126  the command cannot be executed
  127  the command was not found

\b
Examples:
  sudo egressguard jail -- curl https://example.com/
  sudo egressguard jail --preset strict -- python3 agent.py
  egressguard COMMAND --help
"""


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table: the main job first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or None when there is no such name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = importlib.import_module(entry.module).command
        if command.epilog is None and entry.examples:
            command.epilog = "\n  ".join(("\b\nExamples:", *entry.examples))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.line) for name, entry in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(interceptor.__version__, "-V", "--version", message="%(prog)s %(version)s")
def cli() -> None:
    """The enforcement point between an AI agent and the internet.

    The agent's network has no path out. Every connection ends at egressguard, which reads it,
    decides, records, and only then opens a connection of its own.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit the process. Never shows a traceback to a user.

    Args:
        arguments: words after the program's name; None takes those of the process.
    """
    code = run(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # closed by the caller: >&-
                stream.flush()
        except OSError:
            # A full device or a reader that has gone: leave nothing in the buffer, or the
            # interpreter would trip over it at its end and lose the exit code.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit code."""
    try:
        result = cli.main(list(arguments), prog_name="egressguard", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:  # usage errors are 2 already; others say their own
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # The reader of our output has gone. Leave nothing in the buffer for the interpreter to
        # trip over at its end. 1 is what click says when it meets this first.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SystemExit as done:
        if done.code is None or isinstance(done.code, int):
            return done.code or 0
        sys.stderr.write(f"egressguard: {done.code}\n")
        return 1
    except Exception as error:  # the last line of defence before a user
        if os.environ.get("EGRESSGUARD_DEBUG") == "1":
            raise
        from interceptor.cli import crash

        sys.stderr.write(crash.explain(error))
        return EXIT_SETUP
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    main()
