"""XML: feeds, SVG, documents of offices. Entities other than the five are not expanded.

What an entity is declared as is given as a comment, so nothing grows and nothing is lost.
"""

from __future__ import annotations

import re
from typing import Final

from interceptor.wire.rendered.css import HidingRules
from interceptor.wire.rendered.html import HtmlReader, Known
from interceptor.wire.rendered.html_tags import (
    ACTIVE,
    CODE,
    DESCRIBES,
    HEADING,
    HIDDEN,
    Said,
    Tag,
    read_tag,
)
from interceptor.wire.rendered.html_tokens import NAME, XML_TOKEN, XML_WHOLE
from interceptor.wire.rendered.letters import lettered
from interceptor.wire.rendered.reader import BREAK

_INLINE: Final = frozenset(
    b"tspan textpath a b i em strong span font u s sup sub small big code tt mark altglyph".split()
)
_OFFICE_BLOCKS: Final = frozenset(
    b"p si tr tc row c h br tab list-item body table-cell table-row table sdt comment txbx "
    b"footnote endnote annotation s line-break title subject description keywords category v f "
    b"creator lastmodifiedby author definedname sheet worksheet docpr cnvpr".split()
)
_SETTINGS: Final = {
    b"title": HEADING,
    b"desc": DESCRIBES,
    b"metadata": DESCRIBES,
    b"script": CODE | ACTIVE,
    b"style": CODE,
    b"handler": CODE | ACTIVE,
}
_UNSEEN: Final = re.compile(
    rb"""[\s](?:display\s*=\s*["']none|visibility\s*=\s*["'](?:hidden|collapse)|(?:fill-)?opacity\s*=\s*["']0*\.?0*["']"""
    rb"""|font-size\s*=\s*["']0*[.]?0*[01]?(?:px|pt)?["']|fill\s*=\s*["'](?:none|transparent)["'][^>]{0,200}font)"""
)
_WHITE: Final = re.compile(rb"val\s*=\s*[\"'](?:ffffff|white)", re.IGNORECASE)
_TINY: Final = re.compile(rb"val\s*=\s*[\"'][0-4][\"']")
_ELEMENT: Final = re.compile(rb"<[a-zA-Z!][^<>]{0,512}>")
_HANDLED: Final = re.compile(rb"\son[a-z]{3,20}\s*=|javascript:", re.IGNORECASE)


def read_xml_tag(token: bytes, *, office: bool) -> Tag | bytes:
    """Read a tag of XML, as `read_tag` does of HTML."""
    head = NAME.match(token)
    if head is None:
        return token
    full = head[1].lower().rstrip(b">")
    name = full.rpartition(b":")[2]
    if office:
        separator = BREAK if name in _OFFICE_BLOCKS else b""
        setting = HIDDEN if full == b"w:r" else -1
    else:
        separator = b"" if name in _INLINE else BREAK
        setting = _SETTINGS.get(name, -1)
    if token.startswith(b"</"):
        if setting >= 0:
            return Tag(full, closes=True, separator=separator, setting=setting)
        return Tag(full, closes=True, separator=separator) if name == b"g" else separator
    if office and _conceals(full, token):
        # What it says holds for the run it stands in.
        return Tag(b"w:r", closes=False, separator=b"", setting=HIDDEN, opens=True, cut=False)
    whole = token.endswith(b"/>")
    if office and full == b"w:r":
        setting = -1
    if len(token) - head.end() < 3:
        if setting < 0:
            return separator
        return Tag(
            full,
            closes=False,
            separator=separator,
            setting=setting,
            opens=not whole,
            cut=bool(setting & ACTIVE),
        )
    return _with_attributes(token, head.end(), full, separator, setting, whole=whole)


def _with_attributes(
    token: bytes, at: int, name: bytes, separator: bytes, setting: int, *, whole: bool
) -> Tag | bytes:
    read = read_tag(b"<x" + token[at:], HidingRules())
    says = links = runs = b""
    active = hidden = False
    if isinstance(read, Said | Tag):
        says, links = read.says, read.links
    if isinstance(read, Tag):
        runs, hidden, active = read.runs, read.cut, read.active
    hidden = hidden or _UNSEEN.search(token.lower()) is not None
    if setting < 0 and not hidden and not runs and not active:
        if not says and not links:
            return separator
        said = Said(separator)
        said.says, said.links = says, links
        return said
    setting = max(setting, 0) | (HIDDEN if hidden else 0)
    return Tag(
        name,
        closes=False,
        separator=separator,
        setting=setting,
        opens=not whole and bool(setting),
        concealed=hidden and not whole,
        says=says,
        links=links,
        runs=runs,
        cut=hidden or bool(setting & ACTIVE),
        active=active,
    )


def _conceals(name: bytes, token: bytes) -> bool:
    """Tell whether a property of a run of text hides it (ECMA-376, section 17.3.2)."""
    if name in (b"w:vanish", b"w:specvanish"):
        return b'"0"' not in token and b'"false"' not in token
    if name == b"w:color":
        return _WHITE.search(token) is not None
    return name in (b"w:sz", b"w:szcs") and _TINY.search(token) is not None


class _XmlKnown(Known):
    """Tags of XML."""

    office = False

    def meaning(self, token: bytes) -> Tag | bytes:
        return read_xml_tag(token, office=self.office)

    def is_raw(self, token: bytes) -> bool:  # noqa: ARG002
        return False


class _OfficeKnown(_XmlKnown):
    office = True


class XmlReader(HtmlReader):
    """Reads XML; see `Reader`."""

    token = XML_TOKEN
    whole = XML_WHOLE
    ordinary: Known = _XmlKnown(HidingRules())

    def remark(self, token: bytes, start: int, end: int) -> None:
        """See `HtmlReader`: sections of character data are text."""
        if not token.startswith(b"<![CDATA["):
            super().remark(token, start, end)
            return
        text = token[9:].removesuffix(b"]]>")
        if _ELEMENT.search(text) is not None:
            self.document(text, self.setting)
        self.text(text.replace(b"&", b"&amp;"))

    def give(self, text: bytes, setting: int, start: int, end: int) -> None:
        """See `HtmlReader`: text that is markup, as in feeds, is read as such too."""
        super().give(text, setting, start, end)
        if b"&lt;" in text or b"&#" in text:
            for block in text.split(BREAK):
                plain = lettered(block)
                if _ELEMENT.search(plain) is not None:
                    self.document(plain, setting)


class OfficeReader(XmlReader):
    """Reads the XML of office documents: runs within a paragraph are one text."""

    ordinary: Known = _OfficeKnown(HidingRules())
