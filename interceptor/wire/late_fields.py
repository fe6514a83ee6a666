"""Header sections of responses, of which only what steers is read at once.

A relay asks for four or five of a response's fields; the others go on as lines. One search finds
those few, and the rest is taken apart only for the rare one who asks (a translation to HTTP/2, a
HEAD, a WebSocket's handshake).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, overload

from interceptor.verdict import Reason
from interceptor.wire.fields import (
    HOP_RESPONSE,
    PLAIN_OPTIONS,
    Field,
    HttpError,
    Section,
    is_written,
    split_fields,
    tokens,
)

# Everything that steers this hop or ends here, and what the content is. Lower case throughout: the
# search runs over a copy, and none of these values means anything by its case.
_FEW: Final = re.compile(
    rb"\n(connection|content-(?:length|encoding|type)|transfer-encoding|trailer|keep-alive"
    rb"|proxy-(?:connection|authenticate)|upgrade|alt-svc|expect|host): ([^\r]*+)\r"
)
_CONTENT: Final = frozenset((b"content-type", b"content-encoding"))


class LateSection(Sequence[Field]):
    """The fields of a response as they were read; see `interceptor.wire.fields.Section`."""

    __slots__ = ("_all", "_block", "connection", "hop", "lines", "steering")

    def __init__(self, block: bytes, steering: dict[bytes, bytes], lines: bytes) -> None:
        """Hold a valid block."""
        self._block = block
        self._all: Section | None = None
        self.steering = steering
        self.lines = lines
        self.hop = HOP_RESPONSE
        self.connection = tokens(steering.get(b"connection"))

    def _read(self) -> Section:
        if self._all is None:
            block = self._block
            self._all = split_fields(block, len(block), Reason.UPSTREAM_MALFORMED, HOP_RESPONSE)
        return self._all

    def __iter__(self) -> Iterator[Field]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    @overload
    def __getitem__(self, index: int) -> Field: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Field, ...]: ...
    def __getitem__(self, index: int | slice) -> Field | tuple[Field, ...]:
        return self._read()[index]

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))


def read_answer(raw: bytes, start: int) -> LateSection | Section:
    """Read the header section of a response.

    Args:
        raw: a head up to and with the CRLF of its last line.
        start: where the first field line begins.

    Raises:
        HttpError: UPSTREAM_MALFORMED.
    """
    block = raw[start:]
    if not is_written(block):
        return split_fields(block, len(block), Reason.UPSTREAM_MALFORMED, HOP_RESPONSE)
    text = raw[start - 1 :]
    steering: dict[bytes, bytes] = {}
    kept: list[bytes] = []
    at = 1
    for few in _FEW.finditer(text.lower()):
        name, value = few.groups()
        if name not in steering:
            steering[name] = value
        elif name == b"transfer-encoding":
            raise HttpError(Reason.UPSTREAM_MALFORMED, "duplicate transfer-encoding")
        else:
            steering[name] += b"," + value
        if name not in _CONTENT and name in HOP_RESPONSE:
            kept.append(text[at : few.start() + 1])
            at = few.end() + 1
    kept.append(text[at:])
    section = LateSection(block, steering, b"".join(kept))
    if section.connection <= PLAIN_OPTIONS:
        return section
    return split_fields(block, len(block), Reason.UPSTREAM_MALFORMED, HOP_RESPONSE)
