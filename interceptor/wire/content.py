"""Content codings, undone within a budget (RFC 9110 section 8.4.1).

A coding that cannot be undone is an error, never a reason to pass the bytes unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from interceptor.verdict import Reason
from interceptor.wire.body.aws_chunked import AwsChunked
from interceptor.wire.body.decoders import Brotli, Decoder, Inflate, Zstd
from interceptor.wire.fields import HttpError

MAX_CODINGS: Final = 4
FREE_BYTES: Final = 1 << 20
"""Decoded bytes that no ratio is asked of."""

_DECODERS: Final[dict[bytes, Callable[[], Decoder]]] = {
    b"gzip": Inflate,
    b"x-gzip": Inflate,
    b"deflate": lambda: Inflate(b"deflate"),
    b"br": Brotli,
    b"zstd": Zstd,
    b"aws-chunked": AwsChunked,
}
# No codings, but common there: what they name changes no byte, and the scan reads base64 itself.
_NONE: Final = frozenset(
    (b"", b"identity", b"none", b"binary", b"8bit", b"7bit", b"utf-8", b"utf8", b"base64")
)


def content_codings(value: bytes | None) -> tuple[bytes, ...]:
    """Codings that a Content-Encoding names, in the order applied; identity left out."""
    if not value:
        return ()
    found = [item.strip(b" \t").lower() for item in value.split(b",")]
    codings = [item for item in found if item not in _NONE]
    if b"aws-chunked" in codings:
        # Always applied last, wherever it is written (Amazon S3, "Signature calculations").
        codings.sort(key=lambda item: item == b"aws-chunked")
    return tuple(codings)


def check_codings(codings: tuple[bytes, ...]) -> None:
    """Raise HttpError with INCOMPLETE unless each of `codings` can be undone."""
    for coding in codings:
        if coding not in _DECODERS:
            # Its name is the agent's text, and may be anything: it is not repeated.
            raise HttpError(Reason.INCOMPLETE, "a content coding that cannot be read")
    if len(codings) > MAX_CODINGS:
        raise HttpError(Reason.INCOMPLETE, f"more than {MAX_CODINGS} content codings")


class ContentReader:
    """Undoes a chain of codings, piece by piece, in constant memory.

    Raises `HttpError` with `Reason.INCOMPLETE` for an unknown coding, damaged data, or when more
    comes out than `budget` bytes, or than `expansion` times the input beyond the first MiB.
    What is between two codings counts like what comes out at the end.

    Attributes:
        taken: encoded bytes taken.
        given: decoded bytes, those between two codings included.
    """

    __slots__ = ("_budget", "_expansion", "_stages", "given", "taken")

    def __init__(self, codings: tuple[bytes, ...], budget: int, expansion: int = 1000) -> None:
        """Undo `codings`, last applied first; `budget` is the most bytes to give out."""
        check_codings(codings)
        self._stages = [_DECODERS[coding]() for coding in reversed(codings)]
        self._budget: int | None = budget
        self._expansion = expansion
        self.taken = 0
        self.given = 0

    def lift_budget(self) -> None:
        """Decode without end from now on: what comes out is no longer kept, so it costs nothing.

        The ratio is held to still.
        """
        self._budget = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give decoded pieces of at most 128 KB each."""
        self.taken += len(data)
        return self._run(data, 0)

    def finish(self) -> None:
        """Tell that the body has ended; a stream that stops in the middle is an error."""
        if self.taken and not all(stage.complete for stage in self._stages):
            raise HttpError(Reason.INCOMPLETE, "the compressed body is cut short")

    def _run(self, data: bytes, depth: int) -> Iterator[bytes]:
        if depth == len(self._stages):
            if data:
                yield data
            return
        stage = self._stages[depth]
        for piece in stage.feed(data):
            self._count(len(piece))
            yield from self._run(piece, depth + 1)
        if stage.damaged:
            what = "takes too much memory to be read" if stage.beyond else "is damaged"
            raise HttpError(Reason.INCOMPLETE, f"the compressed body {what}")

    def _count(self, size: int) -> None:
        self.given += size
        if self._budget is not None and self.given > self._budget:
            raise HttpError(Reason.INCOMPLETE, "the decoded body is over limits.decoded_bytes")
        if self.given > FREE_BYTES and self.given > self._expansion * self.taken:
            raise HttpError(Reason.INCOMPLETE, "the decoded body is over limits.expansion")
