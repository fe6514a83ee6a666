"""The values of a request: what is left of it without names and punctuation.

A unit is first cut into tokens (a path segment, `key=value`, a member of an object), which is done
in C and lets a caller skip those it has met before; only what is new is read. Nothing here judges.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Final

from interceptor.wire.protobuf import texts

Value = tuple[bytes, bytes]
"""(slot, value). A slot is the place where the value stands: `/users` below such a segment of a
path, `?key` in a query, `name` of a header, `cookie;name`, `.key` in a body."""

Read = Callable[[bytes], list[Value]]
"""Reads the values of a token."""

LONGEST: Final = 256
"""Bytes of a value that count; of a longer one, the first and the last half of this."""

_BODY: Final = 32_768  # of a longer body, the first quarter of this and the last three are read
_BINARY: Final = 2048  # the same of one that is no text, by halves
_TOKENS: Final = 1024
_NUMBERS: Final = 32
_SLOT: Final = 48
_STRUCTURE: Final = b" \t\r\n:,[]{}"
_WORDS: Final = frozenset((b"", b"true", b"false", b"null"))
_COLONS: Final = frozenset((b":", b": "))
_CLOSING: Final = frozenset(b"|}|]|,|, |}}|]}|}]|},|}, |],|], |},{|}, {|}, {|]}]|}]}".split(b"|"))
# No UTF-8 text holds these bytes, so they can stand for what is escaped (RFC 8259 section 7).
_BACKSLASH: Final = b"\xff\xfe"
_QUOTE: Final = b"\xff\xfd"
_CONTROLS: Final = bytes(byte for byte in range(32) if byte not in b"\t\r\n") + b"\x7f"
_PRINTABLE: Final = bytes(byte if 33 <= byte <= 126 else 32 for byte in range(256))
_HEX: Final = b"0123456789abcdefABCDEF"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_FIRST: Final = _BASE64[:32]  # what ASCII begins with in base64
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


def segment_value(segments: list[bytes], at: int) -> Value:
    """Return the value of a path segment; its slot is the segment before it."""
    before = segments[at - 1][:_SLOT] if at else b""
    # Numbers are ids: what follows one stands where it follows any other.
    return (b"/#" if before.isdigit() else b"/" + before), plain(segments[at])


def pair_values(mark: bytes, token: bytes) -> list[Value]:
    """Return the value of `key=value`, as queries, forms and cookies have them."""
    key, equals, value = token.partition(b"=")
    if equals:
        return [(mark + plain(key)[:_SLOT], plain(value.replace(b"+", b" ")))]
    return [(mark, plain(key))] if key else []


def body_tokens(content_type: bytes, body: bytes) -> tuple[list[bytes], Read]:
    """Cut a body into tokens, in order; also return what reads one of them.

    Args:
        content_type: value of that field, or b"".
        body: content without codings.
    """
    kind = content_type[:60].lower()
    if len(body) > _BODY:
        body = body[: _BODY // 4] + b"\n" + body[-_BODY // 4 * 3 :]
    if kind.startswith(b"multipart/"):
        boundary = body.partition(b"\r\n")[0]
        tokens = body.split(boundary) if len(boundary) > 2 else [body]
        read: Read = _part
    elif body[:1] in (b"{", b"[") or b"json" in kind:
        # Within a string a quote is escaped, so this stands between members and items, or where a
        # string ends in a comma, which pieces of secrets do not.
        tokens = _on_one_line(body).split(b',"')
        first = tokens[0].lstrip(_STRUCTURE)
        tokens[0] = first[1:] if first[:1] == b'"' else b'":' + first
        read = _member
    elif kind.startswith(b"application/x-www-form-urlencoded"):
        tokens = body.split(b"&")
        read = _field
    elif is_text(body):
        tokens = [body.strip()]
        read = _text
    else:
        tokens = _of_binary(kind, body)
        read = _text
    if len(tokens) > _TOKENS:
        tokens = tokens[: _TOKENS // 4] + tokens[-_TOKENS // 4 * 3 :]
    return tokens, read


def is_text(body: bytes) -> bool:
    """Say whether bytes are ASCII text: no controls but those of blanks."""
    return body.isascii() and len(body.translate(None, _CONTROLS)) == len(body)


def leaves(text: bytes) -> list[Value]:
    """Return (key, value) of every string and number in JSON, in order; keys as they stand.

    Reads by quotes alone, so that what is cut off or malformed gives its values all the same. The
    values of an array have the key of the array.
    """
    escaped = b"\\" in text
    if escaped:
        text = text.replace(b"\\\\", _BACKSLASH).replace(b'\\"', _QUOTE)
    parts = text.split(b'"')
    values: list[Value] = []
    key = b""
    bare = parts[0].strip(_STRUCTURE)
    if bare:
        values += [(key, number) for number in _numbers(bare)]
    for string, gap in zip(parts[1::2], parts[2::2], strict=False):
        if gap in _COLONS:
            key = string
            continue
        if gap in _CLOSING:
            values.append((key, string))
            continue
        after = gap.lstrip()
        if after[:1] == b":":
            key = string
        else:
            values.append((key, string))
        if len(after) > 1:
            bare = after.strip(_STRUCTURE)
            if bare not in _WORDS:
                values += [(key, number) for number in _numbers(bare)]
    if not len(parts) % 2 and parts[-1]:  # cut off within a string
        values.append((key, parts[-1]))
    if escaped:
        return [(_unescaped(key), _unescaped(value)) for key, value in values]
    return values


def plain(value: bytes) -> bytes:
    """Undo percent-encoding (RFC 3986 section 2.1), and cut what is long."""
    if b"%" in value:
        first, *rest = value[: 8 * LONGEST].split(b"%")
        pieces = [first]
        for part in rest:
            try:
                pieces += (binascii.unhexlify(part[:2]) or b"%", part[2:])
            except binascii.Error:
                pieces += (b"%", part)
        value = b"".join(pieces)
    return value if len(value) <= LONGEST else cut(value)


def cut(value: bytes) -> bytes:
    """Return `value`, or the two ends of one that is long."""
    if len(value) <= LONGEST:
        return value
    # The line break keeps the ends from being taken for neighbours.
    return value[: LONGEST // 2] + b"\n" + value[-LONGEST // 2 :]


def undone(value: bytes) -> bytes:
    """Return what a short value says in hexadecimal or base64, if that is printable text, else b"".

    The text may be as short as a single character: only many of them together mean something.
    """
    if len(value) % 2 == 0 and not value.translate(None, _HEX):
        said = _text_of(binascii.unhexlify(value))
        if said:
            return said
    if value[0] not in _FIRST:
        return b""
    body = value.rstrip(b"=")
    if len(body) < 2 or len(body) % 4 == 1 or body.translate(None, _BASE64):
        return b""
    return _text_of(binascii.a2b_base64(body.translate(_STANDARD) + b"=" * (-len(body) % 4)))


def _text_of(data: bytes) -> bytes:
    return data if data.isascii() and data.decode("ascii").isprintable() else b""


def _field(token: bytes) -> list[Value]:
    return pair_values(b".", token)


def _member(token: bytes) -> list[Value]:
    values: list[Value] = []
    for key, value in leaves(b'"' + token):
        if value[:1] in (b"{", b"["):  # JSON in a string
            values += [(b"." + inner[:_SLOT], cut(leaf)) for inner, leaf in leaves(value)]
        else:
            values.append((b"." + key[:_SLOT], cut(value)))
    return values


def _text(token: bytes) -> list[Value]:
    return [(b".", cut(token))]


def _of_binary(kind: bytes, body: bytes) -> list[bytes]:
    """Strings of Protocol Buffers, of other binary messages the printable runs."""
    if len(body) > _BINARY:
        body = body[: _BINARY // 2] + b"\0" + body[-_BINARY // 2 :]
    elif kind.startswith(b"application/grpc") and body[:1] == b"\0":
        body = body[5:]  # length-prefixed message
    found = texts(body)
    return body.translate(_PRINTABLE).split() if found is None else found


def _part(token: bytes) -> list[Value]:
    """Values of a part of a multipart (RFC 7578 section 4.2)."""
    head, _, content = token.partition(b"\r\n\r\n")
    values: list[Value] = []
    file = _parameter(head, b' filename="')
    if file:
        values.append((b".filename", cut(file)))
    if content:
        name = _parameter(head, b' name="')
        values.append((b"." + name[:_SLOT], cut(content.removesuffix(b"\r\n"))))
    return values


def _parameter(head: bytes, mark: bytes) -> bytes:
    at = head.find(mark)
    if at < 0:
        return b""
    at += len(mark)
    end = head.find(b'"', at)
    return head[at:end] if end >= 0 else b""


def _on_one_line(text: bytes) -> bytes:
    """Drop the blanks behind commas, which JSON that is made for reading has."""
    if b"\n" in text:
        text = b"".join([line.strip() for line in text.split(b"\n")])
    return text.replace(b', "', b',"') if b', "' in text else text


def _numbers(bare: bytes) -> list[bytes]:
    """Numbers that stand without quotes, from what stands between two quotes."""
    if b"," not in bare:
        return [bare]
    numbers = (number.strip(_STRUCTURE) for number in bare.split(b",", _NUMBERS)[:_NUMBERS])
    return [number for number in numbers if number not in _WORDS]


def _unescaped(value: bytes) -> bytes:
    """Undo the escapes of JSON (RFC 8259 section 7)."""
    if b"\xff" in value:
        value = value.replace(_QUOTE, b'\\"').replace(_BACKSLASH, b"\\\\")
    if b"\\" not in value or len(value) > 8 * LONGEST:
        return value
    import json

    try:
        return str(json.loads(b'"' + value + b'"', strict=False)).encode("utf-8", "replace")
    except ValueError:
        return value
