"""What a tag means for its reader: its name, what it says, whether its element can be seen."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from interceptor.model import Setting
from interceptor.wire.rendered.css import HIDDEN_CLASSES, HidingRules, hides, is_white
from interceptor.wire.rendered.html_tokens import ATTRIBUTE, NAME
from interceptor.wire.rendered.letters import unescaped
from interceptor.wire.rendered.reader import BREAK

HIDDEN: Final = int(Setting.HIDDEN)
COMMENT: Final = int(Setting.COMMENT)
DESCRIBES: Final = int(Setting.ATTRIBUTE)
CODE: Final = int(Setting.CODE)
QUOTE: Final = int(Setting.QUOTE)
HEADING: Final = int(Setting.HEADING)
LINK: Final = int(Setting.LINK)
ACTIVE: Final = int(Setting.ACTIVE)

_BLOCKS: Final = frozenset(
    b"address article aside blockquote body button caption center col colgroup dd details dialog "
    b"dir div dl dt fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head "
    b"header hgroup hr html iframe legend li link listing main map menu meta nav noscript object "
    b"ol optgroup option p plaintext pre script search section select style summary table tbody "
    b"td template textarea tfoot th thead title tr ul video xmp base applet audio canvas".split()
)
VOID: Final = frozenset(
    b"area base br col embed frame hr img input keygen link meta param source track wbr".split()
)
SETTINGS: Final = {
    **dict.fromkeys((b"h1", b"h2", b"h3", b"h4", b"h5", b"h6"), HEADING),
    **dict.fromkeys((b"pre", b"listing", b"plaintext", b"code", b"kbd", b"samp", b"tt"), CODE),
    **dict.fromkeys((b"blockquote", b"q"), QUOTE),
    **dict.fromkeys((b"noscript", b"template", b"details", b"dialog"), HIDDEN),
    **dict.fromkeys((b"object", b"applet"), ACTIVE),
    b"summary": 0,
}
"""Elements whose content has a setting of its own."""
_UNSEEN: Final = frozenset((b"noscript", b"template"))
WITHIN_TEXT: Final = frozenset((b"code", b"kbd", b"samp", b"tt", b"q"))
"""Those of them that stand within a sentence."""

_LINKS: Final = frozenset(
    b"href src srcset action formaction poster background cite longdesc data usemap manifest ping "
    b"xlink:href codebase archive icon data-src data-href data-url data-original lowsrc".split()
)
_SPEAKING: Final = frozenset(
    b"alt title placeholder content value label summary aria-label aria-description "
    b"aria-roledescription aria-valuetext aria-placeholder abbr standby prompt itemprop-value "
    b"data-content data-title data-tooltip data-text data-caption data-description data-prompt "
    b"data-original-title data-label data-message data-instructions tooltip caption "
    b"description".split()
)
_DULL: Final = frozenset(
    b"class style d points viewbox sizes media width height rel type id name for transform "
    b"preserveaspectratio integrity nonce lang dir role tabindex target method xmlns "
    b"stroke fill font-family stroke-dasharray values keytimes keysplines matrix srcset "
    b"gradienttransform patterntransform coords rows cols accept allow sandbox headers".split()
)
_TEXT: Final = re.compile(rb"[A-Za-z\x80-\xff]")
_MOST_ATTRIBUTES: Final = 512


class Tag(msgspec.Struct, frozen=True, gc=False):
    """A tag that is more than a boundary within text."""

    name: bytes
    """In lower case."""
    closes: bool
    separator: bytes
    setting: int = 0
    """Of what it opens or closes."""
    opens: bool = False
    """It begins an element with `setting`."""
    concealed: bool = False
    """Its element is hidden by an attribute or a style: whatever its name is, its end counts."""
    says: bytes = b""
    """Texts of its attributes, a line each."""
    links: bytes = b""
    runs: bytes = b""
    """What its attributes run: handlers, documents of frames."""
    cut: bool = False
    """Nobody is meant to see its element: it can be taken out."""
    active: bool = False
    """It loads or does something by itself, and goes as a whole."""


class Said(bytes):
    """A tag that stands for its bytes in text, and says something beside it."""

    says: bytes
    links: bytes


class Element(NamedTuple):
    """What is known of an element by its name."""

    name: bytes
    separator: bytes
    setting: int
    """-1 for none of its own."""


class _Elements(dict[bytes, Element]):
    """Names as they are written, to elements."""

    def __missing__(self, written: bytes) -> Element:
        name = written.lower().rstrip(b">")
        separator = BREAK if name in _BLOCKS else b"\n" if name == b"br" else b""
        element = Element(name, separator, SETTINGS.get(name, -1))
        if len(self) < 1024 and len(name) <= 32:
            self[written] = element
        return element


ELEMENTS: Final = _Elements()


def read_tag(token: bytes, rules: HidingRules) -> Tag | bytes:
    """Read a tag; bytes when it is no more than what it stands for in text.

    Args:
        token: from `<` to `>`; begins with a letter behind `<` or `</`.
        rules: the document's own styles.
    """
    head = NAME.match(token)
    if head is None:  # `<` at the end of everything
        return token
    element = ELEMENTS[head[1]]
    name, separator, setting = element
    at = head.end()
    if token.startswith(b"</"):
        # What end tags carry is no attribute to anybody, and could be read by those who read all.
        said = token[at:-1].strip() if len(token) - at > 12 else b""
        if setting >= 0 or said:
            return Tag(name, closes=True, separator=separator, setting=max(setting, 0), says=said)
        return separator
    if len(token) - at < 3 and not rules.count:
        return separator if setting < 0 else _plain(name, separator, setting)
    return _with_attributes(token, at, element, rules)


def _plain(name: bytes, separator: bytes, setting: int) -> Tag:
    return Tag(
        name, closes=False, separator=separator, setting=setting, opens=True, cut=name in _UNSEEN
    )


_CLASS, _ID, _STYLE, _LINKING, _SPEAKING_ROLE, _DULL_ROLE, _OTHER, _RARE = range(8)
_RARES: Final = frozenset(
    (b"hidden", b"aria-hidden", b"srcdoc", b"open", b"http-equiv", b"color", b"type")
)


class _Roles(dict[bytes, int]):
    """Names of attributes as they are written, to what is done with them."""

    def __missing__(self, written: bytes) -> int:
        key = written.lower()
        role = _OTHER
        if key in _RARES or (key.startswith(b"on") and len(key) > 3):
            role = _RARE
        elif key in _LINKS:
            role = _LINKING
        elif key in _SPEAKING:
            role = _SPEAKING_ROLE
        elif key in _DULL or key.startswith(b"xmlns"):
            role = _DULL_ROLE
        if len(self) < 1024 and len(key) <= 32:
            self[written] = role
        return role


_ROLES: Final = _Roles({b"class": _CLASS, b"id": _ID, b"style": _STYLE})
_ROLES.update({b"CLASS": _CLASS, b"ID": _ID, b"STYLE": _STYLE, b"Style": _STYLE, b"Class": _CLASS})
_ACTIVE_ELEMENTS: Final = frozenset(
    (b"embed", b"frame", b"object", b"applet", b"portal", b"fencedframe")
)


class _Attributes:
    """What the attributes of one tag come to."""

    __slots__ = ("active", "bare", "closed", "cut", "links", "name", "runs", "says", "unsaid")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.says: list[bytes] = []
        self.links: list[bytes] = []
        self.runs: list[bytes] = []
        self.active = name in _ACTIVE_ELEMENTS
        self.cut = False
        self.unsaid = False
        self.closed = True
        self.bare = 0

    def rare(self, key: bytes, value: bytes) -> None:
        """Take one of the attributes that change what an element is."""
        key = key.lower()
        if key == b"hidden":
            self.cut = True
        elif key == b"aria-hidden":
            self.unsaid = value.strip().lower() == b"true"
        elif key == b"srcdoc":
            self.runs.append(unescaped(value))
            self.active = True
        elif key == b"open":
            self.closed = self.name not in (b"details", b"dialog")
        elif key == b"http-equiv":
            self.active = self.active or value.strip().lower() == b"refresh"
        elif key == b"color":
            self.cut = self.cut or (self.name == b"font" and is_white(b"color:" + value))
        elif key == b"type":
            self.unsaid = self.unsaid or (self.name == b"input" and value.lower() == b"hidden")
        elif value:
            self.runs.append(unescaped(value))


def _with_attributes(token: bytes, at: int, element: Element, rules: HidingRules) -> Tag | bytes:
    name, separator, setting = element
    found = _Attributes(name)
    classes: list[bytes] = []
    style = identity = b""
    for key, value in ATTRIBUTE.findall(token, at, len(token) - 1)[:_MOST_ATTRIBUTES]:
        if value[:1] in (b'"', b"'"):
            value = value[1:-1]
        role = _ROLES[key]
        if role == _CLASS:
            classes = value.split()
        elif role == _LINKING:
            if value:
                found.links.append(unescaped(value) if b"&" in value else value)
                if b":" in value and not found.active:
                    found.active = _runs(value)
        elif role == _ID:
            identity = value
        elif role == _STYLE:
            style = value
        elif role == _RARE:
            found.rare(key, value)
        elif not value:
            found.bare += 1
            if len(key) > 24:
                found.says.append(key)
        elif _speaks(role, value):
            found.says.append(unescaped(value))
    if style:
        if b"content" in style or b"--" in style or b"url(" in style:
            found.says.append(unescaped(style))
        if hides(style) or (not classes and is_white(style)):
            found.cut = True
    if (classes and not HIDDEN_CLASSES.isdisjoint(classes)) or (
        rules.count and rules.match(name, classes, identity)
    ):
        found.cut = True
    if found.bare >= 3:  # a sentence between angle brackets
        found.says.append(token[1:-1])
    if not found.closed:
        setting = -1
    if len(token) > 16_384 and token.count(b"=") > _MOST_ATTRIBUTES:
        found.says.append(token)
    return _tag_of(found, separator, setting)


def _tag_of(found: _Attributes, separator: bytes, setting: int) -> Tag | bytes:
    name = found.name
    says, links, runs = found.says, found.links, found.runs
    hidden = found.cut or found.unsaid
    if not (says or links or runs or hidden or found.active or setting >= 0):
        return separator
    if not (runs or hidden or found.active or setting >= 0):
        said = Said(separator)
        said.says, said.links = b"\n".join(says), b"\n".join(links)
        return said
    void = name in VOID
    return Tag(
        name,
        closes=False,
        separator=separator,
        setting=max(setting, 0) | (HIDDEN if hidden else 0),
        opens=(setting >= 0 or hidden) and not void,
        concealed=hidden and not void and setting < 0,
        says=b"\n".join(says),
        links=b"\n".join(links),
        runs=b"\n".join(runs),
        active=found.active,
        cut=found.cut or name in _UNSEEN,
    )


def _speaks(role: int, value: bytes) -> bool:
    """Tell whether the value of an attribute may be language."""
    if role == _DULL_ROLE:
        return len(value) > 80 and b" " in value
    # What holds a bracket ends the tag for a reader that does not know of quotes.
    if role != _SPEAKING_ROLE and len(value) < 12 and b">" not in value:
        return False
    return _TEXT.search(value) is not None


def _runs(value: bytes) -> bool:
    start = unescaped(value[:64]).lstrip().lower()
    return start.startswith((b"javascript:", b"vbscript:", b"data:text/html"))
