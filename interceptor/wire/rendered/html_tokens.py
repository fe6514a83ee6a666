"""HTML cut into texts and tags, as the standard's tokenizer cuts it, by one linear pattern.

A quoted value may hold `>`; a quote that does not begin a value is part of a name. Comments end
where the first reader ends them. Whatever begins as a tag is a token: one that does not end
reaches to the end of the data, so no byte is looked at twice.

Source: WHATWG HTML, section 13.2.5, "Tokenization".
"""

from __future__ import annotations

import re
from typing import Final


def _fold(name: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" for letter in name)


# Repeats of single characters are possessive, those of groups atomic: nothing is tried twice.
_VALUE: Final = r"""(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s"'>][^\s>]*+)"""
_REST: Final = rf"(?>(?:[\s/]++|[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:{_VALUE})?)?)*)"
_TAG: Final = rf"/?[a-zA-Z][^\s/>]*+{_REST}(?:>|\Z)"
_PLAIN: Final = r"/?[abd-hj-mo-ru-wy-z][^\s/>]*+(?:[ ][a-z-]++=\"[^\"]*+\")*>|/[a-zA-Z][^\s/>]*+>"
"""Most tags: names with which no raw text begins, and attributes written plainly."""
_COMMENT: Final = r"!--(?:-?>|(?>(?:[^-]++|-(?!-!?>))*)(?:--!?>|\Z))"
_CDATA: Final = r"!\[CDATA\[(?>(?:[^\]]++|\](?!\]>))*)(?:\]\]>|\Z)"
_OTHER: Final = r"(?!!--)[!?/][^>]*+(?:>|\Z)"

RAW: Final = ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
"""Elements whose content holds no tags (section 13.1.2)."""


def _raw(name: str) -> str:
    name = _fold(name)
    content = rf"(?>(?:[^<]++|<(?!/{name}[\s/>]))*)(?:</{name}[^>]*+(?:>|\Z)|\Z)"
    return rf"{name}(?=[\s/>]){_REST}(?:\Z|>{content})"


_RAWS: Final = rf"(?=[sStTxXiInN])(?:{'|'.join(_raw(name) for name in RAW)})"
_NO_RAW: Final = rf"(?!(?:{'|'.join(_fold(name) for name in RAW)})[\s/>])"
_HTML: Final = rf"{_PLAIN}|{_RAWS}|{_NO_RAW}{_TAG}|{_COMMENT}|{_OTHER}|\Z"
_XML: Final = rf"{_PLAIN}|{_TAG}|{_COMMENT}|{_CDATA}|(?!!\[CDATA\[){_OTHER}|\Z"


def _compiled(tokens: str) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """What cuts, and what a token that is whole fits."""
    whole = tokens.replace(r"|\Z)", ")").replace(r"\Z|", "").removesuffix(r"|\Z")
    return re.compile(f"(<(?:{tokens}))".encode()), re.compile(f"<(?:{whole})".encode())


HTML_TOKEN, HTML_WHOLE = _compiled(_HTML)
XML_TOKEN, XML_WHOLE = _compiled(_XML)
NAME: Final = re.compile(rb"</?([a-zA-Z][^\s/>]*+)")
ATTRIBUTE: Final = re.compile(
    rb"""[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+("[^"]*+"?|'[^']*+'?|[^\s"'>][^\s>]*+)?)?"""
)
OPEN_TAG: Final = re.compile(f"<[a-zA-Z][^\\s/>]*+{_REST}>".encode())
OPEN_VALUE: Final = re.compile(
    rb"""<[a-zA-Z][^\s/>]*+(?>(?:[\s/]++|[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s"'>][^\s>]*+)?)?)*?)[\s/]++[^\s/>][^\s/>=]*+\s*+=\s*+("[^"]*+|'[^']*+)\Z"""
)
