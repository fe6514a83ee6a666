"""Decoders that turn a text into a text.

Percent encoding, character references and backslash escapes are undone together: for a credential
their order does not matter, and a text full of all three would otherwise be decoded in every order.
"""

from __future__ import annotations

from collections.abc import Iterator

from interceptor.scan.decoders.entities import ENTITY, ENTITY_GATES, unreferenced
from interceptor.scan.decoders.escapes import CSS, CSS_SEEN, ESCAPE, ESCAPE_GATES, unescaped
from interceptor.scan.decoders.folding import FOLDING
from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.near import cut
from interceptor.scan.decoders.percent import FORM, PERCENT, PERCENT_GATES, unquote
from interceptor.scan.decoders.quoted_printable import QUOTED_PRINTABLE
from interceptor.scan.decoders.separators import SEPARATED
from interceptor.scan.decoders.turned import BACKWARDS
from interceptor.scan.decoders.wide import CONTROLS, UTF7, WIDE

_EVIDENCE = (PERCENT, ENTITY, ESCAPE)
_STEPS = (
    ("percent", PERCENT, unquote),
    ("entities", ENTITY, unreferenced),
    ("escapes", ESCAPE, unescaped),
)


def _unescape(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    """Undo one layer of each kind of escape, near escapes; say which there were."""
    changed: set[str] = set()
    out: list[bytes] = []
    for piece in cut(text, _EVIDENCE, ascii_only=True):
        plain = piece
        for name, evidence, undone in _STEPS:
            if name == "escapes" and len(plain) != len(piece) and _ambiguous(plain):
                break  # two readings: let each have its turn
            if evidence.search(plain) is not None:
                size = len(plain)
                plain = undone(plain)
                if len(plain) != size:
                    changed.add(name)
        if len(plain) != len(piece):
            out.append(plain)
    if changed:
        yield "+".join(name for name, _, _ in _STEPS if name in changed), b"\n".join(out)


def _ambiguous(text: bytes) -> bool:
    return CSS_SEEN.search(text) is not None or BACKWARDS.search(text) is not None


UNESCAPE = Decoder("unescape", (*PERCENT_GATES, *ENTITY_GATES, *ESCAPE_GATES), _unescape)
"""Percent encoding, character references, backslash escapes: one layer of all that occur."""

TEXTS: tuple[Decoder, ...] = (
    UNESCAPE,
    FORM,
    CSS,
    QUOTED_PRINTABLE,
    *WIDE,
    UTF7,
    CONTROLS,
    FOLDING,
    *SEPARATED,
)
"""Decoders of texts."""
