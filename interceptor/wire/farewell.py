"""Last words: a refusal in the agent's own protocol, so that its client shows the reason."""

from __future__ import annotations

from typing import Final

_LINES: Final = {
    "smtp": "554 5.7.1 {}\r\n",
    "ftp": "421 {}\r\n",
    "imap": "* BYE {}\r\n",
    "pop3": "-ERR {}\r\n",
    "irc": "ERROR :{}\r\n",
    "redis": "-ERR {}\r\n",
}
_LIMIT: Final = 400  # characters; IRC's lines have 512 bytes


def farewell(protocol: str, text: str, *, greeted: bool) -> bytes:
    """Write what a client of `protocol` is told before its connection ends.

    Args:
        protocol: a name of `interceptor.wire.protocols`.
        text: one line for people.
        greeted: the server has been heard before; some protocols leave no place then.

    Returns:
        Nothing where the protocol has no way to say it.
    """
    said = "".join(c if " " <= c <= "~" else "?" for c in text[:_LIMIT])
    line = _LINES.get(protocol)
    if line is not None:
        return line.format(said).encode("ascii")
    if protocol == "postgres":
        return _error_response(said.encode("ascii"))
    if protocol == "mysql":
        return _error_packet(said.encode("ascii"), greeted=greeted)
    if protocol == "ssh" and not greeted:
        return _disconnect(said.encode("ascii"))
    return b""


def _error_response(text: bytes) -> bytes:
    """PostgreSQL: ErrorResponse; 08004 is "server rejected establishment of connection"."""
    fields = b"SFATAL\0VFATAL\0C08004\0M%b\0\0" % text
    return b"E" + (4 + len(fields)).to_bytes(4) + fields


def _error_packet(text: bytes, *, greeted: bool) -> bytes:
    """MySQL: ERR_Packet, in place of a greeting or in answer to a command, whose number is 0.

    1130 is ER_HOST_NOT_PRIVILEGED.
    """
    state = b"#08004" if greeted else b""
    payload = b"\xff" + (1130).to_bytes(2, "little") + state + text
    return len(payload).to_bytes(3, "little") + bytes((greeted,)) + payload


def _disconnect(text: bytes) -> bytes:
    """SSH: a version, and SSH_MSG_DISCONNECT with HOST_NOT_ALLOWED_TO_CONNECT (RFC 4253, 11.1)."""
    payload = b"\x01" + (1).to_bytes(4) + len(text).to_bytes(4) + text + bytes(4)
    padding = 4 + -(5 + len(payload) + 4) % 8
    packet = (1 + len(payload) + padding).to_bytes(4) + bytes((padding,)) + payload
    return b"SSH-2.0-egressguard\r\n" + packet + bytes(padding)
