"""STARTTLS, and mailboxes: RFC 9051 section 6.2.1 (IMAP), RFC 2595 (POP3).

The client asks for TLS in a command of its own and the server agrees in a reply; both are relayed.
Nothing may stand behind either of them before the handshake: what was slipped in there would be
taken for something said inside of TLS (CVE-2011-0411, CVE-2021-38371).
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

from interceptor.verdict import Reason
from interceptor.wire.dialect import DialectError, Lines, Told, mistaken

_LITERAL: Final = re.compile(rb"\{([0-9]{1,10})\+?\}\r?\n\Z")
_IMAP_FIRST: Final = re.compile(
    rb"[A-Z0-9.$%&/_-]{1,32}+ (?:CAPABILITY|LOGIN|AUTHENTICATE|STARTTLS|ID|NOOP|LOGOUT|ENABLE|"
    rb"NAMESPACE|SELECT|EXAMINE|LIST|COMPRESS)[ \r\n]"
)
COMMANDS: Final = 1_000
"""Commands that may wait for their answer; no client has more."""
_GREETING: Final = 1_024  # bytes of a server's first line


class Asking(Lines):
    """Base of text protocols in which the client asks for TLS."""

    def __init__(self, name: str, commands: frozenset[bytes] = frozenset()) -> None:
        super().__init__(name, commands)
        self._asked = False
        self._counted = 0
        """Bytes of content that follow, among which no line is a command."""
        self._reply = b""

    def from_client(self, data: bytes) -> Told:
        """Hold the last line back; watch for the one that asks for TLS."""
        if self._asked:
            raise DialectError("bytes were sent between the request for TLS and its answer")
        self._reply = b""
        told = super().from_client(data)
        if self._from_client:
            self._refuse_more()
        return Told(told.data, reply=self._reply) if self._reply else told

    def _refuse_more(self) -> None:
        """Nothing may follow the request for TLS.

        Raises:
            DialectError: it was made.
        """
        if self._asked:
            raise DialectError("bytes were sent behind the request for TLS")

    def _read_client(self, buffer: bytes) -> tuple[bytes, int]:
        kept: list[bytes] = []
        at = start = 0
        size = len(buffer)
        while at < size:
            if self._counted:
                step = min(self._counted, size - at)
                self._counted -= step
                at += step
            elif self._in_content:
                at = self._skip_content(buffer, at)
                if self._in_content:
                    break
            else:
                end = buffer.find(b"\n", at) + 1
                if not end:
                    break
                self._refuse_more()
                if not self._command(buffer[at:end]):
                    kept.append(buffer[start:at])
                    start = end
                at = end
        kept.append(buffer[start:at])
        return b"".join(kept), at

    _in_content = False
    """True within content that ends by itself and not by a count."""

    def _skip_content(self, buffer: bytes, at: int) -> int:  # noqa: ARG002
        """Where such content ends, or what is whole of it ends."""
        return at

    def _command(self, line: bytes) -> bool:
        """Read a line of the client's, its end included; False if it must not be relayed."""
        raise NotImplementedError

    def _answer(self, line: bytes) -> bool:
        """Read a line of the server's; True if it agrees to TLS."""
        raise NotImplementedError

    @property
    def _watching(self) -> bool:
        """True while lines of the server have to be read."""
        return not self._sealed

    def _greets(self, buffer: bytes) -> bool:
        if b"\n" not in buffer and len(buffer) < _GREETING:
            return False
        return self._is_greeting(buffer.partition(b"\n")[0])

    def _is_greeting(self, line: bytes) -> bool:
        """Check the server's first line.

        Raises:
            DialectError: it is not this protocol's.
        """
        raise NotImplementedError

    def from_server(self, data: bytes) -> Told:
        """Hold the last line back; watch for the one that agrees to TLS."""
        told = super().from_server(data)
        if not self._watching or not told.data:
            return told
        at = 0
        while at < len(told.data):
            end = told.data.find(b"\n", at) + 1 or len(told.data)
            if self._answer(told.data[at:end]):
                if end < len(told.data) or self._from_server:
                    detail = "bytes stand behind the agreement to TLS"
                    raise DialectError(detail, Reason.UPSTREAM_MALFORMED)
                return Told(told.data, seal=True)
            at = end
        return told

    def sealed(self) -> None:
        """Begin anew."""
        super().sealed()
        self._asked = False


class Imap(Asking):
    """IMAP: replies carry the tag of their command."""

    def __init__(self) -> None:
        super().__init__("imap")
        self._tag = b""

    def _first_line(self, line: bytes) -> None:
        if _IMAP_FIRST.match(line.upper()) is None:
            raise mistaken("imap", line)

    def _command(self, line: bytes) -> bool:
        literal = _LITERAL.search(line)
        if literal is not None:
            self._counted = int(literal[1])
        words = line.upper().split()
        if len(words) == 2 and words[1] == b"STARTTLS" and not self._sealed:
            self._asked = True
            self._tag = line.split()[0]
        elif len(words) == 3 and words[1] == b"COMPRESS":
            # RFC 4978: the server may say no, and then nothing is compressed.
            tag = line.split()[0]
            self._reply += tag + b" NO compression is not available here\r\n"
            return False
        return True

    @property
    def _watching(self) -> bool:
        return self._asked

    def _answer(self, line: bytes) -> bool:
        tag, _, rest = line.partition(b" ")
        if tag != self._tag:
            return False
        self._asked = False
        return rest[:2].upper() == b"OK"

    def _is_greeting(self, line: bytes) -> bool:
        if not line.upper().startswith((b"* OK", b"* PREAUTH", b"* BYE")):
            raise DialectError("the server does not speak imap")
        return True


class Pop3(Asking):
    """POP3: one reply to each command, of several lines to some of them."""

    def __init__(self) -> None:
        super().__init__("pop3", _POP3)
        self._pending: deque[bytes] = deque((b"",))  # the greeting
        self._listing = False
        self._settled = False

    def _command(self, line: bytes) -> bool:
        if self._watching:
            words = line.upper().split()
            name = words[0] if words else b""
            self._asked = name == b"STLS"
            self._pending.append(b"CAPA" if words == [b"AUTH"] else name)
            # Beyond the login STLS means nothing (RFC 2595 section 4).
            self._settled = len(self._pending) >= COMMANDS or (
                name in (b"PASS", b"APOP") or (name == b"AUTH" and len(words) > 1)
            )
        return True

    @property
    def _watching(self) -> bool:
        return not self._sealed and not self._settled

    def _answer(self, line: bytes) -> bool:
        if self._listing:
            self._listing = line not in (b".\r\n", b".\n")
            return False
        if not self._pending or line[:1] not in b"+-":
            return False
        name = self._pending.popleft()
        agreed = line[:1] == b"+"
        self._listing = agreed and name == b"CAPA"
        if name != b"STLS":
            return False
        self._asked = False
        return agreed

    def _is_greeting(self, line: bytes) -> bool:
        if not line.upper().startswith((b"+OK", b"-ERR")):
            raise DialectError("the server does not speak pop3")
        return True


_POP3: Final = frozenset(b"USER APOP CAPA STLS AUTH QUIT UTF8 NOOP LANG XTND".split())
