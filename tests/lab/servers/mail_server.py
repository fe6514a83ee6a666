"""Small SMTP, IMAP, POP3 and FTP servers with STARTTLS, and IMAP and SMTP that begin with TLS.

    python mail_server.py KEY CERTIFICATE ADDRESS...

Every line that a client says is a line of JSON on standard output: port, whether in TLS, the line.
Enough of each protocol for smtplib, imaplib, poplib and ftplib; nothing is kept.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import Callable

PORTS = {25: "smtp", 587: "smtp", 465: "smtp", 143: "imap", 993: "imap", 110: "pop3", 21: "ftp"}
IMPLICIT = (465, 993)
_LETTER = b"From: a@example.com\r\nSubject: hello\r\n\r\nA letter.\r\n"
_LITERAL = b"* 1 FETCH (BODY[] {%d}\r\n%b)\r\n" % (len(_LETTER), _LETTER)

GREETINGS = {
    "smtp": b"220-mail.example.com\r\n220 ready\r\n",
    "imap": b"* OK ready\r\n",
    "pop3": b"+OK ready\r\n",
    "ftp": b"220-Welcome\r\n  to the lab\r\n220 ready\r\n",
}


class Session:
    """One connection."""

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.port = port
        self.protocol = PORTS[port]
        self.context = context
        self.reader = reader
        self.writer = writer
        self.secure = port in IMPLICIT
        self.over = False

    async def run(self) -> None:
        """Greet, and answer until the end."""
        answer: Callable[[bytes, list[bytes]], bytes] = getattr(self, self.protocol)
        self.writer.write(GREETINGS[self.protocol])
        while not self.over:
            await self.writer.drain()
            line = await self.reader.readline()
            if not line:
                break
            text = line.rstrip(b"\r\n")
            self.note(text)
            words = text.upper().split()
            out = answer(text, words) if words else b""
            self.writer.write(out)
            if out == b"354 go on\r\n":
                await self.letter()
            if self.agreed(out, words):
                await self.writer.drain()
                await self.writer.start_tls(self.context)
                self.secure = True
        self.writer.close()

    def note(self, text: bytes) -> None:
        """Write one line of the log at once."""
        line = {"port": self.port, "secure": self.secure, "line": text.decode("latin-1")}
        print(json.dumps(line), flush=True)

    async def letter(self) -> None:
        """Read a message up to its dot."""
        await self.writer.drain()
        while (line := await self.reader.readline()) not in (b".\r\n", b""):
            self.note(line.rstrip(b"\r\n"))
        self.writer.write(b"250 queued\r\n")

    def agreed(self, out: bytes, words: list[bytes]) -> bool:
        """True if TLS begins now."""
        if self.secure or not {b"STARTTLS", b"STLS", b"AUTH"} & set(words[:2]):
            return False
        return out.startswith((b"220", b"+OK", b"234", words[0] + b" OK"))

    def smtp(self, _: bytes, words: list[bytes]) -> bytes:
        """RFC 5321."""
        verb = words[0]
        if verb == b"EHLO":
            return (
                b"250-mail.example.com\r\n"
                + (b"" if self.secure else b"250-STARTTLS\r\n")
                + b"250 8BITMIME\r\n"
            )
        self.over = verb == b"QUIT"
        known = {
            b"STARTTLS": b"220 go ahead\r\n",
            b"DATA": b"354 go on\r\n",
            b"QUIT": b"221 bye\r\n",
        }
        return known.get(verb, b"250 ok\r\n")

    def imap(self, text: bytes, words: list[bytes]) -> bytes:
        """RFC 9051."""
        tag, verb = text.split()[0], words[1] if len(words) > 1 else b""
        self.over = verb == b"LOGOUT"
        before = {
            b"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS COMPRESS=DEFLATE\r\n",
            b"SELECT": b"* 1 EXISTS\r\n",
            b"FETCH": _LITERAL,
            b"LOGOUT": b"* BYE\r\n",
        }
        return before.get(verb, b"") + tag + b" OK done\r\n"

    def pop3(self, _: bytes, words: list[bytes]) -> bytes:
        """RFC 1939."""
        verb = words[0]
        self.over = verb == b"QUIT"
        known = {
            b"CAPA": b"+OK\r\nSTLS\r\nUSER\r\n.\r\n",
            b"STAT": b"+OK 1 60\r\n",
            b"LIST": b"+OK\r\n1 60\r\n.\r\n",
            b"RETR": b"+OK\r\n" + _LETTER + b".\r\n",
        }
        return known.get(verb, b"+OK\r\n")

    def ftp(self, _: bytes, words: list[bytes]) -> bytes:
        """RFC 959, the control connection."""
        verb = words[0]
        self.over = verb == b"QUIT"
        known = {
            b"AUTH": b"234 go ahead\r\n",
            b"USER": b"331 password\r\n",
            b"PASS": b"230-in\r\n230 now\r\n",
            b"PWD": b'257 "/"\r\n',
            b"QUIT": b"221 bye\r\n",
        }
        return known.get(verb, b"200 ok\r\n")


async def main(key: str, certificate: str, addresses: list[str]) -> None:
    """Serve for ever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        try:
            await Session(port, context, reader, writer).run()
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    for address in addresses:
        for port in PORTS:
            tls = context if port in IMPLICIT else None
            await asyncio.start_server(serve, address, port, ssl=tls)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
