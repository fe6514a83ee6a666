"""The Model Context Protocol over JSON-RPC: who may say what, and where in it text stands.

Revisions 2024-11-05, 2025-03-26, 2025-06-18, 2025-11-25 and 2026-07-28 of the specification
(modelcontextprotocol.io). They differ in what is optional; what is read here is what any of them
allows. Methods that are in none are extensions: they pass as what they are, and their text is
judged like all other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final, TypeGuard

import msgspec

from interceptor.model import Setting
from interceptor.wire.jsonrpc import (
    INVALID_REQUEST,
    JsonRpcError,
    Message,
    MessageKind,
    refuse_lookalikes,
)

REVISIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")

BATCHED: Final = frozenset(("2025-03-26",))
"""Revisions that have batches."""

_CALL, _TOLD = MessageKind.REQUEST, MessageKind.NOTIFICATION

# fmt: off
FROM_CLIENT: Final[dict[str, MessageKind]] = {
    **dict.fromkeys((
        "initialize", "ping", "server/discover", "completion/complete", "logging/setLevel",
        "prompts/get", "prompts/list", "resources/list", "resources/read",
        "resources/templates/list", "resources/subscribe", "resources/unsubscribe",
        "subscriptions/listen", "tools/call", "tools/list",
        "tasks/get", "tasks/list", "tasks/result", "tasks/cancel",
    ), _CALL),
    **dict.fromkeys((
        "notifications/initialized", "notifications/cancelled", "notifications/progress",
        "notifications/roots/list_changed", "notifications/tasks/status",
    ), _TOLD),
}
"""What a client says."""

FROM_SERVER: Final[dict[str, MessageKind]] = {
    **dict.fromkeys((
        "ping", "roots/list", "sampling/createMessage", "elicitation/create",
        "tasks/get", "tasks/list", "tasks/result", "tasks/cancel",
    ), _CALL),
    **dict.fromkeys((
        "notifications/cancelled", "notifications/message", "notifications/progress",
        "notifications/prompts/list_changed", "notifications/resources/list_changed",
        "notifications/resources/updated", "notifications/tools/list_changed",
        "notifications/elicitation/complete", "notifications/subscriptions/acknowledged",
        "notifications/tasks/status",
    ), _TOLD),
}
"""What a server says."""

_FOLDED: Final = frozenset(name.casefold() for name in (*FROM_CLIENT, *FROM_SERVER))
_PARAMS: Final = frozenset(("name", "arguments", "uri", "_meta", "task"))
_MEDIA: Final = frozenset(("image", "audio"))
_URLS: Final = frozenset((
    "uri", "url", "src", "href", "uriTemplate", "websiteUrl", "iconUrl", "documentationUrl",
))
# fmt: on

_DIALECTS: Final = frozenset(
    f"{scheme}://json-schema.org/{draft}/schema{end}"
    for scheme in ("http", "https")
    for draft in ("draft-04", "draft-06", "draft-07", "draft/2019-09", "draft/2020-12")
    for end in ("", "#")
)
"""What `$schema` says in nearly every definition: names of dialects, no places to send to."""

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\r\n"
_NAME_LENGTH: Final = 256
_DEFINITIONS: Final = 4_096
"""Tools in one answer."""
_SORTED = msgspec.json.Encoder(order="sorted").encode


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """What `tools/call` asks for."""

    name: str
    arguments: dict[str, Any]


class Tool(msgspec.Struct, frozen=True, gc=False):
    """One tool as its server defines it."""

    name: str
    value: dict[str, Any]
    """All of the definition."""

    @property
    def digest(self) -> str:
        """32 hex digits over all of it; the order of keys means nothing (RFC 8259 section 4)."""
        return hashlib.blake2b(_SORTED(self.value), digest_size=16).hexdigest()


class Text(msgspec.Struct, frozen=True, gc=False):
    """A text in a message."""

    where: str
    """Path to it, such as `result.content.0.text`."""
    text: str
    setting: Setting = Setting.SHOWN
    key: bool = False
    """It is the name of a member, not its value."""


def misdirected(message: Message, *, client: bool) -> str:
    """Say what is wrong with a call that the wrong side makes, or in the wrong form; "" if nothing.

    Args:
        message: a request or a notification.
        client: the client says it.
    """
    own, other = (FROM_CLIENT, FROM_SERVER) if client else (FROM_SERVER, FROM_CLIENT)
    kind = own.get(message.method)
    if kind is None:
        if message.method in other:
            return f"a {'client' if client else 'server'} does not say {message.method}"
        if message.method.strip().casefold() in _FOLDED:
            return "a method that differs from a known one in case only"
        return ""
    if kind is not message.kind:
        return f"{message.method} is a {kind.value}"
    return ""


def tool_call(message: Message) -> ToolCall:
    """Return what a `tools/call` asks for.

    Raises:
        JsonRpcError: no name, no object of arguments, or keys that parsers may read differently.
    """
    params = message.params
    if not isinstance(params, dict):
        raise JsonRpcError(INVALID_REQUEST, "tools/call with a list of parameters", message.id)
    refuse_lookalikes(params, _PARAMS)
    name = params.get("name")
    if not is_name(name):
        raise JsonRpcError(INVALID_REQUEST, "tools/call without a tool's name", message.id)
    arguments = params.get("arguments")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise JsonRpcError(INVALID_REQUEST, "arguments that are no object", message.id)
    return ToolCall(name, arguments)


def tools(result: Any) -> list[Tool]:
    """Return the definitions in the answer to `tools/list`.

    Raises:
        JsonRpcError: not a list of tools, a name that is none, or one that stands twice.
    """
    listed = result.get("tools") if isinstance(result, dict) else None
    if not isinstance(listed, list) or len(listed) > _DEFINITIONS:
        raise JsonRpcError(INVALID_REQUEST, "no list of tools, or one that is too long")
    found: list[Tool] = []
    names: set[str] = set()
    for value in listed:
        name = value.get("name") if isinstance(value, dict) else None
        if not is_name(name):
            raise JsonRpcError(INVALID_REQUEST, "a tool without a name, or with one that is none")
        if name in names:
            raise JsonRpcError(INVALID_REQUEST, "two tools of one name")
        names.add(name)
        found.append(Tool(name, value))
    return found


def is_name(name: object) -> TypeGuard[str]:
    """Tell whether a value can be a tool's name: characters that can be seen, and not too many."""
    return isinstance(name, str) and 0 < len(name) <= _NAME_LENGTH and name.isprintable()


