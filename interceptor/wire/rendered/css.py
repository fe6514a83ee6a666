"""Styles under which text cannot be seen."""

from __future__ import annotations

import re
from typing import Final

from interceptor.wire.rendered.letters import unescaped

_ZERO: Final = rb"[+]?(?:0+(?:\.0*)?|\.0+)(?:px|r?em|ex|ch|v[wh]|p[tc]|cm|mm|in|%)?"
_TINY: Final = rb"(?:0*\.(?:\d+(?:px|pt|%)|[0-2]\d*r?em)|[01](?:\.\d*)?(?:px|pt|%))"
_FAR: Final = rb"-\s*\d{3,}(?:\.\d*)?(?:px|r?em|%|v[wh]|p[tc]|ch|ex|cm|mm|in)?"
_END: Final = rb"(?=\s*(?:!|;|$|\}))"
_UNSEEN: Final = re.compile(
    rb"(?:^|[;{\s])(?:"
    rb"display\s*:\s*none"
    rb"|visibility\s*:\s*(?:hidden|collapse)"
    rb"|content-visibility\s*:\s*hidden"
    rb"|opacity\s*:\s*(?:0?\.0\d*|0+(?:\.0\d*)?%?|[0-4](?:\.\d*)?%)"
    + _END
    + rb"|font(?:-size)?\s*:\s*(?:"
    + _ZERO
    + rb"|"
    + _TINY
    + rb")(?=\s*(?:!|;|$|\}|/|\s[a-z]))"
    rb"|(?:max-)?(?:height|width)\s*:\s*"
    + _ZERO
    + _END
    + rb"|line-height\s*:\s*"
    + _ZERO
    + _END
    + rb"|text-indent\s*:\s*"
    + _FAR
    + rb"|(?:margin(?:-(?:left|top))?|left|right|top|bottom|inset"
    rb"(?:-[a-z-]+)?)\s*:\s*-\s*\d{4,}"
    rb"|(?:left|right|top|bottom)\s*:\s*-\s*(?:[5-9]\d\d|1[0-9]{2,})(?:px|v[wh]|%|r?em)"
    rb"|(?:left|top|margin-left)\s*:\s*\d{5,}px|(?:left|top)\s*:\s*[2-9]\d\dv[wh]"
    rb"|clip\s*:\s*rect\(\s*(?:0|1px)[\s,a-z0-9]*\)"
    rb"|clip-path\s*:\s*(?:inset\(\s*(?:50|100)%|circle\(\s*0|polygon\(\s*0\s+0\s*,?\s*0)"
    rb"|transform\s*:\s*[^;}]{0,80}?(?:scale[xy3d]{0,2}\(\s*0*(?:\.0+)?\s*[,)]|translate[xy3d]{0,2}\(\s*-\s*\d{4,})"
    rb"|filter\s*:\s*opacity\(\s*0%?\s*\)|mask(?:-image)?\s*:\s*linear-gradient\(\s*transparent\s*,\s*transparent"
    rb"|(?:-webkit-text-fill-)?color\s*:\s*(?:transparent|rgba\([^)]{1,40},\s*0*(?:\.0\d*)?%?\s*\)|"
    rb"rgb\([^)]{1,40}/\s*0%?\s*\)|hsla\([^)]{1,40},\s*0(?:\.0\d*)?\s*\)|#[0-9a-f]{6}00(?![0-9a-f])|#[0-9a-f]{3}0(?![0-9a-f]))"
    rb"|z-index\s*:\s*-\s*\d{3,})"
)
_COLOUR: Final = re.compile(rb"(?:^|[;{\s])color\s*:\s*([^;}!]{1,40})")
_BEHIND: Final = re.compile(rb"(?:^|[;{\s])background(?:-color)?\s*:\s*([^;}!]{1,60})")
_RGB: Final = re.compile(rb"rgba?\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})")
_HEX: Final = re.compile(rb"#([0-9a-f]{3,8})")
_WORD: Final = re.compile(rb"[a-z]{3,20}")
_NAMES: Final = {
    b"white": (255, 255, 255),
    b"black": (0, 0, 0),
    b"snow": (255, 250, 250),
    b"ivory": (255, 255, 240),
    b"whitesmoke": (245, 245, 245),
    b"ghostwhite": (248, 248, 255),
    b"red": (255, 0, 0),
    b"green": (0, 128, 0),
    b"blue": (0, 0, 255),
    b"gray": (128, 128, 128),
    b"grey": (128, 128, 128),
    b"yellow": (255, 255, 0),
    b"silver": (192, 192, 192),
}
_HINT: Final = re.compile(
    rb"none|hid|collapse|opacity|color|font|height|width|clip|indent|transform|mask|left|right|top"
    rb"|bottom|margin|inset|z-index|\\"
)
_ESCAPE: Final = re.compile(rb"\\([0-9a-fA-F]{1,6})\s?|\\([^\n])")
COMMENT: Final = re.compile(rb"/\*((?>(?:[^*]++|\*(?!/))*))(?:\*/|\Z)")
STRING: Final = re.compile(
    rb"\"((?>(?:[^\"\\\n]++|\\.)*))\"|'((?>(?:[^'\\\n]++|\\.)*))'", re.DOTALL
)
_SIMPLE: Final = re.compile(rb"(?:(\*|[a-z][a-z0-9-]*)?)((?:[.#][a-z0-9_-]+)*)", re.IGNORECASE)
_MOST_RULES: Final = 512
_MOST_BLOCKS: Final = 4096
_ELSEWHERE: Final = re.compile(rb"@.*(?:print|width|prefers|hover|speech|height)", re.DOTALL)
"""Conditions under which rules hold on some screens only."""

