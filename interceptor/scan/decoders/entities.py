"""Character references of HTML and XML (WHATWG HTML, section 13.2.5.72 and its table of names).

Names are those of ASCII punctuation, of letters in another style or look-alikes of ASCII, and of
what cannot be seen; a name not among them stays.
"""

from __future__ import annotations

import re

from interceptor.scan.decoders.near import Replacements, replaced
from interceptor.scan.decoders.percent import character


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_BLANK = ("nbsp", "NonBreakingSpace", "ensp", "emsp", "thinsp", "ThinSpace", "hairsp")
_UNSEEN = (
    *("shy", "ZeroWidthSpace", "NoBreak", "zwnj", "zwj", "lrm", "rlm", "af", "ApplyFunction"),
    *("it", "InvisibleTimes", "ic", "InvisibleComma", "NegativeThinSpace", "NegativeMediumSpace"),
    *("NegativeVeryThinSpace", "NegativeThickSpace"),
)
_NAMED = {
    name: value.encode()
    for name, value in {
        "Tab": "\t",
        "NewLine": "\n",
        **_pairs(
            """excl ! quot " QUOT " num # dollar $ percnt % amp & AMP & apos ' lpar ( rpar ) ast *
            midast * plus + comma , period . sol / colon : semi ; lt < LT < equals = gt > GT >
            quest ? commat @ lsqb [ lbrack [ bsol \\ rsqb ] rbrack ] Hat ^ lowbar _ UnderBar _
            grave ` DiacriticalGrave ` lcub { lbrace { verbar | vert | VerticalLine | rcub }
            rbrace } fjlig fj hyphen - dash - ndash - minus - frasl /"""
        ),
        # Greek, Cyrillic and letterlike: what they look like.
        **_pairs(
            """Alpha A Beta B Epsilon E Zeta Z Eta H Iota I Kappa K Mu M Nu N Omicron O Rho P Tau T
            Upsilon Y Chi X omicron o nu v rho p iota i kappa k
            Acy A Vcy B IEcy E Ncy H Iukcy I Jsercy J Kcy K Mcy M Ocy O Rcy P Scy C DScy S Tcy T
            KHcy X acy a iecy e iukcy i jsercy j ocy o rcy p scy c dscy s khcy x ucy y
            imath i inodot i jmath j ell l ii i ee e dd d DD D Copf C reals R integers Z naturals N
            primes P rationals Q quaternions H planckh h"""
        ),
        **dict.fromkeys(_BLANK, " "),
        **dict.fromkeys(_UNSEEN, "\u200b"),
    }.items()
}
_STYLED = re.compile(rb"[A-Za-z](?:opf|fr|scr)\Z")

_TOKEN = re.compile(
    rb"(&(?:#(?:[xX]0{0,24}[0-9A-Fa-f]{1,6}|0{0,24}[0-9]{1,7});?+|[A-Za-z]{2,24};))"
)

_CHOSEN = (
    r"excl|num|dollar|percnt|lpar|rpar|ast|plus|comma|period|sol|colon|semi|equals|quest|commat"
    r"|lsqb|lbrack|bsol|rsqb|rbrack|Hat|lowbar|UnderBar|grave|lcub|lbrace|verbar|vert|rcub|rbrace"
    r"|hyphen|dash|shy|zwnj|zwj|lrm|rlm|ZeroWidthSpace|Negative[A-Z][a-zA-Z]{4,11}Space|NoBreak"
    r"|NewLine|Tab|apos|lt|gt|quot|[A-Za-z](?:opf|fr|scr)"
)
ENTITY = re.compile(
    rb"&(?:#[0-9]{2}|#[xX][0-9A-Fa-f]|amp;(?:#|[A-Za-z]{2,8};)|(?:%b);)" % _CHOSEN.encode()
)
"""A reference that may be part of a secret or of what stands around it."""

ENTITY_GATES = (
    r"&#[0-9]{2}",
    r"&#[xX][0-9A-Fa-f]",
    r"&amp;(?:#|[A-Za-z]{2,8};)",
    f"&(?:{_CHOSEN});",
)
"""Where there is something to undo. A lone `&amp;` is not worth it: nor are dashes and blanks."""


def unreferenced(text: bytes) -> bytes:
    """Put in for each reference the character it stands for; the text is shorter if any did."""
    return replaced(text, _TOKEN, b"&", _MEANINGS)


def _meaning(token: bytes) -> bytes:
    body = token[1:].rstrip(b";")
    if body[:1] != b"#":
        if _STYLED.match(body):
            return body[:1]
        return _NAMED.get(body.decode("ascii"), token)
    number = int(body.strip(b"#xX"), 16) if body[1] in b"xX" else int(body[1:])
    return (character(number) if number else b"") or token


_MEANINGS = Replacements(_meaning)
