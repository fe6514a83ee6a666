"""A conversation with a flow, without sockets: bytes and events in, what it did out.

The driver plays the server of `interceptor.serve`: it answers `Resolve` and `Dial` from tables,
lets an upstream script answer what is sent, and keeps every step in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Self, cast

from interceptor.decide.judge import Judge
from interceptor.decide.services import Endpoint, NamedServices
from interceptor.flow.context import FlowContext
from interceptor.flow.steps import (
    Close,
    Dial,
    EndUpstream,
    Finished,
    Record,
    Resolve,
    Step,
    Terminate,
    ToClient,
    ToUpstream,
)
from interceptor.flow.tcp_flow import TcpFlow
from interceptor.model import Origin, Target
from interceptor.policy.schema import Limits, TcpService
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire.content import ContentReader
from interceptor.wire.http1 import HttpError

ALLOW = Verdict(Action.ALLOW, Reason.ALLOWED)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class ScriptedWindow:
    """Holds the last `hold` bytes back and blocks when it sees `bad`."""

    def __init__(self, bad: bytes, hold: int = 8) -> None:
        self.bad = bad
        self.hold = hold
        self.tail = b""
        self.gone = 0
        self.findings = ()
        self.verdict: Verdict | None = None

    def feed(self, data: bytes) -> bytes:
        data = self.tail + data
        if self.bad in data:
            self.verdict = Verdict(Action.BLOCK, Reason.SECRET, "scripted")
            return b""
        cut = max(0, len(data) - self.hold)
        out, self.tail = data[self.gone : cut], data[cut:]
        self.gone = max(0, self.gone - cut)
        return out

    def flush(self) -> bytes:
        """The tail is released, and remembered."""
        out, self.gone = self.tail[self.gone :], len(self.tail)
        return out

    def finish(self) -> bytes:
        return self.flush()

    @property
    def waiting(self) -> bool:
        return self.gone < len(self.tail)


class ScriptedMessages:
    """Blocks the message with which `bad` is complete."""

    def __init__(self, bad: bytes) -> None:
        self.bad = bad
        self.said = b""

    def copy(self) -> ScriptedMessages:
        other = ScriptedMessages(self.bad)
        other.said = self.said
        return other

    def judge(self, message: bytes) -> Verdict | None:
        self.said += message
        found = self.bad in self.said
        return Verdict(Action.BLOCK, Reason.SECRET, "scripted") if found else None


class ScriptedDocument:
    """Judges content as a window does, piece by piece."""

    def __init__(self, window: Any) -> None:
        self._window = window
        self._verdict: Verdict | None = None
        self.place = SimpleNamespace(blocks=window.blocks)
        self.cuts: list[tuple[int, int]] = []

    def feed(self, data: bytes) -> None:
        self._verdict = self._verdict or self._window.judge(data)

    def finish(self) -> None:
        pass

    def verdict(self, *, partial: bool = False) -> Verdict | None:
        return self._verdict


class ScriptedJudge:
    """Blocks what contains `bad`, hosts in `denied` and addresses that start with `10.`."""

    def __init__(
        self,
        bad: bytes = b"SECRET",
        denied: Sequence[str] = (),
        services: Sequence[TcpService] = (),
        named: Mapping[str, str] | None = None,
    ) -> None:
        self.epoch = 1
        self.back: list[tuple[Verdict, bool]] = []
        self.named = NamedServices(named or {})
        self.bad = bad
        self.denied = denied
        self.services = {(service.host, service.port): service for service in services}

    def refuse(self, reason: Reason, detail: str = "", rule: str = "") -> Verdict:
        return Verdict(Action.BLOCK, reason, rule, detail)

    def name(self, name: str) -> Verdict:
        found = self.bad.decode().lower() in name
        return self.refuse(Reason.SECRET_IN_NAME) if found else ALLOW

    def connection(self, target: Target) -> Verdict:
        service = self.service(target)
        if self.endpoint(target) is not None:
            return ALLOW
        if target.port not in (80, 443) and (service is None or service.protocol != "any"):
            return self.refuse(Reason.PORT_NOT_ALLOWED)
        return self.refuse(Reason.HOST_DENIED) if target.host in self.denied else ALLOW

    def request(
        self,
        target: Target,
        head: bytes,
        fields: object,
        body: bytes,
        codings: tuple[bytes, ...] = (),
        process: str = "",
    ) -> Verdict:
        if codings:
            content = ContentReader(codings, 1 << 20)
            try:
                body = b"".join(content.feed(body))
                content.finish()
            except HttpError as error:
                return self.refuse(error.reason, error.detail)
        return self.refuse(Reason.SECRET) if self.bad in head or self.bad in body else ALLOW

    def service(self, target: Target) -> TcpService | None:
        return self.services.get((target.host, target.port))

    def endpoint(self, target: Target) -> Endpoint | None:
        return self.named.find(target.host, target.port)

    def stream(self, target: Target) -> Verdict:
        return self.refuse(Reason.HOST_DENIED) if target.host in self.denied else ALLOW

    def message_window(self, target: Target, where: str) -> ScriptedMessages:
        return ScriptedMessages(self.bad)

    def trailers(self, target: Target, fields: Sequence[tuple[bytes, bytes]]) -> Verdict:
        found = any(self.bad in value for _, value in fields)
        return self.refuse(Reason.SECRET) if found else ALLOW

    def upload_window(
        self, target: Target, fields: object, codings: tuple[bytes, ...] = ()
    ) -> ScriptedWindow:
        return ScriptedWindow(self.bad)

    def inbound_window(self, where: str, target: Target, *, apart: bool = True) -> Any:
        return None

    def holds_content(self, target: Target) -> bool | None:
        window = self.inbound_window("response", target)
        return None if window is None else window.blocks

    def inbound_document(
        self, target: Target, content_type: bytes, first: bytes
    ) -> ScriptedDocument | None:
        if content_type == b"application/octet-stream":
            return None
        return ScriptedDocument(self.inbound_window("response", target))

    def came_back(self, verdict: Verdict, target: Target, flow: str, *, seen: bool) -> None:
        self.back.append((verdict, seen))

    def tag(self, what: str) -> str:
        return "0a1b2c3d"

    def finds_nothing(self, target: Target, content_type: bytes, content: bytes) -> bool:
        window = self.inbound_window("response", target)
        return window is None or window.judge(content) is None

    def addresses(
        self, target: Target, found: Sequence[str], canonical: str = ""
    ) -> tuple[Verdict, tuple[str, ...]]:
        if canonical in self.denied:
            return self.refuse(Reason.HOST_DENIED), ()
        if self.endpoint(target) is not None:
            return ALLOW, tuple(found)
        if any(address.startswith("10.") for address in found):
            return self.refuse(Reason.ADDRESS_PRIVATE), ()
        return ALLOW, tuple(found)


class Conversation:
    """One connection, driven by hand.

    Attributes:
        steps: every step so far.
        upstreams: bytes sent to each upstream connection in turn.
        received: plaintext bytes the agent got.
    """

    def __init__(
        self,
        *,
        name: str = "api.example.com",
        address: str = "198.18.1.1",
        port: int = 80,
        judge: ScriptedJudge | None = None,
        limits: Limits | None = None,
        hosts: Mapping[str, tuple[str, ...]] | None = None,
        leases: Mapping[str, str] | None = None,
        answer: Callable[[bytes], bytes] | None = None,
        pooled: bool = False,
        conversations: Any = None,
    ) -> None:
        self.now = 1000.0
        self.steps: list[Step] = []
        self.upstreams: list[bytes] = []
        self.open = False
        self.received = b""
        self.hosts = hosts
        self.pooled = pooled
        self.answer = answer
        leased = dict(leases or {})
        context = FlowContext(
            Origin("jail", "f1", address, port, name),
            cast("Judge", judge or ScriptedJudge()),
            limits or Limits(),
            lambda text, now: leased.get(text, ""),
            conversations=conversations,
        )
        self.flow = TcpFlow(context, self.now)

    def say(self, *pieces: bytes) -> Self:
        """Bytes from the agent, a read for each piece."""
        for piece in pieces:
            if not self.flow.closed:
                self.act(self.flow.client_bytes(piece, self.now))
        return self

    def reply(self, *pieces: bytes) -> Self:
        """Bytes from upstream."""
        for piece in pieces:
            self.act(self.flow.upstream_bytes(piece, self.now))
        return self

    def act(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self.steps.append(step)
            if isinstance(step, ToClient):
                self.received += step.data
            elif isinstance(step, ToUpstream):
                assert self.open, "bytes for an upstream that is not there"
                self.upstreams[-1] += step.data
                if self.answer is not None:
                    self.act(self.flow.upstream_bytes(self.answer(step.data), self.now))
            elif isinstance(step, EndUpstream):
                self.open = False
            elif isinstance(step, Resolve):
                self._resolve(step)
            elif isinstance(step, Dial):
                self.open = True
                self.upstreams.append(b"")
                self.act(self.flow.connected(step.addresses[0], self.now, reused=False))

    def _resolve(self, step: Resolve) -> None:
        if self.pooled and not step.fresh:
            self.open = True
            self.upstreams.append(b"")
            self.act(self.flow.connected("192.0.2.7", self.now, reused=True))
            return
        if self.hosts is None:
            found: tuple[str, ...] = ("192.0.2.1",)
        elif step.target.host not in self.hosts:
            failed = self.flow.upstream_failed(Reason.RESOLVE_FAILED, "no such name", self.now)
            self.act(failed)
            return
        else:
            found = self.hosts[step.target.host]
        self.act(self.flow.resolved(found, self.now))

    # -- what came of it -----------------------------------------------------------------------

    @property
    def sent(self) -> bytes:
        """Everything any upstream got."""
        return b"".join(self.upstreams)

    @property
    def verdicts(self) -> list[tuple[bool, str]]:
        """Allowed or not, and the reason code, of each record."""
        found = [step.verdict for step in self.steps if isinstance(step, Record)]
        return [(verdict.allowed, verdict.reason.value) for verdict in found]

    @property
    def blocks(self) -> list[str]:
        """Reason codes of all blocks."""
        return [reason for allowed, reason in self.verdicts if not allowed]

    @property
    def details(self) -> list[str]:
        """Details of all blocks."""
        records = [step for step in self.steps if isinstance(step, Record)]
        return [record.verdict.detail for record in records if not record.verdict.allowed]

    @property
    def finished(self) -> list[Finished]:
        return [step for step in self.steps if isinstance(step, Finished)]

    @property
    def closed(self) -> Close | None:
        last = self.steps[-1] if self.steps else None
        return last if isinstance(last, Close) else None

    @property
    def terminated(self) -> list[str]:
        return [step.name for step in self.steps if isinstance(step, Terminate)]

    @property
    def statuses(self) -> list[int]:
        """Status codes the agent got."""
        return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.received)]

    @property
    def explanation(self) -> dict[str, Any]:
        """JSON body of the last refusal."""
        start = self.received.rindex(b'{"error"')
        found: dict[str, Any] = json.loads(self.received[start:].split(b"\n")[0])
        return found


def get(path: str = "/", host: str = "api.example.com", extra: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (path.encode(), host.encode(), extra)


def post(body: bytes, extra: bytes = b"", host: str = "api.example.com") -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n%b\r\n"
    return head % (host.encode(), len(body), extra) + body
