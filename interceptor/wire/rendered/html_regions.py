"""Where an element ends that is hidden: by its end tag, or by what ends it without one.

Source: WHATWG HTML, sections 13.1.2.4, "Optional tags", and 13.2.6.4.7, "in body".
"""

from __future__ import annotations

from typing import Final

from interceptor.wire.rendered.html_tags import VOID

_ITEMS: Final = {
    **dict.fromkeys((b"li",), frozenset((b"li",))),
    **dict.fromkeys((b"dt", b"dd"), frozenset((b"dt", b"dd"))),
    **dict.fromkeys((b"option", b"optgroup"), frozenset((b"option", b"optgroup"))),
    **dict.fromkeys((b"td", b"th"), frozenset((b"td", b"th", b"tr", b"tbody", b"tfoot"))),
    b"tr": frozenset((b"tr", b"tbody", b"tfoot")),
    **dict.fromkeys((b"thead", b"tbody", b"tfoot"), frozenset((b"tbody", b"tfoot"))),
}
"""Elements whose end tag may be left out: what begins after them."""
_HOLDERS: Final = frozenset((b"ul", b"ol", b"menu", b"dl", b"select", b"datalist", b"table"))
_ENDS: Final = frozenset((b"body", b"html"))


class Region:
    """An element with a setting of its own, until its end.

    Attributes:
        name: of the element.
        outer: setting around it.
        start: offset of its start tag, or of what has not been cut yet.
        cut: it is taken out as a whole.
        parts: text around it that waits for its end; None where that was given.
        size: bytes of them.
        seen: a sentence around it, as those read it who see what is hidden in it, and how many of
            the parts it holds.
    """

    __slots__ = (
        *("_depth", "_inner", "_kind", "concealed", "cut", "name"),
        *("outer", "parts", "seen", "size", "start"),
    )

    def __init__(
        self, name: bytes, outer: int, start: int, *, block: bool, cut: bool, concealed: bool
    ) -> None:
        self.name = name
        self.outer = outer
        self.start = start
        self.cut = cut
        self.concealed = concealed
        self.parts: list[bytes] | None = None
        self.size = 0
        self.seen: tuple[bytes | None, int] = (None, 0)
        self._depth = 1
        self._inner = 0
        self._kind = (
            "p" if name == b"p" else "item" if name in _ITEMS else "box" if block else "run"
        )

    def ends_before(self, name: bytes, *, closes: bool, block: bool) -> bool:
        """Tell whether the element ends before a tag."""
        if name in _ENDS and closes:
            return True
        if name == self.name and (closes or self._kind in ("box", "run")):
            return False
        if self._kind == "p":
            return block and name not in (b"button", b"object", b"video", b"audio", b"canvas")
        if self._kind == "item":
            if name in _HOLDERS:
                if not closes:
                    self._inner += 1
                    return False
                self._inner -= 1
                return self._inner < 0
            return not closes and not self._inner and name in _ITEMS[self.name]
        if self._kind == "run" and block and name not in VOID:
            if not closes:
                self._inner += 1
                return False
            if name in (b"p", b"li", b"td", b"th", b"tr", b"dt", b"dd") and self._inner > 0:
                self._inner -= 1
                return False
            self._inner -= 1
            return self._inner < 0
        return False

    def ends_after(self, name: bytes, *, closes: bool) -> bool:
        """Tell whether the element ends with a tag."""
        if name != self.name:
            return False
        if closes:
            # The end of an item within lists of it belongs to that list's item.
            if self._kind == "item":
                return self._inner <= 0
            self._depth -= 1
            return self._depth <= 0
        if self._kind in ("box", "run"):
            self._depth += 1
        return False
