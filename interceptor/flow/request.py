"""One request: what it asks for, whether that is the connection's identity, how it is judged."""

from __future__ import annotations

from typing import Final

from interceptor.decide.judge import Judge
from interceptor.flow.channel import Upgrade
from interceptor.flow.context import FlowContext, Identity
from interceptor.flow.tunnel import bad_name, identify, is_address, tunnel
from interceptor.flow.websocket import WebSocketUpgrade
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire.authority import (
    Authority,
    default_port,
    parse_authority,
    parse_target,
    refuse_dot_segments,
)
from interceptor.wire.content import content_codings
from interceptor.wire.http1 import Framing, HttpError, RequestHead, write_request
from interceptor.wire.proxy_credentials import without
from interceptor.wire.websocket_handshake import wants_websocket

_DROPPED: Final = frozenset((b"h2c", b"tls/1.2", b"tls/1.0"))


class Request:
    """A request of one exchange.

    Attributes:
        head: as parsed.
        target: where it goes: the identity of the connection, or what a proxy client named.
        refused: a block that is decided before any content is looked at.
        tunnel: the identity inside, for an acceptable CONNECT.
        upgrade: the protocol that the agent would change to, where it can be relayed.
        path: as it will be sent, origin-form.
        authority: as it will be sent.
        process: path of the program that asks, empty where it is not known.
    """

    __slots__ = ("authority", "head", "path", "process", "refused", "target", "tunnel", "upgrade")

    def __init__(
        self,
        head: RequestHead,
        target: Target,
        path: bytes,
        *,
        refused: Verdict | None = None,
        tunnel: Identity | None = None,
        upgrade: Upgrade | None = None,
    ) -> None:
        self.head = head
        self.target = target
        self.refused = refused
        self.tunnel = tunnel
        self.upgrade = upgrade
        self.path = path
        self.process = ""
        self.authority = target.authority.encode("ascii")

    def judge(self, judge: Judge, body: bytes) -> Verdict:
        """Judge head and body, the body as received."""
        head = self.head
        fields = [(lower, value) for _, lower, value in head.fields]
        codings = content_codings(head.codings) if body else ()
        return judge.request(self.target, head.raw, fields, body, codings, self.process)

    def wire_head(self) -> bytes:
        """Bytes of the head for upstream, in HTTP/1.1."""
        if self.upgrade is not None:
            return self.upgrade.wire_head(self.path, self.authority)
        return write_request(self.head, self.path, self.authority)


def read_target(head: RequestHead, context: FlowContext, identity: Identity, now: float) -> Request:
    """Find the target of `head` and hold it against the identity of the connection.

    Raises:
        HttpError: when the target or the Host field is malformed, or they disagree.
    """
    if context.door is not None and identity.depth == 0 and identity.proxying:
        request = _read_target(without(head), context, identity, now)
        if not context.door.admits(head):
            detail = "no credential of an agent of this proxy"
            request.refused = context.judge.refuse(Reason.PROXY_UNAUTHORIZED, detail)
            request.tunnel = None
    else:
        request = _read_target(head, context, identity, now)
    request.process = context.process()
    return request


def _read_target(
    head: RequestHead, context: FlowContext, identity: Identity, now: float
) -> Request:
    judge = context.judge
    if (
        head.host
        and head.host == identity.host_field
        and head.target[:1] == b"/"
        and head.upgrade is None
        and head.method != "CONNECT"
    ):
        # Almost every request: origin-form, and Host is the connection's own name as it stands.
        refuse_dot_segments(head.target)
        target = identity.target(head.method, head.target.decode("ascii"))
        return Request(head, target, head.target, refused=identity.refused)
    parsed = parse_target(head.method, head.target)
    if parsed.form == "authority":
        assert parsed.authority is not None  # noqa: S101
        return _connect(head, parsed.authority, context, identity, now)
    path = parsed.path
    text = path.decode("ascii")
    refused = identity.refused
    host = parse_authority(head.host) if head.host else None
    if parsed.authority is not None:
        named = _with_port(parsed.authority, parsed.scheme)
        if host is not None and _with_port(host, parsed.scheme) != named:
            raise HttpError(Reason.NAME_MISMATCH, "the request target and Host disagree")
        if identity.proxying and parsed.scheme == "http":
            return _proxied(head, named, path, context, identity, now)
        host = parsed.authority
        if parsed.scheme != identity.scheme:
            refused = judge.refuse(Reason.NAME_MISMATCH, "the target's scheme is another one")
    target = identity.target(head.method, text)
    if host is not None and refused is None:
        named = _with_port(host, identity.scheme)
        if named != Authority(identity.host, identity.port):
            refused = mismatch(judge, "Host", named.host, identity.host)
    refused = refused or _unknown_upgrade(head, judge)
    return Request(head, target, path, refused=refused, upgrade=_upgrade(head, judge))


def mismatch(judge: Judge, where: str, named: str, host: str) -> Verdict:
    """Refuse a name that is not the connection's; it is repeated only if it is clean."""
    said = named
    if not is_address(named):
        verdict = judge.name(named)
        if not verdict.allowed:
            return verdict
        if verdict.findings:  # let pass by policy, but not into a log
            said = "another host"
    detail = f"{where} names {said}, the connection was made for {host}"
    return judge.refuse(Reason.NAME_MISMATCH, detail)


def _with_port(authority: Authority, scheme: str) -> Authority:
    if authority.port is not None:
        return authority
    return Authority(authority.host, default_port(scheme))


def _proxied(
    head: RequestHead,
    named: Authority,
    path: bytes,
    context: FlowContext,
    identity: Identity,
    now: float,
) -> Request:
    """An absolute-form request of a client that believes it talks to a proxy."""
    port = named.port or 80
    inner = identify(context, "http", named.host, port, now)
    target = inner.target(head.method, path.decode("ascii"))
    refused = inner.refused
    if refused is None and (named.host, port) != (identity.host, identity.port):
        # The connection's own name was judged when it was asked for; this one is new.
        refused = bad_name(context.judge, inner.host)
    refused = refused or _unknown_upgrade(head, context.judge)
    return Request(head, target, path, refused=refused, upgrade=_upgrade(head, context.judge))


def _connect(
    head: RequestHead, named: Authority, context: FlowContext, identity: Identity, now: float
) -> Request:
    """CONNECT, answered by us: the bytes inside are another flow with its own identity."""
    assert named.port is not None  # noqa: S101
    inner = identify(context, "tcp", named.host, named.port, now)
    target = Target("tcp", inner.host, inner.port, "CONNECT", "")
    if head.framing is not Framing.NONE:
        raise HttpError(Reason.HTTP_MALFORMED, "CONNECT with a body")
    inside, refused = tunnel(context.judge, identity, inner)
    if refused is not None:
        return Request(head, target, b"", refused=refused)
    return Request(head, target, b"", tunnel=inside)


def _unknown_upgrade(head: RequestHead, judge: Judge) -> Verdict | None:
    """Refuse what an upgraded connection would carry unseen; an offer of h2c is just dropped."""
    if head.upgrade is None or wants_websocket(head) or head.upgrade.lower() in _DROPPED:
        return None
    return judge.refuse(Reason.HTTP_UNSUPPORTED, "an upgrade to another protocol is not relayed")


def _upgrade(head: RequestHead, judge: Judge) -> Upgrade | None:
    """Read the wish for a WebSocket.

    Raises:
        HttpError: it is malformed.
    """
    if head.upgrade is None or not wants_websocket(head):
        return None
    return WebSocketUpgrade(head, lambda target: judge.inbound_window("ws_message", target))
