"""Tools that pass for others: names that look alike, descriptions that speak for other tools."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

import msgspec

# Letters of other scripts that look like Latin ones (Unicode Technical Standard 39, section 4).
LOOKS: Final = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u051d\u04bb\u0432"
    "\u043a\u043c\u043d\u0442\u0433\u0438\u043f\u0437\u03b1\u03bf\u03c1\u03c5\u03bd\u03b9\u03ba"
    "\u03c4\u03c9\u03b7\u03b5\u0131\u0261\u0251\u1d0f\u0585\u0578\u057d\u0570\u01c0\u2223",
    "aeopcyxijsdqwhbkmhtrunzaopuviktwneigaoonuhll",
)
_ALIKE: Final = str.maketrans("10|!$5i", "lollssl")
_DROPPED: Final = frozenset(("Cf", "Mn", "Me", "Cc", "Zs"))
_WORD: Final = re.compile(r"[A-Za-z][\w.-]{4,}")
_ORDERS: Final = re.compile(
    r"\b(?:must|always|never|instead of|(?:do not|don'?t) (?:use|call)|should(?: not)?|deprecated|"
    r"whenever|when (?:using|calling|you)|before (?:using|calling)|after (?:using|calling)|"
    r"replaces?|insecure|broken|recipients?|bcc|add(?:itional)? (?:argument|parameter)|"
    r"(?:set|change|override) the)\b",
    re.IGNORECASE,
)
_AROUND: Final = 160
_MOST: Final = 16_384


class Impostor(msgspec.Struct, frozen=True, gc=False):
    """What is wrong with a tool."""

    rule: str
    detail: str


def skeleton(name: str) -> str:
    """Return what a name looks like: equal for names that a reader may take for each other."""
    folded = name if name.isascii() else unicodedata.normalize("NFKC", name)
    if not folded.isascii():
        folded = "".join(
            char
            for char in unicodedata.normalize("NFD", folded.casefold())
            if unicodedata.category(char) not in _DROPPED
        ).translate(LOOKS)
    # A capital I looks like l; lower it only afterwards.
    folded = folded.replace("I", "l").casefold().translate(_ALIKE)
    return folded.replace("rn", "m").replace("vv", "w").replace("_", "").replace("-", "")


class Impostors:
    """Judges the tools of one server against those of all others."""

    def __init__(self, own: Iterable[str], others: Iterable[tuple[str, str]]) -> None:
        """Take what there is.

        Args:
            own: names of all tools of the server.
            others: (server, tool) of others, as far as they are known.
        """
        self._own = frozenset(own)
        self._names: dict[str, str] = {}
        self._looks: dict[str, tuple[str, str]] = {}
        for server, tool in others:
            self._names.setdefault(tool, server)
            self._looks.setdefault(skeleton(tool), (server, tool))
        self._seen: dict[str, str] = {}

    def name(self, name: str) -> Impostor | None:
        """Judge a tool's name; those of one list in their order."""
        if not name.isascii() and _mixed(name):
            return Impostor("mixed-scripts", "its name mixes letters of scripts that look alike")
        look = skeleton(name)
        first = self._seen.setdefault(look, name)
        if first != name and not _plainly_other(first, name):
            return Impostor("look-alike", "its name looks like that of another tool of the server")
        found = self._looks.get(look)
        if found is not None and found[1] != name and not _plainly_other(found[1], name):
            detail = f"its name looks like that of a tool of {found[0]}"
            return Impostor("look-alike", detail)
        return None

    def says(self, text: str) -> Impostor | None:
        """Judge a description: who speaks for another server's tool shadows it."""
        if not self._names:
            return None
        text = text[:_MOST]
        for found in _WORD.finditer(text):
            word = found[0].rstrip(".-")
            server = self._names.get(word)
            if server is None or word in self._own or not _distinctive(word):
                continue
            around = text[max(0, found.start() - _AROUND) : found.end() + _AROUND]
            if _ORDERS.search(around) is not None:
                detail = f"it says how {word} of {server} is to be used"
                return Impostor("shadows", detail)
        return None


def _plainly_other(one: str, other: str) -> bool:
    """Tell names apart that differ in nothing but style: `read_file`, `read-file`, `readFile`."""
    if not (one.isascii() and other.isascii()):
        return False
    styles = str.maketrans("", "", "_-. ")
    return one.translate(styles).lower() == other.translate(styles).lower()


def _mixed(name: str) -> bool:
    """Tell whether one word of a name holds letters of several scripts that look alike."""
    for word in re.split(r"[\W_\d]+", name):
        scripts = {unicodedata.name(char, "?").partition(" ")[0] for char in word if char.isalpha()}
        if len(scripts & {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}) > 1:
            return True
    return any(unicodedata.category(char) in _DROPPED for char in name)


def _distinctive(word: str) -> bool:
    """Tell a tool's name from an ordinary word."""
    return "_" in word or "-" in word or any(char.isupper() for char in word[1:])
