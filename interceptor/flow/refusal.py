"""Refusals: answers that an agent, and the person behind it, can understand and act on."""

from __future__ import annotations

from typing import Final

import msgspec

from interceptor.decide.hints import HINTS
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire.http1 import Field, Framing, ResponseHead
from interceptor.wire.proxy_credentials import CHALLENGES

_PHRASES: Final = {200: "OK", 400: "Bad Request", 403: "Forbidden"} | {
    407: "Proxy Authentication Required",
    421: "Misdirected Request",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
# What is not the policy's doing has a status that clients treat as a fault, not as a refusal.
_STATUS: Final = {
    Reason.HTTP_MALFORMED: 400,
    Reason.PROXY_UNAUTHORIZED: 407,
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

_GRPC_CODES: Final = {400: 13, 403: 7, 407: 16, 421: 7, 502: 14, 503: 14, 504: 4}
"""INTERNAL, PERMISSION_DENIED, UNAUTHENTICATED, UNAVAILABLE, DEADLINE_EXCEEDED (gRPC)."""
_GRPC_UNAVAILABLE: Final = 14


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


def refusal(
    verdict: Verdict,
    target: Target,
    flow: str,
    *,
    status: int = 0,
    grpc: bool = False,
    reply: bytes = b"",
) -> tuple[ResponseHead, bytes]:
    """Make the response for a verdict that is not ALLOW: its head and its content.

    Args:
        verdict: what was decided.
        target: where the request wanted to go.
        flow: id to find the event by.
        status: HTTP status if it is not that of the reason code.
        grpc: answer a call of gRPC: its status stands in the head, and there is no content.
        reply: the content in the request's own terms, JSON: an error of JSON-RPC, which is an
            answer as any other (200).
    """
    status = status or status_of(verdict.reason)
    reason = verdict.reason.value.encode("ascii")
    fields = [_field(b"Cache-Control", b"no-store"), _field(b"X-Egressguard-Reason", reason)]
    if grpc:
        fields += [_field(b"Content-Type", b"application/grpc"), *grpc_status(verdict)]
        return _head(200, fields, Framing.NONE, 0), b""
    content = reply or msgspec.json.encode(explain(verdict, target, flow)) + b"\n"
    status = 200 if reply else status
    fields.append(_field(b"Content-Type", b"application/json"))
    return _head(status, fields, Framing.LENGTH, len(content)), content


def explain(verdict: Verdict, target: Target, flow: str) -> Explanation:
    """Say what was decided, for the agent to read."""
    return Explanation(
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


def grpc_status(verdict: Verdict) -> list[Field]:
    """Give the trailers that end a call of gRPC which was refused, or cut."""
    code = _GRPC_CODES.get(status_of(verdict.reason), _GRPC_UNAVAILABLE)
    text = f"egressguard: {verdict.reason.value}: {verdict.detail}. {HINTS.get(verdict.reason, '')}"
    message = b"".join(
        b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        for byte in text.encode()
    )
    return [_field(b"grpc-status", b"%d" % code), _field(b"grpc-message", message)]


def _field(name: bytes, value: bytes) -> Field:
    return name, name.lower(), value


def _head(status: int, fields: list[Field], framing: Framing, length: int) -> ResponseHead:
    return ResponseHead(
        status=status,
        phrase=_PHRASES[status].encode("ascii"),
        minor=1,
        fields=tuple(fields),
        framing=framing,
        length=length,
        keep_alive=True,
        connection=frozenset(),
        challenges=CHALLENGES if status == 407 else (),
    )
