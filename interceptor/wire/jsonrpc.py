"""JSON-RPC 2.0, read so strictly that every reader sees the same message.

What two parsers would read differently is refused: a key that stands twice (RFC 8259 section 4),
a key that only differs in case from one of the envelope (some parsers fold case), a message that is
a request and a response at once, numbers that do not survive a double, half a surrogate pair. What
passes is sent on as it was encoded here, not as it came.
"""

from __future__ import annotations

import enum
import json
import math
from typing import Any, Final, NoReturn

import msgspec

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600

MAX_DEPTH: Final = 64
"""Levels of arrays and objects in a message."""
MAX_BATCH: Final = 256
"""Messages in a batch."""
MAX_ID: Final = 256
"""Characters of an id that is a string, and of a method's name."""

_SAFE_INTEGER: Final = 1 << 53  # beyond it two numbers may be one double (RFC 8259 section 6)
_DIGITS: Final = 64  # of a number that is read at all
_BLANKS: Final = b" \t\r\n"
_ENVELOPE: Final = frozenset(("jsonrpc", "id", "method", "params", "result", "error"))
_ERROR: Final = frozenset(("code", "message", "data"))

_DECODE = msgspec.json.Decoder().decode
_ENCODE = msgspec.json.Encoder().encode


class JsonRpcError(ValueError):
    """Not a message of JSON-RPC 2.0, or one that parsers may read differently.

    Attributes:
        code: `PARSE_ERROR` or `INVALID_REQUEST`.
        id: id of the request that must be answered, where it is known.
    """

    def __init__(self, code: int, detail: str, ident: str | int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.id = ident


class MessageKind(enum.Enum):
    """Kinds of messages (JSON-RPC 2.0 sections 4 and 5)."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESULT = "result"
    ERROR = "error"


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message."""

    kind: MessageKind
    value: dict[str, Any]
    """All of it, as decoded."""
    id: str | int | None = None
    """None for notifications, and for errors that name no request."""
    method: str = ""
    """Empty for responses."""

    @property
    def params(self) -> dict[str, Any] | list[Any]:
        """Parameters; an empty object where there are none."""
        found = self.value.get("params")
        return {} if found is None else found

    @property
    def content(self) -> Any:
        """What it carries: parameters, the result, or the error object."""
        if self.kind is MessageKind.RESULT:
            return self.value["result"]
        if self.kind is MessageKind.ERROR:
            return self.value["error"]
        return self.params

    def encode(self) -> bytes:
        """Return its bytes as they are sent on, without an end of line."""
        return _ENCODE(self.value)


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What one unit of a transport holds: a line of stdio, a body, an event."""

    messages: tuple[Message, ...]
    single: bool
    """False for an array (JSON-RPC 2.0 section 6); revision 2025-06-18 of MCP dropped them."""

    def encode(self) -> bytes:
        """Return its bytes as they are sent on, without an end of line."""
        if self.single:
            return self.messages[0].encode()
        return _ENCODE([message.value for message in self.messages])


def read(data: bytes) -> Batch:
    """Read one message or a batch.

    Args:
        data: UTF-8 without a byte order mark; blanks around it are let be.

    Raises:
        JsonRpcError: see there.
    """
    try:
        value = _DECODE(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise JsonRpcError(PARSE_ERROR, "not JSON") from None
    except RecursionError:
        raise JsonRpcError(PARSE_ERROR, f"more than {MAX_DEPTH} levels") from None
    if isinstance(value, dict):
        batch = Batch((_message(value),), single=True)
    elif isinstance(value, list):
        if not value:
            raise JsonRpcError(INVALID_REQUEST, "an empty batch")
        if len(value) > MAX_BATCH:
            raise JsonRpcError(INVALID_REQUEST, f"more than {MAX_BATCH} messages in a batch")
        batch = Batch(tuple(map(_message, value)), single=False)
    else:
        raise JsonRpcError(INVALID_REQUEST, "neither an object nor an array")
    # What is encoded again byte for byte has lost nothing, so that no key stood twice; nearly all
    # that libraries write does. The rest is read once more, by a parser that shows all it meets.
    encoded = batch.encode()
    if encoded != data and encoded != data.strip(_BLANKS):
        _read_closely(data)
    if _too_deep([message.value for message in batch.messages], encoded):
        raise JsonRpcError(PARSE_ERROR, f"more than {MAX_DEPTH} levels")
    return batch


def read_value(data: bytes) -> Any:
    """Read JSON that is no message, as strictly.

    Raises:
        JsonRpcError: `PARSE_ERROR`, not JSON, or such as parsers may read differently.
    """
    try:
        value = _DECODE(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise JsonRpcError(PARSE_ERROR, "not JSON") from None
    except RecursionError:
        raise JsonRpcError(PARSE_ERROR, f"more than {MAX_DEPTH} levels") from None
    encoded = _ENCODE(value)
    if encoded not in (data, data.strip(_BLANKS)):
        _read_closely(data)
    if _too_deep([value], encoded):
        raise JsonRpcError(PARSE_ERROR, f"more than {MAX_DEPTH} levels")
    return value


def _message(value: Any) -> Message:
    if not isinstance(value, dict):
        raise JsonRpcError(INVALID_REQUEST, "a message that is no object")
    if value.get("jsonrpc") != "2.0":
        raise JsonRpcError(INVALID_REQUEST, "jsonrpc is not 2.0")
    refuse_lookalikes(value, _ENVELOPE)
    ident = value.get("id")
    if type(ident) is int:
        if not -_SAFE_INTEGER < ident < _SAFE_INTEGER:
            raise JsonRpcError(INVALID_REQUEST, "an id beyond 53 bits")
    elif isinstance(ident, str):
        if len(ident) > MAX_ID or "\0" in ident:
            raise JsonRpcError(INVALID_REQUEST, "an id that is too long, or holds NUL")
    elif ident is not None:
        raise JsonRpcError(INVALID_REQUEST, "an id that is neither a string nor an integer")
    method = value.get("method")
    if method is not None:
        return _call(value, method, ident)
    result, error = "result" in value, "error" in value
    if result == error or "params" in value:
        raise JsonRpcError(INVALID_REQUEST, "not exactly one of method, result and error", ident)
    if result:
        if ident is None:
            raise JsonRpcError(INVALID_REQUEST, "a result without an id")
        return Message(MessageKind.RESULT, value, ident)
    fault = value["error"]
    if not isinstance(fault, dict) or type(fault.get("code")) is not int:
        raise JsonRpcError(INVALID_REQUEST, "an error without a code", ident)
    if not isinstance(fault.get("message"), str):
        raise JsonRpcError(INVALID_REQUEST, "an error without a message", ident)
    refuse_lookalikes(fault, _ERROR)
    return Message(MessageKind.ERROR, value, ident)


def _call(value: dict[str, Any], method: Any, ident: str | int | None) -> Message:
    if not isinstance(method, str) or not method or len(method) > MAX_ID:
        raise JsonRpcError(INVALID_REQUEST, "a method that is no name", ident)
    if not method.isprintable():
        raise JsonRpcError(INVALID_REQUEST, "a method with invisible characters", ident)
    if "result" in value or "error" in value:
        raise JsonRpcError(INVALID_REQUEST, "a call and a response at once", ident)
    if not isinstance(value.get("params", {}), dict | list | None):
        raise JsonRpcError(INVALID_REQUEST, "params that are no structure", ident)
    if "id" not in value:
        return Message(MessageKind.NOTIFICATION, value, None, method)
    if ident is None:
        raise JsonRpcError(INVALID_REQUEST, "a request whose id is null")
    return Message(MessageKind.REQUEST, value, ident, method)


def refuse_lookalikes(value: dict[str, Any], names: frozenset[str]) -> None:
    """Refuse keys that a parser which disregards case would take for one of `names`.

    Go's encoding/json is such a one; it folds by Unicode's simple rules, as `str.casefold` does.

    Raises:
        JsonRpcError: there is one.
    """
    for key in value:
        if key not in names and (key.casefold() in names or key.strip().casefold() in names):
            raise JsonRpcError(INVALID_REQUEST, "a key that differs from a known one in case only")


def _read_closely(data: bytes) -> None:
    """Refuse what `msgspec` takes without a word."""
    try:
        json.loads(
            data,
            object_pairs_hook=_no_twins,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except JsonRpcError:
        raise
    except (ValueError, RecursionError):
        raise JsonRpcError(PARSE_ERROR, "not JSON that all parsers read alike") from None


def _no_twins(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise JsonRpcError(PARSE_ERROR, "a key stands twice in an object")


def _integer(text: str) -> None:
    if len(text) > _DIGITS:
        raise JsonRpcError(PARSE_ERROR, "a number of too many digits")


def _float(text: str) -> None:
    if len(text) > _DIGITS or not math.isfinite(float(text)):
        raise JsonRpcError(PARSE_ERROR, "a number that is too large, or of too many digits")


def _constant(_text: str) -> NoReturn:
    raise JsonRpcError(PARSE_ERROR, "not a number of JSON")


def _too_deep(level: list[Any], encoded: bytes) -> bool:
    """Say whether there are more than `MAX_DEPTH` levels."""
    if encoded.count(b"{") + encoded.count(b"[") <= MAX_DEPTH:
        return False  # not even if each stood within the one before
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True