HIDDEN_CLASSES: Final = frozenset(
    b"sr-only sr-only-focusable visually-hidden visuallyhidden visually-hidden-focusable "
    b"screen-reader-text screen-reader-only screenreader screenreader-only screen-reader u-hidden "
    b"u-visually-hidden hidden is-hidden hide d-none invisible offscreen off-screen "
    b"element-invisible element-hidden a11y-hidden assistive-text accessibly-hidden hidden-text "
    b"visibility-hidden opacity-0 text-transparent text-[0px] uk-hidden is-sr-only ng-hide "
    b"cdk-visually-hidden display-none nodisplay no-display".split()
)
"""Names that common style sheets hide elements with."""


def hides(style: bytes) -> bool:
    """Tell whether declarations leave text unseen: no display, no size, off the page, no contrast.

    Args:
        style: value of a style attribute, or what stands between the braces of a rule.
    """
    style = unescaped(style[:4096]).lower()
    if _HINT.search(style) is None:
        return False
    if b"\\" in style:
        style = css_unescaped(style)
    if b"/*" in style:
        style = COMMENT.sub(b"", style)
    if _UNSEEN.search(style) is not None:
        return True
    colour = _COLOUR.search(style)
    if colour is None:
        return False
    ink = _rgb(colour[1])
    behind = _BEHIND.search(style)
    if ink is None or behind is None:
        return False
    ground = _rgb(behind[1])
    return ground is not None and max(abs(a - b) for a, b in zip(ink, ground, strict=True)) <= 12


def is_white(style: bytes) -> bool:
    """Tell whether text is white, and what is behind it is not said: on a page it is white."""
    style = style[:4096].lower()
    colour = _COLOUR.search(style) if b"color" in style and b"background" not in style else None
    ink = _rgb(colour[1]) if colour is not None else None
    return ink is not None and min(ink) >= 250


def _rgb(value: bytes) -> tuple[int, int, int] | None:
    found = _RGB.search(value)
    if found is not None:
        return int(found[1]), int(found[2]), int(found[3])
    found = _HEX.search(value)
    if found is not None:
        digits = found[1]
        if len(digits) < 6:
            digits = bytes(digit for digit in digits[:3] for _ in range(2))
        return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)
    found = _WORD.search(value)
    return _NAMES.get(found[0]) if found is not None else None


def css_unescaped(text: bytes) -> bytes:
    """Undo the escapes of CSS (CSS Syntax 3, section 4.3.7)."""
    return _ESCAPE.sub(_letter, text) if b"\\" in text else text


def _letter(match: re.Match[bytes]) -> bytes:
    if match[1] is None:
        return match[2]
    number = int(match[1], 16)
    return chr(number).encode("utf-8", "replace") if 0 < number < 0x110000 else b"\xef\xbf\xbd"


class HidingRules:
    """Simple selectors of a document's own styles whose elements cannot be seen."""

    __slots__ = ("classes", "count", "ids", "names", "pairs")

    def __init__(self) -> None:
        self.classes: set[bytes] = set()
        self.ids: set[bytes] = set()
        self.names: set[bytes] = set()
        self.pairs: set[frozenset[bytes]] = set()
        self.count = 0

    def read(self, sheet: bytes) -> bool:
        """Take a style sheet; true when there is something new in it."""
        if b"/*" in sheet:
            sheet = COMMENT.sub(b"", sheet)
        before = self.count
        elsewhere = False
        for block in sheet.split(b"}", _MOST_BLOCKS)[:_MOST_BLOCKS]:
            head, opens, body = block.rpartition(b"{")
            if not opens:
                elsewhere = False  # the end of what held rules
                continue
            outer, nested, selectors = head.rpartition(b"{")
            if nested and outer:
                elsewhere = _ELSEWHERE.search(outer[-200:]) is not None
            if not elsewhere and len(selectors) <= 4096 and hides(body):
                if self.count >= _MOST_RULES:
                    break
                for selector in selectors.rpartition(b";")[2].split(b",")[:64]:
                    self._add(selector.strip())
        return self.count != before

    def _add(self, selector: bytes) -> None:
        found = _SIMPLE.fullmatch(css_unescaped(selector))
        if found is None or not found[0]:
            return
        name = (found[1] or b"").lower()
        marks = re.findall(rb"[.#][^.#]+", found[2])
        self.count += 1
        if not marks:
            if name not in (b"*", b"html", b"body"):
                self.names.add(name)
        elif len(marks) == 1 and name in (b"", b"*"):
            (self.classes if marks[0][:1] == b"." else self.ids).add(marks[0][1:])
        else:
            self.pairs.add(frozenset((*marks, *((name,) if name not in (b"", b"*") else ()))))

    def match(self, name: bytes, classes: list[bytes], identity: bytes) -> bool:
        """Tell whether an element is one of those."""
        if not self.count:
            return False
        if name in self.names or (identity and identity in self.ids):
            return True
        if classes and not self.classes.isdisjoint(classes):
            return True
        if not self.pairs:
            return False
        own = {name, b"#" + identity, *(b"." + one for one in classes)}
        return any(pair <= own for pair in self.pairs)
