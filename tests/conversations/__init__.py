"""Conversations of clients with servers, as data: what each side says, and what comes of it.

They know nothing of transports: the pure core, the wrapper and the data plane are driven with the
same. Phrases and hosts are our own. Secrets stand in pieces.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from interceptor.scan.ruleset import example

Side = Literal["client", "server"]


class Turn(msgspec.Struct, frozen=True):
    """One message."""

    side: Side
    message: Any
    """JSON; bytes where it is none that an encoder would write."""
    server: str = "tools"
    """Whom it is said to, or who says it."""


class Talk(msgspec.Struct, frozen=True):
    """One conversation."""

    name: str
    turns: tuple[Turn, ...]
    stopped: str = ""
    """Reason code of a refusal that must come; "": nothing is refused, nothing is changed."""
    protocol: Literal["mcp", "a2a"] = "mcp"
    harm: str = ""
    """A text of an attack that must not get through to the other side; "": there is none such."""


Step = Callable[[list[Turn]], None]


def talk(
    name: str,
    *steps: Step,
    stopped: str = "",
    harm: str = "",
    protocol: Literal["mcp", "a2a"] = "mcp",
) -> Talk:
    """Make a conversation of steps."""
    turns: list[Turn] = []
    for step in steps:
        step(turns)
    return Talk(name, tuple(turns), stopped, protocol, harm)


def _ident(turns: list[Turn]) -> int:
    return 1 + sum(isinstance(turn.message, dict) and "method" in turn.message for turn in turns)


def ask(method: str, params: Any = None, result: Any = None, server: str = "tools") -> Step:
    """The client asks; the server answers unless `result` is None."""

    def step(turns: list[Turn]) -> None:
        ident = _ident(turns)
        message = {"jsonrpc": "2.0", "id": ident, "method": method}
        turns.append(
            Turn("client", message if params is None else message | {"params": params}, server)
        )
        if result is not None:
            turns.append(Turn("server", {"jsonrpc": "2.0", "id": ident, "result": result}, server))

    return step


def text(*texts: str) -> dict[str, Any]:
    """A result of texts."""
    return {"content": [{"type": "text", "text": one} for one in texts]}


def call(tool: str, result: Any = None, /, server: str = "tools", **arguments: Any) -> Step:
    """The client calls a tool; a result that is a text is made one; None: `done`."""
    made = text("done") if result is None else text(result) if isinstance(result, str) else result
    return ask("tools/call", {"name": tool, "arguments": arguments}, made, server)


def tool(name: str, description: str, /, **properties: Any) -> dict[str, Any]:
    """A definition; properties are given as descriptions, or as schemas."""
    schemas = {
        key: {"type": "string", "description": one} if isinstance(one, str) else one
        for key, one in properties.items()
    }
    schema = {"type": "object", "properties": schemas}
    return {"name": name, "description": description, "inputSchema": schema}


def tools(*definitions: dict[str, Any], server: str = "tools") -> Step:
    """The client lists the tools."""
    return ask("tools/list", {}, {"tools": list(definitions)}, server)


def hello(revision: str = "2025-06-18", instructions: str = "", server: str = "tools") -> Step:
    """The conversation is opened."""

    def step(turns: list[Turn]) -> None:
        asked = {
            "protocolVersion": revision,
            "capabilities": {},
            "clientInfo": {"name": "client", "version": "1"},
        }
        told: dict[str, Any] = {
            "protocolVersion": revision,
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": server, "version": "1"},
        }
        if instructions:
            told["instructions"] = instructions
        ask("initialize", asked, told, server)(turns)
        note("client", "notifications/initialized", server=server)(turns)

    return step


def note(side: Side, method: str, params: Any = None, server: str = "tools") -> Step:
    """One side tells something."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        message["params"] = params
    return lambda turns: turns.append(Turn(side, message, server))


def asked_back(method: str, params: Any, result: Any = None) -> Step:
    """The server asks the client; it answers unless `result` is None."""

    def step(turns: list[Turn]) -> None:
        ident = f"s{len(turns)}"
        message = {"jsonrpc": "2.0", "id": ident, "method": method, "params": params}
        turns.append(Turn("server", message))
        if result is not None:
            turns.append(Turn("client", {"jsonrpc": "2.0", "id": ident, "result": result}))

    return step


def say(side: Side, message: Any, server: str = "tools") -> Step:
    """One side says exactly this."""
    return lambda turns: turns.append(Turn(side, message, server))


def key(salt: str) -> str:
    """An access key that nobody has."""
    return example(("AKIA", "{upper32:16}"), salt).decode()


def b64(value: str) -> str:
    """Base64 of a text."""
    return base64.b64encode(value.encode()).decode()


def load() -> list[Talk]:
    """All of them."""
    from tests.conversations import agents, attacks, chains, honest

    return [*attacks.TALKS, *chains.TALKS, *agents.TALKS, *honest.TALKS]
