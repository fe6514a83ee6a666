r"""What was cut into pieces within a text: by operators, quotes, blanks, line ends.

`"AK" + "IA..."`, `AKIA ... \` and a line end, items of an array, a key in small groups: without
what stands between, the pieces are whole again. Words of a text run together, too: `wordy` tells
them from a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from interceptor.scan.decoders.model import Decoder, Seen

FIELDS = "fields"
"""Name of what was cut over fields."""
_GLUE = b" \t\r\n\v\f\"'`\\,"
_BEHIND = 512  # bytes before the end of a value that may be of the same secret
_AHEAD = 2048  # and after it: the values of the fields that follow
_NEAR = 1024  # bytes on both sides of a concatenation that may belong to the same secret

# It begins with a set of bytes, which `re` looks for quickly.
_CONCAT = re.compile(
    rb"[\\\"'`][\\\"'`]{0,3}+[ \t]*+\)?(?:(?:[+&|]|\.{1,2}|\|\||<>|~)[ \t\r\n\\]*+"
    rb"|[ \t]*+\\?\r?\n[ \t\r\n]*+)\(?[\\\"'`]{1,4}+"
)
_COMMON = re.compile(
    rb"(?=(?:th|he|in|er|an|re|on|at|en|nd|ti|es|or|te|of|ed|is|it|al|ar|st|to|nt|ng|se|ha|as|ou|io"
    rb"|le|ve|co|me|de|hi|ri|ro|ic|ne|ea|ra|ce|li|ch|ll|be|ma|si|om|ur|ct|ut|us|pr|tr|ta|la|ge))",
    re.IGNORECASE,
)
_LETTERS = re.compile(rb"(?=[A-Za-z]{2})")


def wordy(secret: bytes) -> bool:
    """Say whether a joined find reads like words that ran together.

    Of the pairs of letters in English or in code about every second is among the sixty commonest,
    of drawn ones every eleventh.
    """
    pairs = len(_LETTERS.findall(secret))
    return pairs >= 8 and len(_COMMON.findall(secret)) * 4 > pairs


def _joined(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    """Drop all that may stand between the pieces of a token."""
    out = text.translate(None, _GLUE)
    if len(out) != len(text):
        yield "joined", out


def _concat(text: bytes, _seen: Seen) -> Iterator[tuple[str, bytes]]:
    """Undo the concatenation of string literals, near the places where there is one."""
    pieces: list[bytes] = []
    done = 0
    for first, last in _clusters(text):
        start = max(done, first - _NEAR)
        done = min(len(text), last + _NEAR)
        pieces.append(_CONCAT.sub(b"", text[start:done]))
    yield "concat", b"\n".join(pieces)


def _clusters(text: bytes) -> Iterator[tuple[int, int]]:
    """Give (first, last) offsets of concatenations that lie near each other."""
    first = last = -1
    for found in _CONCAT.finditer(text):
        at = found.start()
        if first >= 0 and at - last > 2 * _NEAR:
            yield first, last
            first = -1
        first = at if first < 0 else first
        last = found.end()
    if first >= 0:
        yield first, last


# What stands between the values of two fields: the end of one, a name, and what follows it, in JSON
# (also within a string), forms, cookies, YAML, env files, headers; or tags.
# No possessive repeat of a group: CPython gh-106052, mended in 3.11.5.
_BETWEEN = re.compile(
    rb"[\\\"',;&\r\n{}\[\]][\\\"',;&\r\n{}\[\] \t]{0,24}+"
    rb"(?:[A-Za-z_$][A-Za-z0-9_.$-]{0,63}+[\\\"']{0,4}+[ \t]{0,8}+[:=][ \t]{0,8}+"
    rb"[\[{][ \t\r\n\[{\\\"']{0,24}+){0,3}"
    rb"[A-Za-z_$][A-Za-z0-9_.$-]{0,63}+[\\\"']{0,4}+[ \t]{0,8}+[:=][ \t\[\\\"']{0,12}+"
)
_TAGS = re.compile(rb"</[A-Za-z_][A-Za-z0-9_.:-]{0,63}+>\s{0,40}+<[A-Za-z_][^<>]{0,255}+>")


def join_fields(text: bytes, ends: Sequence[int]) -> bytes:
    """Join the values of neighbouring fields near the ends of values that may be pieces.

    Args:
        text: JSON, a form, headers, YAML, XML, an env file, or anything that holds some.
        ends: offsets in it, rising: see `interceptor.scan.fragments`.
    """
    pieces: list[bytes] = []
    done = 0
    for end in ends:
        if end + _AHEAD <= done:
            continue
        start = max(done, end - _BEHIND)
        done = end + _AHEAD
        pieces.append(text[start:done])
    joined = _BETWEEN.sub(b"", b"".join(pieces))
    return _TAGS.sub(b"", joined) if b"</" in joined else joined


_ENDS = (r"\n", r"\r\n", r"\\\n", r"\\\r\n")
_OPERATOR = r"""["'`][ \t)]{0,2}[+&|~]"""
JOINED: tuple[Decoder, ...] = (
    Decoder(
        "concat",
        (
            _OPERATOR,
            r"""["'`][ \t)]{0,2}\.{1,2}[ \t(]{0,2}\\{0,3}["'`]""",
            r"""["'`][ \t]{0,2}\\?\r?\n[ \t]{0,40}\\{0,3}["'`]""",
        ),
        _concat,
        # Each of one length: found at once.
        hints=(
            (
                _OPERATOR,
                *(r"""["'`]""" + r"[ \t)]" * blanks + r"\." for blanks in range(3)),
                *(r"""["'`]""" + r"[ \t]" * blanks + end for blanks in range(3) for end in _ENDS),
            ),
        ),
    ),
    # Its gate is a stretch of text: noise, as most decoders make it, has none.
    Decoder("joined", (r"[\x20-\x7e\t\r\n]{24}",), _joined, last=True),
)
"""Decoders that put pieces together."""
