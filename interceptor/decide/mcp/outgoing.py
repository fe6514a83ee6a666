"""Judging what a client says: calls of tools above all, and its answers to the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.arguments import Asked, asked
from interceptor.decide.mcp.budgets import digest_of
from interceptor.decide.mcp.capabilities import Capability, is_url
from interceptor.decide.mcp.command_flows import Refused
from interceptor.decide.mcp.pins import PinBook, visible
from interceptor.decide.mcp.session import Server, Session
from interceptor.decide.mcp.texts import passages, steers
from interceptor.decide.mcp.tool_policy import Decided, ask_value
from interceptor.decide.shell.commands import Command
from interceptor.decide.urls import Host, Url, read_host, read_url
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire import mcp
from interceptor.wire.fields import HttpError
from interceptor.wire.jsonrpc import Message, MessageKind
from interceptor.wire.mcp import ToolCall

_URLS: Final = 64
"""URLs of one call that are looked at; a call with more is refused."""
_LOCAL: Final = frozenset((
    "localhost", "localhost6", "ip6-localhost", "ip6-loopback", "host.docker.internal",
    "gateway.docker.internal", "host.containers.internal",
))  # fmt: skip
_FILES: Final = 16
_NAME: Final = 80
_ENCODE: Final = msgspec.json.Encoder().encode
_STRANGERS: Final = Capability.FETCH | Capability.SEND


class Said(NamedTuple):
    """What is to be said of a call."""

    verdict: Verdict | None
    tool: str = ""
    note: Any = None
    """For when the result comes: what the call asked for."""
    forward: bytes | None = None
    """What goes on instead; None: as it came."""


class Note(NamedTuple):
    """What is kept of a call until its result comes."""

    ask: Asked
    same: bytes
    """Digest of it."""


_PASSED: Final = Said(None)


class Outgoing:
    """Judges what a client says to one server."""

    def __init__(
        self, judge: Judge, target: Target, server: Server, session: Session, pins: PinBook
    ) -> None:
        """Begin; see `interceptor.decide.mcp.conversation.Conversation`."""
        self._judge = judge
        self._target = target
        self._server = server
        self._session = session
        self._pins = pins

    def secrets(self, data: bytes) -> Verdict | None:
        """Judge the credentials in all that is said, keys and values, at any depth."""
        return self._judge.message_window(self._target, "arguments").judge(data)

    def call(self, message: Message, now: float) -> Said:
        """Judge a request or a notification.

        Raises:
            JsonRpcError: it is a call of a tool that parsers may read differently.
        """
        if message.method == "resources/read":
            return self._resource(message, now)
        if message.method != "tools/call" or message.kind is not MessageKind.REQUEST:
            return _PASSED
        call = mcp.tool_call(message)
        ask = asked(call.name, call.arguments, self._server.tools.get(call.name))
        decided = self._session.policy(self._judge.policy).decide(
            self._server.name, call.name, ask.leaves, self._judge
        )
        verdict, forward = self._by_policy(decided, call, message, now)
        if verdict is not None:
            return Said(verdict, call.name)
        name = call.name
        if decided is not None and decided.action == "redirect":
            name = decided.to
            call = ToolCall(name, call.arguments)
            ask = asked(name, call.arguments, self._server.tools.get(name))
        verdict = self._pinned(name)
        if verdict is not None and not verdict.allowed:
            return Said(verdict, name)
        found = self._arguments(call, ask, now)
        if found is None or (found.allowed and verdict is not None):
            found = verdict or found
        note = Note(ask, digest_of(name, call.arguments))
        return Said(found, name, note, forward)

    def _resource(self, message: Message, now: float) -> Said:
        """Judge a resource that is read: a file, or a URL that the server is to ask."""
        params = message.params
        uri = params.get("uri") if isinstance(params, dict) else None
        if not isinstance(uri, str):
            return _PASSED
        ask = asked("read_resource", {"url": uri} if is_url(uri) else {"path": uri})
        hosts: list[str] = []
        verdict = self._url(uri, hosts) if is_url(uri) else None
        if verdict is not None and not verdict.allowed:
            return Said(verdict)
        if self._judge.policy.mcp.chains.findings != "off":
            found = chain_verdict(self._judge, self._session, ask, (), hosts, now)
            verdict = found or verdict
        return Said(verdict)

    def _by_policy(
        self, decided: Decided | None, call: ToolCall, message: Message, now: float
    ) -> tuple[Verdict | None, bytes | None]:
        """Return a refusal that the policy wants, or the message that it makes of the call."""
        if decided is None or decided.action == "allow":
            return None, None
        judge, name = self._judge, self._server.name
        if decided.action == "deny":
            detail = decided.say or f"the policy denies this call of {visible(call.name, _NAME)}"
            return judge.refuse(Reason.TOOL_DENIED, detail, decided.rule), None
        if decided.action == "ask":
            code = digest_of(call.name, call.arguments).hex()[:8]
            entry = f"{call.name}#{code}"
            if self._pins.granted(name, entry, ask_value(call.name, call.arguments), now):
                return None, None
            how = f"egressguard mcp pins approve {name} {visible(entry, _NAME)}"
            detail = f"{decided.say or 'this call has to be approved'}: {how}"
            return judge.refuse(Reason.TOOL_UNAPPROVED, detail, decided.rule), None
        value = dict(message.value)
        value["params"] = {**value["params"], "name": decided.to}
        return None, _ENCODE(value)

    def _pinned(self, name: str) -> Verdict | None:
        refused = self._server.refused.get(name)
        changes = self._judge.policy.mcp.definitions.changes
        if refused is not None and refused.reason is Reason.TOOL_CHANGED:
            pin = self._pins.get(self._server.name, name)
            if pin is not None and pin.pending is None:
                # Approved since, which the client need not ask for another list to learn.
                del self._server.refused[name]
                refused = None
        if refused is None and changes != "off" and self._pins.changed(self._server.name, name):
            detail = "its definition was not approved yet"
            record = changes == "record"
            refused = self._judge.tell(Reason.TOOL_CHANGED, detail, record=record)
        return refused

    def _arguments(self, call: ToolCall, ask: Asked, now: float) -> Verdict | None:
        """Judge what a call asks for; what refuses comes before what is only noted."""
        policy = self._judge.policy.mcp
        noted: Verdict | None = None
        hosts: list[str] = []
        commands: list[Command] = []
        for verdict in self._each(call, ask, hosts, commands):
            if verdict is not None:
                if not verdict.allowed:
                    return verdict
                noted = noted or verdict
        meter, server = self._session.meter, self._server.name
        spent = meter.look(policy.budgets, server, call.name, call.arguments, hosts, now)
        if spent is not None:
            return self._judge.refuse(Reason.TOOL_BUDGET, spent.detail, spent.rule)
        if policy.chains.findings == "off":
            return noted
        verdict = chain_verdict(self._judge, self._session, ask, commands, hosts, now)
        return verdict or noted

    def _each(
        self, call: ToolCall, ask: Asked, hosts: list[str], commands: list[Command]
    ) -> Iterator[Verdict | None]:
        if len(ask.urls) + len(ask.hosts) > _URLS:
            detail = f"more than {_URLS} URLs in a call"
            yield self._judge.refuse(Reason.LIMIT_EXCEEDED, detail)
        for text in ask.urls:
            yield self._url(text, hosts)
        if ask.can & _STRANGERS:
            for text in ask.hosts:
                yield self._host(text, hosts)
        for text in ask.commands:
            yield self._command(text, commands)
        for text in ask.guessed:
            yield self._command(text, commands, sure=False)
        for text in ask.code:
            yield self._refused(self._session.rules.judge_code(text))
        if ask.can & Capability.WRITE and ask.content:
            content = "\n".join(ask.content)
            for path in ask.paths[:_FILES]:
                yield self._refused(self._session.rules.judge_write(path, content))
        yield self._instructions(call.arguments)

    def _url(self, text: str, hosts: list[str]) -> Verdict | None:
        return url_verdict(self._judge, text, hosts)

    def _host(self, text: str, hosts: list[str]) -> Verdict | None:
        """Judge a host that a tool is to reach."""
        try:
            host: Host = read_host(text.strip().encode("utf-8", "surrogateescape"))
        except (HttpError, UnicodeError):
            return None  # no host, whatever it is
        if host.name and "." not in host.canonical:
            return None
        target = Target("https", host.canonical, 443)
        verdict = self._judge.connection(target)
        if not self._judge.named(target):
            hosts.append(target.host)
        return None if verdict.reason is Reason.ALLOWED else verdict

    def _command(self, text: str, commands: list[Command], *, sure: bool = True) -> Verdict | None:
        refused, found = self._session.rules.judge(text)
        commands += found
        if refused is not None and not sure and refused.kind == "unreadable":
            return None
        return self._refused(refused)

    def _refused(self, refused: Refused | None) -> Verdict | None:
        policy = self._judge.policy.mcp.commands
        if refused is None or policy.findings == "off" or refused.rule in policy.exempt:
            return None
        rule = f"mcp.commands:{refused.rule}"
        record = policy.findings == "record"
        return self._judge.tell(Reason.TOOL_COMMAND, refused.title, rule, record=record)

    def _instructions(self, arguments: dict[str, Any]) -> Verdict | None:
        """Judge text that others read later: what steers an agent has no place in it."""
        found = passages(arguments, self._judge)
        if not found:
            return None
        score, verdict = self._judge.passages(self._target, "arguments", found)
        return verdict if steers(self._judge, score, verdict) else None


def url_verdict(judge: Judge, text: str, hosts: list[str] | None = None) -> Verdict | None:
    """Judge a URL that somebody is to ask as if the agent asked it itself.

    Args:
        judge: of the agent.
        text: the URL.
        hosts: gets its host, unless the operator has named that.

    Returns:
        None: nothing is to be said of it.
    """
    try:
        url: Url = read_url(text.encode("utf-8", "surrogateescape"))
    except (HttpError, UnicodeError) as error:
        reason = error.reason if isinstance(error, HttpError) else Reason.NAME_INVALID
        return judge.refuse(reason, "a URL that a tool or an agent is to ask")
    target = url.target
    if _is_local(target.host) and not judge.named(target):
        # Who resolves the name is the tool; it means the machine that the tool runs on.
        refused = judge.connection(msgspec.structs.replace(target, host="127.0.0.1"))
        if not refused.allowed:
            return refused
    authority = target.authority.encode()
    head = b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target.path.encode(), authority)
    verdict = judge.request(target, head, ((b"host", authority),), b"")
    if hosts is not None and not judge.named(target):
        hosts.append(target.host)
    return None if verdict.reason is Reason.ALLOWED else verdict


def _is_local(host: str) -> bool:
    """Tell whether a name stands for the machine that resolves it (RFC 6761 section 6.3)."""
    return host.endswith((".localhost", ".localdomain")) or host in _LOCAL


def chain_verdict(
    judge: Judge,
    session: Session,
    ask: Asked,
    commands: Sequence[Command],
    hosts: Sequence[str],
    now: float,
) -> Verdict | None:
    """Judge a call with those before it, and remember it where it passes."""
    chains, policy = session.chains, judge.policy.mcp.chains
    fault = chains.look(ask, commands, hosts, now)
    verdict: Verdict | None = None
    if fault is not None and fault.rule not in policy.exempt:
        rule = f"mcp.chains:{fault.rule}"
        record = policy.findings == "record"
        verdict = judge.tell(Reason.TOOL_CHAIN, fault.detail, rule, record=record)
    if verdict is None or verdict.allowed:
        chains.keep(ask, commands, hosts)
    return verdict
