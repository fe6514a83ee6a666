"""URLs as clients read them: what a GET of one would be, without making it.

Follows the WHATWG URL standard ("URL parsing", "Host parsing") where browsers, curl and libraries
agree, and refuses what they read in different ways.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from interceptor.decide.literals import host_literal
from interceptor.model import Target
from interceptor.verdict import Reason
from interceptor.wire.authority import default_port
from interceptor.wire.fields import HttpError

_BLANKS: Final = bytes(range(0x21))
_SCHEME: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*+):")
_WEB: Final = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
# Schemes without an authority; any other word before a colon is a host before its port.
_OPAQUE: Final = frozenset(
    (
        *(b"about", b"blob", b"cid", b"data", b"file", b"javascript", b"mailto", b"news", b"sms"),
        *(b"tel", b"urn", b"view-source"),
    )
)
_AUTHORITY_END: Final = re.compile(rb"[/\\?#]")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
# What clients escape wherever it stands ("C0 control percent-encode set", blank, quotes, brackets).
_ESCAPED: Final = re.compile(rb'[^\x21\x23-\x3b\x3d\x3f-\x7e]|["<>]')
_LONGEST: Final = 1024  # a name of 253 characters, every one of them escaped
_PORT: Final = re.compile(rb"[0-9]{1,5}")


class Host(msgspec.Struct, frozen=True, gc=False):
    """A host that somebody wrote."""

    name: str
    """As it would be looked up, in the case it was written in; empty for an address."""
    canonical: str
    """Lower-case name without trailing dot, or canonical address text."""
    port: int | None
    disguised: bool = False
    """An IPv4 address written otherwise than everybody writes it: `0177.1`, `2130706433`."""


class Url(msgspec.Struct, frozen=True, gc=False):
    """A URL of HTTP, taken apart."""

    host: Host
    target: Target
    """Of a GET."""
    written: bytes
    """Path, query and fragment as written, for the scan. Nobody sends a fragment, but the script
    of a page reads it."""
    user: bytes
    """User information with escapes undone, `NAME:PASSWORD`; empty if there is none."""


def read_url(text: bytes) -> Url:
    """Read a URL as clients do; without a scheme it is taken for one of https.

    Raises:
        HttpError: PROTOCOL_REFUSED for another scheme; NAME_INVALID; HTTP_MALFORMED for what
            clients read in different ways.
    """
    text = text.strip(_BLANKS).translate(None, b"\t\r\n")
    scheme, rest = _scheme(text)
    end = _AUTHORITY_END.search(rest)
    cut = len(rest) if end is None else end.start()
    authority, written = rest[:cut], rest[cut:]
    if written[:1] == b"\\" and b"@" in re.split(rb"[/?#]", written, maxsplit=1)[0]:
        raise HttpError(Reason.HTTP_MALFORMED, "a URL whose host clients read in different ways")
    user, _, place = authority.rpartition(b"@")
    host = read_host(place)
    path, question, query = written.partition(b"#")[0].partition(b"?")
    sent = _escaped(_plain_path(path) + question + query).decode("ascii")
    port = host.port or default_port(scheme)
    target = Target(scheme, host.canonical, port, "GET", sent)
    return Url(host, target, written or b"/", _unescaped(user))


def read_host(text: bytes) -> Host:
    """Read `name`, `name:port`, `address`, `address:port` or `[v6]:port`, in any disguise.

    Raises:
        HttpError: NAME_INVALID.
    """
    if len(text) > _LONGEST:
        raise HttpError(Reason.NAME_INVALID, "the host is too long")
    bracketed = text.startswith(b"[")
    if bracketed:
        place, bracket, after = text.partition(b"]")
        place += bracket
    else:
        place, colon, after = text.partition(b":")
        if b":" in after:  # an IPv6 address without brackets
            place, colon, after = text, b"", b""
        after = colon + after
    if after not in (b"", b":") and not (after[:1] == b":" and _PORT.fullmatch(after[1:])):
        raise HttpError(Reason.NAME_INVALID, "the port is malformed")
    port = int(after[1:]) if len(after) > 1 else None
    if port is not None and not 0 < port < 65536:
        raise HttpError(Reason.NAME_INVALID, "the port is out of range")
    name = _unescaped(place).decode("utf-8", "surrogateescape")
    literal = host_literal(name)
    if literal is not None:
        return Host("", literal, port, ":" not in literal and name != literal)
    if bracketed:
        raise HttpError(Reason.NAME_INVALID, "the address in brackets is malformed")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            raise HttpError(Reason.NAME_INVALID, "the name cannot be written in ASCII") from None
    bare = name.removesuffix(".")
    return Host(bare, bare.lower(), port)


def _scheme(text: bytes) -> tuple[str, bytes]:
    """Return the scheme of HTTP that is meant, and what follows its slashes."""
    match = _SCHEME.match(text)
    if match is not None:
        name = match[1].lower()
        rest = text[match.end() :]
        if name in _WEB:
            return _WEB[name], rest.lstrip(b"/\\")
        if rest.startswith(b"//") or name in _OPAQUE:
            raise HttpError(Reason.PROTOCOL_REFUSED, "a URL of another scheme than http and https")
    return "https", text.lstrip(b"/\\")


def _plain_path(path: bytes) -> bytes:
    """Remove dot segments, as clients do before they send (RFC 3986 section 5.2.4)."""
    path = path.replace(b"\\", b"/")
    if b"/." not in path and b"%2" not in path:
        return path or b"/"
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        plain = segment.replace(b"%2e", b".").replace(b"%2E", b".")
        if plain == b"..":
            del kept[-1:]
        elif plain != b".":
            kept.append(segment)
    if segments and plain in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def _escaped(text: bytes) -> bytes:
    return _ESCAPED.sub(lambda found: b"%%%02X" % found[0][0], text)


def _unescaped(text: bytes) -> bytes:
    if b"%" not in text:
        return text
    return _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), text)
