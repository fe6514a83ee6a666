"""Mail and FTP with Python's own clients: through STARTTLS where the port has it, verified.

    python mail_talk.py PROTOCOL HOST PORT TEXT

TEXT goes into what is said inside. Prints what came of it as JSON.
"""

from __future__ import annotations

import ftplib
import imaplib
import json
import poplib
import smtplib
import ssl
import sys
from typing import Any


def smtp(host: str, port: int, text: str) -> object:
    """Send a letter whose text is TEXT, with lines that look like commands around it."""
    context = ssl.create_default_context()
    if port == 465:
        client: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=10, context=context)
    else:
        client = smtplib.SMTP(host, port, timeout=10)
        if port == 587:
            client.starttls(context=context)
    with client:
        letter = f"Subject: hello\r\n\r\nSTARTTLS\r\n{text}\r\n.dot\r\n"
        return client.sendmail("a@example.com", ["b@example.com"], letter)


def imap(host: str, port: int, text: str) -> object:
    """Log in, and read the one letter."""
    context = ssl.create_default_context()
    if port == 993:
        client: imaplib.IMAP4 = imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=10)
    else:
        client = imaplib.IMAP4(host, port, timeout=10)
        client.starttls(context)
    with client:
        client.login("alice", text)
        client.select("INBOX")
        found: Any = client.fetch("1", "(BODY[])")
        return found[1][0][1].decode()


def pop3(host: str, port: int, text: str) -> object:
    """Log in, and read the one letter."""
    client = poplib.POP3(host, port, timeout=10)
    client.stls(ssl.create_default_context())
    client.user("alice")
    client.pass_(text)
    lines = client.retr(1)[1]
    client.quit()
    return b"\n".join(lines).decode()


def ftp(host: str, port: int, text: str) -> object:
    """Log in over TLS, and ask where we are."""
    client = ftplib.FTP_TLS(  # noqa: S321
        timeout=10, context=ssl.create_default_context()
    )
    client.connect(host, port)
    client.login("alice", text)
    where = client.pwd()
    client.quit()
    return where


if __name__ == "__main__":
    protocol, host, port, text = sys.argv[1:]
    talk = {"smtp": smtp, "imap": imap, "pop3": pop3, "ftp": ftp}[protocol]
    try:
        print(json.dumps({"ok": talk(host, int(port), text)}))
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the answer
        print(json.dumps({"error": type(error).__name__, "said": str(error)}))
