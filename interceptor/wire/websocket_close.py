"""Closing a WebSocket: status codes, close payloads, and the error that ends a connection.

RFC 6455 section 7.4; codes registered later (1012 to 1014) are those of the IANA registry.
"""

from __future__ import annotations

from typing import Final

from interceptor.verdict import Reason

GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
INVALID_DATA: Final = 1007
POLICY_VIOLATION: Final = 1008
TOO_BIG: Final = 1009
UNEXPECTED: Final = 1011
"""To the agent when upstream is at fault; 1014 (bad gateway) is refused by some browsers."""

MAX_REASON: Final = 123
"""Bytes of a close reason: a control frame's 125, less the code."""

_VALID: Final = frozenset((*range(1000, 1004), *range(1007, 1015)))


class WebSocketError(ValueError):
    """The peer broke the protocol, or sent more than is read.

    Attributes:
        code: close code that says so to the peer.
        reason: reason code of ours; says whose fault it is.
        detail: one clause for people, without bytes of the peer.
    """

    def __init__(self, code: int, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.reason = reason
        self.detail = detail


def is_valid_code(code: int) -> bool:
    """Tell whether a close frame may carry `code` (RFC 6455 section 7.4.2)."""
    return code in _VALID or 3000 <= code <= 4999


def check_close(payload: bytes, fault: Reason) -> None:
    """Check the payload of a close frame; `fault` is the reason code of an error.

    Raises:
        WebSocketError: half a code, a code that may not be sent, or a reason that is not UTF-8.
    """
    if not payload:
        return
    if len(payload) == 1:
        raise WebSocketError(PROTOCOL_ERROR, fault, "a close frame with half a code")
    if not is_valid_code(int.from_bytes(payload[:2], "big")):
        raise WebSocketError(PROTOCOL_ERROR, fault, "a close code that may not be sent")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise WebSocketError(INVALID_DATA, fault, "a close reason that is not UTF-8") from None


def close_payload(code: int, reason: str = "") -> bytes:
    """Write a close payload; a reason that is too long is cut at a character."""
    text = reason.encode()[:MAX_REASON].decode("utf-8", "ignore").encode()
    return code.to_bytes(2, "big") + text
