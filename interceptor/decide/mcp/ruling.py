"""What is done with one message of a conversation."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interceptor.decide.hints import HINTS
from interceptor.verdict import Verdict

REFUSED: Final = -32080
"""Code of errors that say a message was refused (JSON-RPC 2.0 section 5.1: -32000 to -32099 are
left to implementations; the MCP specification takes some near -32000 and -32042)."""

_ENCODE: Final = msgspec.json.Encoder().encode


class Ruling(msgspec.Struct, frozen=True, gc=False):
    """What is done with one unit of a transport: a line, a body, an event."""

    verdict: Verdict | None = None
    """None: nothing to record."""
    forward: bytes | None = None
    """Goes on to the other side, the same object where nothing was changed; None: nothing does."""
    answer: bytes | None = None
    """Goes back to the side that has sent it; None: nothing does."""
    method: str = ""
    """Of the call, or of the call that is answered; "" where it is not known or may not be told."""
    tool: str = ""
    """Name of the tool that is called, or whose result this is."""


def error_response(ident: str | int | None, verdict: Verdict) -> dict[str, Any]:
    """Return the message that tells a side that something was refused.

    Args:
        ident: id of the request; None where it is not known.
        verdict: says why; it holds no bytes of a secret.
    """
    data = {"reason": verdict.reason.value, "rule": verdict.rule, "detail": verdict.detail}
    message = f"egressguard refused this: {verdict.detail or verdict.reason.value}. "
    error = {"code": REFUSED, "message": message + HINTS[verdict.reason], "data": data}
    return {"jsonrpc": "2.0", "id": ident, "error": error}


def encoded_error(ident: str | int | None, verdict: Verdict) -> bytes:
    """Return `error_response` as it is sent."""
    return _ENCODE(error_response(ident, verdict))
