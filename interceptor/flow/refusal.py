"""Refusals: answers that an agent, and the person behind it, can understand and act on."""

from __future__ import annotations

from typing import Final

import msgspec

from interceptor.decide.hints import HINTS
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict

_PHRASES: Final = {400: "Bad Request", 403: "Forbidden", 408: "Request Timeout"} | {
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
# What is not the policy's doing has a status that clients treat as a fault, not as a refusal.
_STATUS: Final = {
    Reason.HTTP_MALFORMED: 400,
    Reason.RESOLVE_FAILED: 502,
    Reason.CONNECT_FAILED: 502,
    Reason.CERTIFICATE_INVALID: 502,
    Reason.UPSTREAM_MALFORMED: 502,
    Reason.UPSTREAM_CLOSED: 502,
    Reason.TIMEOUT: 504,
    Reason.EVIDENCE_UNWRITABLE: 503,
    Reason.INTERNAL_ERROR: 503,
}
_RETRY: Final = frozenset(
    (Reason.RESOLVE_FAILED, Reason.CONNECT_FAILED, Reason.UPSTREAM_CLOSED, Reason.TIMEOUT)
)


class Explanation(msgspec.Struct, frozen=True, gc=False):
    """The JSON body of a refusal. Its keys are part of the interface."""

    error: str
    reason: str
    host: str
    rule: str
    detail: str
    where: tuple[str, ...]
    hint: str
    retry: bool
    flow: str


def status_of(reason: Reason) -> int:
    """HTTP status for a reason code: 403 unless the fault lies in the message or upstream."""
    return _STATUS.get(reason, 403)


def refusal(verdict: Verdict, target: Target, flow: str, *, close: bool, body: bool) -> bytes:
    """Write the response for a verdict that is not ALLOW.

    Args:
        verdict: what was decided.
        target: where the request wanted to go.
        flow: id to find the event by.
        close: say that the connection ends here.
        body: False for HEAD, whose response has none (RFC 9110 section 9.3.2).
    """
    explanation = Explanation(
        error="egressguard",
        reason=verdict.reason.value,
        host=target.host,
        rule=verdict.rule,
        detail=verdict.detail,
        where=tuple(dict.fromkeys(f.where for f in verdict.findings if not f.home)),
        hint=HINTS.get(verdict.reason, ""),
        retry=verdict.reason in _RETRY,
        flow=flow,
    )
    content = msgspec.json.encode(explanation) + b"\n"
    status = status_of(verdict.reason)
    return (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\n"
        "Content-Type: application/json\r\n"
        "Cache-Control: no-store\r\n"
        f"X-Egressguard-Reason: {verdict.reason.value}\r\n"
        f"Content-Length: {len(content)}\r\n"
        f"{'Connection: close' + chr(13) + chr(10) if close else ''}\r\n"
    ).encode("ascii") + (content if body else b"")
