"""SMTP and FTP: protocols of numbered replies, with STARTTLS (RFC 3207, RFC 4217)."""

from __future__ import annotations

import re
from typing import Final

from interceptor.wire.dialect import DialectError
from interceptor.wire.starttls import COMMANDS, Asking

_BDAT: Final = re.compile(rb"BDAT ([0-9]{1,10})(?: LAST)?\r?\n\Z", re.IGNORECASE)


class Replying(Asking):
    """Base of protocols whose replies are told from commands by their number alone (RFC 959).

    A reply is `NNN text`, with lines `NNN-text` before it.
    """

    def __init__(self, name: str, commands: frozenset[bytes]) -> None:
        super().__init__(name, commands)
        self._outstanding = 1  # the greeting
        self._before = 0

    _agreement = b""

    def _sent(self, *, asks: bool = False) -> None:
        """Note a line that will be replied to."""
        if asks:
            self._asked = True
            self._before = self._outstanding
        self._outstanding = min(self._outstanding + 1, COMMANDS)

    def _answer(self, line: bytes) -> bool:
        if not line[:3].isdigit() or line[3:4] not in (b" ", b"\r", b"\n"):
            return False
        self._outstanding = max(self._outstanding - 1, 0)
        return self._replied(line)

    def _replied(self, line: bytes) -> bool:
        """Read the last line of a reply; True if it agrees to TLS."""
        if self._asked:
            if not self._before:
                self._asked = False
                return line[:3] == self._agreement
            self._before -= 1
        return False

    def _is_greeting(self, line: bytes) -> bool:
        if not line[:3].isdigit() or line[3:4] not in (b" ", b"-"):
            raise DialectError(f"the server does not speak {self._name}")
        return True

    def sealed(self) -> None:
        """Begin anew; the greeting is not repeated (RFC 3207 section 4.2, RFC 4217 section 4)."""
        implicit = not self._greeted
        super().sealed()
        self._outstanding = 1 if implicit else 0


class Smtp(Replying):
    """SMTP and LMTP."""

    _agreement = b"220"

    def __init__(self) -> None:
        super().__init__("smtp", _SMTP)
        self._data_asked = False

    def _command(self, line: bytes) -> bool:
        verb = line.strip().upper()
        if verb == b"STARTTLS" and not self._sealed:
            self._sent(asks=True)
            return True
        self._sent()
        if verb == b"DATA":
            self._data_asked = True
        elif verb[:5] == b"BDAT " and (match := _BDAT.match(line)) is not None:
            self._counted = int(match[1])
        return True

    def _skip_content(self, buffer: bytes, at: int) -> int:
        """A message ends with a line that is a dot (RFC 5321 section 4.1.1.4)."""
        if buffer.startswith(b".\r\n", at):
            end = at + 3
        else:
            end = buffer.find(b"\n.\r\n", at) + 4
            if end < 4:
                return buffer.rfind(b"\n", at) + 1 or at
        self._in_content = False
        self._sent()
        return end

    @property
    def _watching(self) -> bool:
        return True  # in TLS too: what follows a 354 is content

    def _replied(self, line: bytes) -> bool:
        if self._data_asked and not self._outstanding:
            self._data_asked = False
            self._in_content = line[:3] == b"354"
        return super()._replied(line)


class Ftp(Replying):
    """FTP's control connection. Data connections are connections of their own."""

    _agreement = b"234"

    def __init__(self) -> None:
        super().__init__("ftp", _FTP)

    def _command(self, line: bytes) -> bool:
        verb = line.upper().split()
        asks = verb[:1] == [b"AUTH"] and verb[1:] in ([b"TLS"], [b"TLS-C"], [b"SSL"])
        self._sent(asks=asks and not self._sealed)
        return True

    def _answer(self, line: bytes) -> bool:
        # A preliminary reply (RFC 959 section 4.2) is followed by another one.
        return line[:1] != b"1" and super()._answer(line)


_SMTP: Final = frozenset(
    b"EHLO HELO LHLO QUIT NOOP HELP RSET STARTTLS MAIL XCLIENT VRFY EXPN".split()
)
_FTP: Final = frozenset(
    b"USER AUTH FEAT HOST SYST OPTS QUIT NOOP HELP CLNT PBSZ PROT ACCT REIN LANG".split()
)
