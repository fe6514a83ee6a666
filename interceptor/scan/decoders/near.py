"""Working near the evidence only, and many replacements in one pass.

In binary data escapes occur by chance, a few to the megabyte; only there is work to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

REACH = 2048
"""Bytes on either side of an escape that can belong to the same secret, nested encodings
included."""

_CLOSE = 256
"""The same in noise, where a secret is alone and what is written around it says nothing."""
_ASCII = re.compile(rb"[\x00-\x7f]{16,}+")  # what is shorter holds no secret
_KEPT = 4096  # distinct tokens remembered; every `&#x..;` of a natural text is among far fewer
_BLOCK = 16_384  # what is split at a time: its pieces stay in the cache
_TOKEN = 64  # longer than any token
# Where tokens are many but of few kinds, a pass for each kind is cheaper.
_SAMPLE, _CROWD, _KINDS = 1024, 64, 8


def cut(
    text: bytes,
    evidence: Sequence[re.Pattern[bytes]],
    view: bytes | None = None,
    *,
    ascii_only: bool = False,
) -> list[bytes]:
    """Cut `text` down to the stretches where one of `evidence` matches, with `REACH` around each.

    A text that is short is one stretch, whether or not there is evidence.

    Args:
        text: any bytes.
        evidence: begins with a fixed byte, or `re` is slow.
        view: what is searched instead of `text`, byte for byte.
        ascii_only: no byte above 0x7F is part of the evidence or of what it belongs to. Then of
            stretches that are noise only the ASCII close to the evidence is kept: its escapes are
            chance, and each kind would call for all others.
    """
    if len(text) <= 2 * REACH:
        return [text]
    view = text if view is None else view
    spans = _around(view, evidence, 0, len(text), REACH)
    if not ascii_only:
        return [text[start:end] for start, end in spans]
    pieces: list[bytes] = []
    for start, end in spans:
        if is_text(text[start:end]):
            pieces.append(text[start:end])
            continue
        for run in _ASCII.finditer(text, start, end):
            close = _around(view, evidence, *run.span(), _CLOSE)
            pieces += [text[first:last] for first, last in close]
    return pieces


def is_text(piece: bytes) -> bool:
    """Say whether a piece is UTF-8 but for a few bytes, such as a character cut at its edge."""
    if piece.isascii():
        return True
    return len(piece) - len(piece.decode("utf-8", "ignore").encode()) <= 8 + (len(piece) >> 5)


def _around(
    view: bytes, evidence: Sequence[re.Pattern[bytes]], start: int, end: int, reach: int
) -> list[tuple[int, int]]:
    """Give the stretches from `start` to `end` that lie within `reach` of evidence."""
    spans: list[tuple[int, int]] = []
    for pattern in evidence:
        at = start
        while (found := pattern.search(view, at, end)) is not None:
            at = found.start() + reach  # what lies between has `reach` behind it, too
            spans.append((max(start, at - 2 * reach), min(end, at + reach)))
    return merged(spans)


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort spans, and make one of those that touch; none begins below 0."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((max(0, start), end))
    return out


class Replacements(dict[bytes, bytes]):
    """What tokens stand for, worked out once for each."""

    def __init__(self, parse: Callable[[bytes], bytes]) -> None:
        """Ask `parse` for the meaning of a token; it gives the token itself if it has none."""
        super().__init__()
        self._parse = parse

    def __missing__(self, token: bytes) -> bytes:
        if len(self) >= _KEPT:
            self.clear()
        value = self[token] = self._parse(token)
        return value


def replaced(text: bytes, token: re.Pattern[bytes], mark: bytes, meaning: Replacements) -> bytes:
    """Put in for every token what it means.

    Four times as fast as `re.sub` with a function.

    Args:
        text: any bytes.
        token: one group around the whole; never longer than 64 bytes.
        mark: the byte every token begins with, and which occurs in none but there.
        meaning: of tokens.
    """
    out: list[bytes] = []
    start, size = 0, len(text)
    while start < size:
        stop = start + _BLOCK
        if stop < size:  # not through a token
            last = text.rfind(mark, stop - _TOKEN, stop)
            stop = last if last > start else stop
        out += _block(text[start:stop], token, meaning)
        start = stop
    return b"".join(out)


def _block(block: bytes, token: re.Pattern[bytes], meaning: Replacements) -> list[bytes]:
    sample = token.findall(block, 0, _SAMPLE)
    if len(sample) > _CROWD and len(set(sample)) <= _KINDS:
        distinct = set(token.findall(block))
        if len(distinct) <= _KINDS:
            # The longer first: `&#65` may be the beginning of another.
            for one in sorted(distinct, key=len, reverse=True):
                block = block.replace(one, meaning[one])
            return [block]
    pieces: list[bytes] = token.split(block)
    pieces[1::2] = map(meaning.__getitem__, pieces[1::2])
    return pieces
