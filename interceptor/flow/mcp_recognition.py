"""Telling bodies of MCP and A2A from all others, by what they say.

Nothing is configured, and what is neither pays as good as nothing: a look at the first byte, and
one search in C for the name that all messages of JSON-RPC have. Methods that other protocols have,
too, count where something beside them speaks for MCP: a field, or an endpoint that is known.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interceptor.wire import a2a, mcp
from interceptor.wire.fields import Field

BEGINS: Final = (
    b"{",
    b"[",
    b" ",
    b"\n",
    b"\r",
    b"\t",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\0",
)
"""How JSON can begin, in any encoding that a lenient parser reads."""
SESSION: Final = b"mcp-session-id"
REVISION: Final = b"mcp-protocol-version"
METHOD: Final = b"mcp-method"
LAST_EVENT: Final = b"last-event-id"
_FIELDS: Final = frozenset((SESSION, REVISION, METHOD))
_NAME: Final = b'"jsonrpc"'
_MARKS: Final = ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"))
_OTHERS_SAY: Final = frozenset(("ping", "initialize"))
_OWN: Final = frozenset(
    method
    for method in (*mcp.FROM_CLIENT, *mcp.FROM_SERVER)
    if method not in _OTHERS_SAY and not method.startswith("tasks/")
)
"""Methods that MCP alone has."""


class _Params(msgspec.Struct):
    """What of parameters is looked at."""

    protocolVersion: Any = None  # noqa: N815 - as the protocol has it
    message: Any = None
    taskId: Any = None  # noqa: N815


class _Message(msgspec.Struct):
    """What of a message is looked at."""

    jsonrpc: Any = None
    method: Any = None
    id: Any = None
    params: msgspec.Raw = msgspec.Raw(b"null")


class Spoken(msgspec.Struct, frozen=True, gc=False):
    """What a body is, as far as its recognition goes; it was not read strictly yet."""

    protocol: str
    """`mcp` or `a2a`."""
    ids: tuple[str | int, ...] = ()
    """Of the requests in it."""
    methods: tuple[str, ...] = ()
    begins: bool = False
    """It is the `initialize` of MCP."""


_DECODE: Final = msgspec.json.Decoder(_Message | list[_Message]).decode
_PARAMS: Final = msgspec.json.Decoder(_Params).decode


def may_speak(body: bytes) -> bool:
    """Tell whether a body is worth a closer look: it may be JSON-RPC."""
    return body.startswith(BEGINS) and (
        _NAME in body
        or b"\\u00" in body
        or body[:4].count(0) > 0
        or body[:2] in (b"\xff\xfe", b"\xfe\xff")
    )


def recognise(body: bytes, *, known: bool) -> Spoken | None:
    """Say what a body is; None: neither of the protocols.

    Args:
        body: decoded, without content codings.
        known: something beside it says that it is MCP.
    """
    try:
        read = _DECODE(as_utf8(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Spoken("mcp") if known else None
    messages = read if isinstance(read, list) else [read]
    spoken = [message for message in messages[:_MOST] if message.jsonrpc == "2.0"]
    methods = tuple(one.method for one in spoken if isinstance(one.method, str))
    if not known and not any(map(_is_mcp, spoken)):
        if not any(map(_is_a2a, spoken)):
            return None
        return Spoken("a2a", _ids(spoken), methods)
    return Spoken("mcp", _ids(spoken), methods, "initialize" in methods)


_MOST: Final = 1024


def _ids(messages: list[_Message]) -> tuple[str | int, ...]:
    return tuple(
        one.id
        for one in messages
        if isinstance(one.method, str) and (isinstance(one.id, str) or type(one.id) is int)
    )


def _is_mcp(message: _Message) -> bool:
    method = message.method
    if not isinstance(method, str):
        return False
    if method == "initialize":
        params = _params(message)
        return params is not None and isinstance(params.protocolVersion, str)
    if method.startswith("tasks/"):
        params = _params(message)
        return params is not None and params.taskId is not None
    return method in _OWN


def _is_a2a(message: _Message) -> bool:
    method = message.method
    found = a2a.METHODS.get(method) if isinstance(method, str) else None
    if found is None:
        return False
    params = _params(message)
    if params is None:
        return False
    if found in (a2a.Operation.SEND, a2a.Operation.STREAM):
        return a2a.is_message(params.message)
    return params.taskId is None or method not in a2a.SHARED


def _params(message: _Message) -> _Params | None:
    try:
        return _PARAMS(message.params)
    except msgspec.DecodeError:
        return None


def as_utf8(body: bytes) -> bytes:
    """Return a body in UTF-8, as a parser that guesses encodings would read it (RFC 4627, 3)."""
    if body.startswith(b"\xef\xbb\xbf"):
        return body[3:]
    encoding = ""
    for mark, name in _MARKS:
        if body.startswith(mark):
            encoding = name
    first = body[:4]
    if not encoding and len(first) == 4 and first.count(0):
        zeros = (not first[0], not first[1], not first[2], not first[3])
        encoding = {
            (True, True, True, False): "utf-32-be",
            (False, True, True, True): "utf-32-le",
            (True, False, True, False): "utf-16-be",
            (False, True, False, True): "utf-16-le",
        }.get(zeros, "")
    if not encoding and body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    return body.decode(encoding).encode("utf-8", "replace") if encoding else body


def fields_of(fields: tuple[Field, ...]) -> dict[bytes, bytes]:
    """Return the fields that speak for MCP, by their lower-case names; the last of a name."""
    return {lower: value for _, lower, value in fields if lower in _FIELDS}


def is_json(fields: tuple[Field, ...]) -> bool:
    """Tell whether the fields say that the content is JSON."""
    return any(
        lower == b"content-type"
        and value.partition(b";")[0].strip(b" \t").lower() == b"application/json"
        for _, lower, value in fields
    )
