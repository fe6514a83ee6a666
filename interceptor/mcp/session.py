"""Judges the lines of one session and writes down what was decided before it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import msgspec

from interceptor.decide.mcp.conversation import Conversation
from interceptor.decide.mcp.pins import PinBook
from interceptor.decide.mcp.ruling import Ruling, encoded_error
from interceptor.decide.verdicts import ALLOWED
from interceptor.evidence.log import EvidenceError
from interceptor.flow.steps import Finished, Record
from interceptor.mcp.lines import TooLong
from interceptor.mcp.pin_store import PinStoreError
from interceptor.mcp.relay import Out
from interceptor.model import Kind, Origin, Target
from interceptor.verdict import Action, Reason, Verdict

KIND: Final = Kind.MCP_MESSAGE
"""Kind of the unit in evidence."""
SCHEME: Final = "stdio"

JUNK_TOLD: Final = 20
"""Lines of a server that are no messages and get a line each in the evidence."""
_UNASKED: Final = Reason.RPC_UNEXPECTED
_NOTHING: Final = Out()
_CHANGED: Final = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n'
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_IDENT: Final = msgspec.json.Decoder(str | int)


class Evidence(Protocol):
    """Where decisions are written: `interceptor.evidence.log.EvidenceLog`."""

    def write(self, record: Record, origin: Origin, now: float) -> None:
        """Write a decision, or raise `EvidenceError`."""

    def finished(self, step: Finished, origin: Origin, now: float, host: str = "") -> None:
        """Note how an exchange ended."""


class Pins(Protocol):
    """Where pins are kept: `interceptor.mcp.pin_store.PinStore`."""

    book: PinBook

    @property
    def changed(self) -> bool:
        """True while the book holds what the store does not."""

    def refresh(self) -> frozenset[str]:
        """Take over what others have written; returns servers it is about."""

    def save(self) -> None:
        """Write the book."""


class Session:
    """One client's session with one server.

    Args:
        conversation: judges; its book of pins is that of `pins`.
        evidence: where decisions go.
        pins: where definitions are kept.
        origin: whose session it is.
        wall: seconds since the epoch.
        tell: shows a line to the operator.
        debug: faults of our own end the session, with all that is known of them.
    """

    def __init__(
        self,
        conversation: Conversation,
        evidence: Evidence,
        pins: Pins,
        origin: Origin,
        wall: Callable[[], float],
        tell: Callable[[str], None],
        *,
        debug: bool = False,
    ) -> None:
        self._conversation = conversation
        self._evidence = evidence
        self._pins = pins
        self._origin = origin
        self._wall = wall
        self._tell = tell
        self._exchange = 0
        self._junk = 0
        self._silent = False
        self._debug = debug

    @property
    def waits(self) -> bool:
        """True while the client waits for an answer of the server's."""
        return self._conversation.waits

    def from_client(self, line: bytes | TooLong, now: float) -> Out:
        """Judge a line of the client's; see `Conversation.from_client`."""
        if isinstance(line, TooLong):
            verdict = _too_long("client", line)
            self._wrote(Ruling(verdict))
            return Out(encoded_error(line.ident, verdict) + b"\n")
        changed = b""
        try:
            about = self._pins.refresh()
            if self._conversation.server in about and self._conversation.revision:
                changed = _CHANGED
            ruling = self._conversation.from_client(line, now)
            if self._pins.changed:
                self._pins.save()  # a call that waits for approval
            # What passes without a word is a decision, too, where something is asked for.
            asks = ruling.forward is not None and ruling.method
            if ruling.verdict is None and asks and not ruling.method.startswith("notifications/"):
                ruling = msgspec.structs.replace(ruling, verdict=ALLOWED)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is a refusal
            return self._failed(line, error, now, client=True)
        if not self._wrote(ruling):
            return self._unwritten(line, ruling, now)
        return Out(changed + _line(ruling.answer), _line(ruling.forward))

    def from_server(self, line: bytes | TooLong, now: float) -> Out:
        """Judge a line of the server's; see `Conversation.from_server`."""
        if isinstance(line, TooLong):
            return self._oversize(line, now)
        if line.lstrip()[:1] not in (b"{", b"["):
            self._noise(line)
            return _NOTHING
        try:
            ruling = self._conversation.from_server(line, now)
            if self._pins.changed:
                self._pins.save()
        except Exception as error:  # noqa: BLE001
            return self._failed(line, error, now, client=False)
        if not self._wrote(ruling):
            if ruling.forward is None:
                return Out(b"", _line(ruling.answer))
            return self._fail_answer(line, _unwritable(), now)
        return Out(_line(ruling.forward), _line(ruling.answer))

    def due(self, now: float) -> Out:
        """Answer what the server has not answered in time."""
        return self._given_up(self._conversation.overdue(now))

    def server_gone(self, detail: str, now: float) -> Out:  # noqa: ARG002 - as all of `Talk`
        """Answer what the server will not answer any more."""
        if self._junk > JUNK_TOLD:
            self._note(Reason.RPC_MALFORMED, f"{self._junk} lines of the server were no messages")
            self._junk = 0
        return self._given_up(self._conversation.ended(detail))

    # -- what goes wrong ---------------------------------------------------------------------

    def _oversize(self, line: TooLong, now: float) -> Out:
        """Fail the request that a line beyond the limit answers, or all where it is not known."""
        verdict = _too_long("server", line)
        if line.ident is not None:
            answer = self._answered(line.ident, verdict, now)
            if answer is not None:
                self._wrote(Ruling(verdict))
                return Out(answer)
        self._wrote(Ruling(verdict))
        given_up = self._conversation.ended(verdict.detail)
        answers = [_renamed(ruling, verdict) for ruling in given_up]
        return Out(b"".join(answers))

    def _noise(self, line: bytes) -> None:
        self._junk += 1
        if self._junk <= JUNK_TOLD:
            detail = f"{len(line)} bytes on the server's standard output that are no message"
            self._note(Reason.RPC_MALFORMED, detail)

    def _failed(self, line: bytes, error: Exception, now: float, *, client: bool) -> Out:
        """Refuse what could not be judged: a fault of ours, or pins that cannot be kept."""
        if isinstance(error, PinStoreError):
            self._complain(str(error))
            detail = "the pins of tools cannot be read or kept"
        else:
            self._complain(f"a fault of egressguard's own: {type(error).__name__}")
            if self._debug:
                raise error
            detail = f"could not be judged ({type(error).__name__})"
        verdict = Verdict(Action.BLOCK, Reason.INTERNAL_ERROR, "", detail)
        self._wrote(Ruling(verdict))
        if client:
            ident = _ident(line)
            return Out(b"" if ident is None else encoded_error(ident, verdict) + b"\n")
        return self._fail_answer(line, verdict, now)

    def _unwritten(self, line: bytes, ruling: Ruling, now: float) -> Out:
        """Refuse what the client has said: there is no evidence of it."""
        verdict = _unwritable()
        ident = _ident(line)
        if ident is None:
            return _NOTHING
        # It waits for its answer already, where it would have passed.
        answer = self._answered(ident, verdict, now) if ruling.forward is not None else None
        return Out(answer or encoded_error(ident, verdict) + b"\n")

    def _fail_answer(self, line: bytes, verdict: Verdict, now: float) -> Out:
        """Answer with an error in place of what the server has said, or to what it has asked."""
        ident = _ident(line)
        if ident is None:
            return _NOTHING
        if b'"method"' in line and "method" in _members(line):
            return Out(b"", encoded_error(ident, verdict) + b"\n")
        # It may have counted as answered before something went wrong.
        return Out(self._answered(ident, verdict, now) or encoded_error(ident, verdict) + b"\n")

    def _answered(self, ident: str | int, verdict: Verdict, now: float) -> bytes | None:
        """End a request of the client's with an error; None: it is none that waits."""
        error = encoded_error(ident, verdict)
        try:
            ruling = self._conversation.from_server(error, now)
        except Exception:  # noqa: BLE001 - the error goes out as it is
            return error + b"\n"
        if ruling.forward is None or (ruling.verdict and ruling.verdict.reason is _UNASKED):
            return None
        return error + b"\n"

    def _given_up(self, rulings: Iterable[Ruling]) -> Out:
        answers = []
        for ruling in rulings:
            self._wrote(ruling)
            answers.append(_line(ruling.forward))
        return Out(b"".join(answers))

    # -- evidence ----------------------------------------------------------------------------

    def _note(self, reason: Reason, detail: str) -> None:
        self._wrote(Ruling(Verdict(Action.BLOCK, reason, "", detail)))

    def _wrote(self, ruling: Ruling) -> bool:
        """Write a decision down; False when it could not be."""
        if ruling.verdict is None:
            return True
        self._exchange += 1
        path = f"/{ruling.method}" if ruling.method else ""
        if ruling.tool:
            path += f"/{ruling.tool}"
        target = Target(SCHEME, self._origin.name, 0, "", path)
        record = Record(ruling.verdict, target, KIND, self._exchange)
        try:
            self._evidence.write(record, self._origin, self._wall())
        except EvidenceError as error:
            self._complain(str(error))
            return False
        return True

    def _complain(self, line: str) -> None:
        if not self._silent:
            self._tell(line)
            self._silent = True  # once: a client keeps all that is said there


def _line(data: bytes | None) -> bytes:
    """A message as a line: line feeds between its members (RFC 8259) become blanks."""
    if data is None:
        return b""
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\r", b" ").replace(b"\n", b" ")
    return data + b"\n"


def _too_long(side: str, line: TooLong) -> Verdict:
    detail = f"a message of {line.size} bytes from the {side}, over limits.message_bytes"
    return Verdict(Action.BLOCK, Reason.LIMIT_EXCEEDED, "limits.message_bytes", detail)


def _unwritable() -> Verdict:
    return Verdict(Action.BLOCK, Reason.EVIDENCE_UNWRITABLE, "", "the decision has no evidence")


def _members(line: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _MEMBERS.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}


def _ident(line: bytes) -> str | int | None:
    """Id of a message, where it is one."""
    raw = _members(line).get("id")
    try:
        return None if raw is None else _IDENT.decode(raw)
    except (msgspec.MsgspecError, ValueError):
        return None


def _renamed(ruling: Ruling, verdict: Verdict) -> bytes:
    """The error of a request that was given up, with the reason that is meant."""
    ident = _ident(ruling.forward or b"")
    return encoded_error(ident, verdict) + b"\n"
