"""`egressguard mcp`: judge what an agent and a tool server say over standard input and output."""

from __future__ import annotations

import importlib
from typing import NamedTuple

import click

EPILOG = """\b
Examples:
  egressguard mcp -- npx -y @modelcontextprotocol/server-filesystem ~/project
  egressguard mcp --server files --policy egressguard.yaml --jail -- uvx mcp-server-git
  egressguard mcp find
  egressguard mcp wrap --client claude-desktop
  egressguard mcp pins show files read_file

\b
`egressguard mcp run --help` has the options of the first form.
"""


class _Entry(NamedTuple):
    module: str
    line: str


_COMMANDS = {
    "run": _Entry("interceptor.cli.mcp_run", "Run a server behind the judge; `run` may be left."),
    "find": _Entry("interceptor.cli.mcp_find", "List servers in clients' configurations."),
    "wrap": _Entry("interceptor.cli.mcp_wrap", "Put the judge before servers in configurations."),
    "unwrap": _Entry("interceptor.cli.mcp_unwrap", "Take it away again."),
    "pins": _Entry("interceptor.cli.mcp_pins", "Show, approve and forget definitions of tools."),
}


class McpGroup(click.Group):
    """Subcommands, and a command line that is a server's: `egressguard mcp -- COMMAND`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names in the order of the table."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command, or None when there is no such name."""
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = importlib.import_module(entry.module).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.line) for name, entry in _COMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what is no subcommand's for the first form."""
        if args and args[0] not in _COMMANDS and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(
    "mcp",
    cls=McpGroup,
    epilog=EPILOG,
    subcommand_metavar="[OPTIONS] -- SERVER-COMMAND... | COMMAND [ARGS]...",
)
def command() -> None:
    """Judge MCP: run a tool server so that no message passes unjudged.

    It stands where the server's command stands in a client's configuration, and what the client and
    the server say passes through one judge: calls, results, definitions of tools, everything.
    """
