"""Small PDF files, made by hand (ISO 32000-2, section 7.5)."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence


def stream(content: bytes, extra: bytes = b"", *, coding: str = "flate") -> bytes:
    """A stream and its dictionary, without the object around it."""
    names = {"flate": b"/FlateDecode", "a85": b"[/ASCII85Decode /FlateDecode]", "": b""}[coding]
    data = zlib.compress(content) if coding else content
    if coding == "a85":
        data = base64.a85encode(data) + b"~>"
    filters = b"/Filter " + names if names else b""
    head = b"<< /Length %d %s %s >>" % (len(data), filters, extra)
    return head + b"\nstream\n" + data + b"\nendstream"


def document(objects: Sequence[bytes]) -> bytes:
    """A file of objects, numbered from 1; the first is the catalogue."""
    out = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table
    return out + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        start,
    )


def page(
    content: bytes, font: bytes, *more: bytes, coding: str = "flate", note: bytes = b""
) -> bytes:
    """A file of one page; `font` is object 5 and `more` are those behind it."""
    annotation = b"/Annots [<< /Subtype /Text /Contents " + note + b" >>]" if note else b""
    return document(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> "
            + annotation
            + b">>",
            stream(content, coding=coding),
            font,
            *more,
        ]
    )


PLAIN_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def plain(text: str, *, coding: str = "flate") -> bytes:
    """A page in a font of the reader: each word by itself, a few on a line."""
    lines = []
    words = text.split()
    for at in range(0, len(words), 6):
        row = " -250 ".join(f"({word})" for word in words[at : at + 6])
        lines.append(f"[{row}] TJ 0 -14 Td")
    said = "BT /F1 12 Tf 72 720 Td\n" + "\n".join(lines) + "\nET\n"
    return page(said.encode("latin-1"), PLAIN_FONT, coding=coding)


def mapped(text: str) -> bytes:
    """A page in a font with codes of its own, as most programs write it."""
    letters = sorted(set(text))
    codes = {letter: number + 3 for number, letter in enumerate(letters)}
    rows = "\n".join(f"<{codes[c]:04x}> <{ord(c):04x}>" for c in letters[:100])
    cmap = f"/CIDInit begincmap\n{len(letters)} beginbfchar\n{rows}\nendbfchar\nendcmap"
    digits = "".join(f"{codes[c]:04x}" for c in text)
    return page(
        f"BT /F1 12 Tf 72 720 Td <{digits}> Tj ET".encode(),
        b"<< /Type /Font /Subtype /Type0 /BaseFont /A /Encoding /Identity-H /ToUnicode 6 0 R >>",
        stream(cmap.encode()),
    )


def noted(text: str) -> bytes:
    """A page with a note, in the letters that PDF has for notes."""
    note = b"<" + (b"\xfe\xff" + text.encode("utf-16-be")).hex().encode() + b">"
    return page(b"BT /F1 12 Tf (A page.) Tj ET", PLAIN_FONT, note=note)


def packed(text: str) -> bytes:
    """A page whose note lies in a stream of objects."""
    inner = b"<< /Subtype /Text /Contents (" + text.encode("latin-1") + b") >>"
    head = b"7 0 "
    objects = stream(head + inner, b"/Type /ObjStm /N 1 /First %d" % len(head))
    return page(b"BT /F1 12 Tf (A page.) Tj ET", PLAIN_FONT, objects)
