"""The door of the explicit proxy: which agent has connected, before anything of it is judged.

Reads no more of a connection than tells who asks: the head of its first HTTP request, or the start
of a SOCKS5 negotiation with user and password (RFC 1929). SOCKS4 has no password. What is behind
the door is a `TcpFlow` of the agent's, which gets the bytes as they came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec

from interceptor.flow.refusal import refusal
from interceptor.model import Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire.http1 import HttpError, read_request, write_response
from interceptor.wire.proxy_credentials import Credential, credential

Agent = TypeVar("Agent")

_SOCKS5: Final = 5
_BY_PASSWORD: Final = 2
_GREETING: Final = b"\x05\x01\x00"
_GREETED: Final = 2


class Admitted(msgspec.Struct, Generic[Agent], frozen=True, gc=False):
    """An agent of this proxy has connected."""

    agent: Agent
    rest: bytes
    """What its flow is to be given."""
    skip: int = 0
    """Bytes of the flow's first answer that the client has had already."""


class Turned(msgspec.Struct, frozen=True, gc=False):
    """Somebody else has: say `reply`, and close."""

    verdict: Verdict
    reply: bytes


class ProxyDoor(Generic[Agent]):
    """Reads the beginning of one connection.

    Attributes:
        reply: to be sent now; empty it.
    """

    __slots__ = ("_data", "_find", "_limits", "_read", "_target", "reply")

    def __init__(
        self, find: Callable[[Credential | None], Agent | None], limits: Limits, target: Target
    ) -> None:
        """Ask `find` whose a credential is; `target` is the proxy, for what is said of it."""
        self._find = find
        self._limits = limits
        self._target = target
        self._data = b""
        self._read = self._first
        self.reply = b""

    def feed(self, data: bytes) -> Admitted[Agent] | Turned | None:
        """Take bytes; None: more are needed."""
        self._data += data
        return self._read()

    def _first(self) -> Admitted[Agent] | Turned | None:
        first = self._data[0] if self._data else -1
        if first == _SOCKS5:
            self._read = self._methods
        elif 0x41 <= first <= 0x5A or first == 0x0D:  # a method's letter, or an empty line
            self._read = self._http
        elif first >= 0:
            return Turned(_verdict("neither HTTP nor SOCKS5 with a password"), b"")
        return self._read() if first >= 0 else None

    def _http(self) -> Admitted[Agent] | Turned | None:
        limits = self._limits
        try:
            found = read_request(self._data, limits.header_bytes, limits.header_count)
        except HttpError as error:
            return self._turned(Verdict(Action.BLOCK, error.reason, "", error.detail), "GET")
        if found is None:
            return None
        head, _ = found
        given = credential(head)
        agent = self._find(given)
        if agent is not None:
            return Admitted(agent, self._data)
        return self._turned(_verdict(_fault(given)), head.method)

    def _turned(self, verdict: Verdict, method: str) -> Turned:
        head, content = refusal(verdict, self._target, "")
        reply = write_response(head, head.framing, close=True, method=method)
        return Turned(verdict, reply if method == "HEAD" else reply + content)

    def _methods(self) -> Admitted[Agent] | Turned | None:
        data = self._data
        if len(data) < 2 or len(data) < 2 + data[1]:
            return None
        end = 2 + data[1]
        if _BY_PASSWORD not in data[2:end]:
            return Turned(_verdict(_fault(None)), b"\x05\xff")
        self._data = data[end:]
        self.reply = b"\x05\x02"
        self._read = self._password
        return self._password()

    def _password(self) -> Admitted[Agent] | Turned | None:
        data = self._data
        if data[:1] not in (b"", b"\x01"):
            return Turned(_verdict("user and password of SOCKS5 are malformed"), b"\x01\x01")
        if len(data) < 2 or len(data) < 3 + data[1]:
            return None
        split = 2 + data[1]
        end = split + 1 + data[split]
        if len(data) < end:
            return None
        given = Credential(data[2:split].decode("utf-8", "replace"), data[split + 1 : end])
        agent = self._find(given)
        if agent is None:
            return Turned(_verdict(_fault(given)), b"\x01\x01")
        self.reply += b"\x01\x00"
        # The flow negotiates for itself; what it answers to its greeting is what was said here.
        return Admitted(agent, _GREETING + data[end:], _GREETED)


def _verdict(detail: str) -> Verdict:
    return Verdict(Action.BLOCK, Reason.PROXY_UNAUTHORIZED, "", detail)


def _fault(given: Credential | None) -> str:
    return "no name and token" if given is None else "the name or the token is wrong"
