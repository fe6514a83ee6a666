r"""Encodings that were turned round or put in ROT13 as a whole: `14%24%`, `;56#&`, `\k6o\k62`.

A turned secret is found by turned rules (`interceptor.scan.mirror`), base64, base32 and hexadecimal
are read both ways by their own decoders. What is left are escapes, whose marks are then on the
wrong side, or whose digits are letters that are none: near such a place the text is turned back,
once, and goes through all of the scan again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from interceptor.scan.decoders.model import Decoder, Seen
from interceptor.scan.decoders.near import cut
from interceptor.scan.mirror import ROT13

_H: Final = "[0-9A-Fa-f]"
_NAMES: Final = ("lowbar", "hyphen", "dash", "period", "sol", "colon", "equals", "plus", "num")
"""Of characters that credentials have besides letters and digits (`entities` has them all)."""

# Escapes in a row end with a mark where they are turned, and begin with one where they are not.
_END: Final = "(?:[^0-9A-Fa-f]|$)"
_REVERSED_GATES: Final = (
    rf"(?:{_H}{{2}}%){{4}}{_END}",
    rf"(?:{_H}{{2}}52%){{3}}",
    rf"{_H}{{2}}00u%{_H}{{2}}00u%",
    r";[0-9]{2,3}#&",
    rf";{_H}{{2,6}}[xX]#&",
    rf";(?:{'|'.join(name[::-1] for name in _NAMES)})&",
    rf"{_H}{{2}}x\\{_H}{{2}}x\\",
    rf"{_H}{{4}}u\\{_H}{{4}}u\\",
    rf"\}}{_H}{{2,4}}\{{[ux]\\",
    rf"(?:[0-7]{{2}}[0-3]\\){{4}}{_END}",
    r"(?:^|[^=0-9A-Fa-f])(?:[0-9A-F]{2}=){4}",  # lines of them end with a mark, too,
    r"[\r\\]=(?:[0-9A-F]{2}=){4}",  # and go on after it
    # UTF-8 from its last byte to its first: what cannot be seen, and full-width letters.
    r"[!-~](?:[\x8b-\x8f]\x80\xe2|[\xa0-\xa4]\x81\xe2|\xbf\xbb\xef)[!-~]",
    r"(?:[\x80-\xbf][\xbc\xbd]\xef){3}",
)
# Where there is evidence at all, whatever may belong to it: a run can be long, and ends once.
_REVERSED: Final = (
    rb"%(?:[0-9A-Fa-f]{2}%){3}",
    rb"%[0-9A-Fa-f]{2}52%[0-9A-Fa-f]{2}52%",
    rb"%[0-9A-Fa-f]{2}00u%",
    rb"#&",
    rb";(?:%b)&" % b"|".join(name[::-1].encode() for name in _NAMES),
    rb"\\[0-9A-Fa-f]{2}x\\",
    rb"\\[0-9A-Fa-f]{4}u\\",
    rb"\}[0-9A-Fa-f]{2,4}\{[ux]\\",
    rb"\\(?:[0-7]{2}[0-3]\\){3}",
    rb"=(?:[0-9A-F]{2}=){3}",
    rb"\x80\xe2[!-~]",
    rb"\x81\xe2[!-~]",
    rb"\xbf\xbb\xef[!-~]",
    rb"\xef(?:[\x80-\xbf][\xbc\xbd]\xef){2}",
)

BACKWARDS: Final = re.compile(
    rb"\\(?:[0-9A-Fa-f]{4}u\\[0-9A-Fa-f]{4}u|[0-9A-Fa-f]{2}x\\[0-9A-Fa-f]{2}x"
    rb"|(?:[0-7]{2}[0-3]\\){3}(?![0-9A-Fa-f]))"
)
"""Backslash escapes that were turned round: what is before one of their marks reads as an octal
escape, too."""

_N: Final = "[0-9N-Sn-s]"
_L: Final = "[N-Sn-s]"
_TURNED_NAMES: Final = tuple(name.encode().translate(ROT13).decode() for name in _NAMES)
_ROT13_GATES: Final = (
    rf"%[2-7]{_L}%{_N}{{2}}%",
    rf"%{_N}{{2}}%[2-7]{_L}%",
    rf"%25[2-7]{_L}%25",
    rf"%[Rr]{_N}%[89NOno]{_N}%[89NOno]{_N}%",  # characters of three bytes
    rf"%h00[2-7]{_N}",
    rf"&#[kK]{_N}{{2,6}};",
    rf"&(?:{'|'.join(_TURNED_NAMES)});",
    rf"\\k[2-7]{_N}\\k{_N}",
    rf"\\h00[2-7]{_N}",
    rf"\\h{_N}{{4}}\\h{_N}{{4}}",
    rf"\\[hk]\{{{_N}{{2}}",
    rf"=[2-7]{_L}={_N}{{2}}=",
    rf"={_N}{{2}}=[2-7]{_L}=",
)
_IN_ROT13: Final = tuple(gate.encode() for gate in _ROT13_GATES)


def _compiled(patterns: tuple[bytes, ...]) -> tuple[re.Pattern[bytes], ...]:
    return tuple(re.compile(pattern) for pattern in patterns)


_REVERSED_SEEN: Final = _compiled(_REVERSED)
_ROT13_SEEN: Final = _compiled(_IN_ROT13)


def _reversed(text: bytes, seen: Seen) -> Iterator[tuple[str, bytes]]:
    if ("reversed", text) not in seen:
        out = b"\n".join(cut(text, _REVERSED_SEEN))[::-1]
        seen.add(("reversed", out))  # turning it round again gives what there was
        yield "reversed", out


def _rot13(text: bytes, seen: Seen) -> Iterator[tuple[str, bytes]]:
    if ("rot13", text) not in seen:
        out = b"\n".join(cut(text, _ROT13_SEEN)).translate(ROT13)
        seen.add(("rot13", out))
        yield "rot13", out


TURNED: tuple[Decoder, ...] = (
    Decoder("reversed", _REVERSED_GATES, _reversed),
    Decoder("rot13", _ROT13_GATES, _rot13),
)
"""Decoders of turned text."""