def is_base64(data: object) -> bool:
    """Tell whether it is what the data of a picture is: nothing that could be read."""
    if not isinstance(data, str) or not data.isascii():
        return False
    return not data.encode("ascii").translate(None, _BASE64)


def texts(value: Any, where: str = "", *, schema: bool = False) -> Iterator[Text]:
    """Give every text of a value, keys and values, at any depth.

    Keys are given too: a server may put instructions into the names of properties, and a client
    secrets into those of arguments. Media (base64 of images and sound) is left out, other base64
    is not: the decoders of the scanners undo it.

    Args:
        value: decoded JSON, no deeper than `jsonrpc.read` lets through.
        where: path to it.
        schema: it is a definition, whose texts describe: only an agent reads them.
    """
    described = Setting.ATTRIBUTE if schema else Setting.SHOWN
    pending: list[tuple[str, Any]] = [(where, value)]
    while pending:
        place, found = pending.pop()
        if isinstance(found, str):
            if found in _DIALECTS:
                continue
            key = place.rpartition(".")[2]
            setting = Setting.LINK if key in _URLS else described
            yield Text(place, found, setting)
        elif isinstance(found, dict):
            kind = found.get("type")  # anything: a schema has properties of that name
            media = isinstance(kind, str) and kind in _MEDIA and is_base64(found.get("data"))
            below = f"{place}." if place else ""
            inner = []
            for name, item in found.items():
                yield Text(place, name, Setting.ATTRIBUTE, key=True)
                if not (media and name == "data"):
                    inner.append((below + name[:64], item))
            pending += reversed(inner)
        elif isinstance(found, list):
            below = f"{place}." if place else ""
            pending += [(f"{below}{i}", found[i]) for i in range(len(found) - 1, -1, -1)]
