"""What the tests of bodies share: the texts of a body, and a secret to put into one."""

from __future__ import annotations

from collections.abc import Sequence

from interceptor.scan.ruleset import example
from interceptor.wire.body.stream import BodyStream

SECRET = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "bodies")
"""A GitHub token that no one ever had."""

Text = tuple[str, bytes]


def texts_of(
    data: bytes,
    content_type: bytes = b"",
    *,
    codings: tuple[bytes, ...] = (),
    step: int = 0,
    budget: int | None = 16 << 20,
    expansion: int = 1000,
    types: Sequence[bytes] | None = None,
) -> list[Text]:
    """(place, content) of each text, in the order in which they begin; fed `step` bytes a time."""
    stream = BodyStream(types if types is not None else [content_type], codings, budget, expansion)
    found: dict[int, tuple[str, list[bytes]]] = {}
    ended: set[int] = set()

    def take(part: bytes | None) -> None:
        for piece in stream.finish() if part is None else stream.feed(part):
            assert piece.text not in ended
            assert len(piece.data) <= 1 << 17
            where, pieces = found.setdefault(piece.text, (piece.where, []))
            assert where == piece.where
            pieces.append(piece.data)
            if piece.last:
                ended.add(piece.text)

    step = step or len(data) or 1
    for at in range(0, len(data), step):
        take(data[at : at + step])
    take(None)
    assert ended == set(found), "a text that never ends"
    return [(where, b"".join(pieces)) for where, pieces in found.values()]
