"""Text in charsets in which ASCII is not written as ASCII, turned into UTF-8.

What is looked for is ASCII, so only charsets need work that write it in other bytes (UTF-16,
UTF-32, UTF-7, EBCDIC), or that use bytes of ASCII letters for something else (the double-byte
charsets of East Asia, and those with escape sequences). In all others it stands as it is.
"""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterator
from typing import Final

from interceptor.wire.body.decoders import DecoderBase

_BOMS: Final = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"+/v8", "utf-7"),
    (b"+/v9", "utf-7"),
    (b"+/v+", "utf-7"),
    (b"+/v/", "utf-7"),
)
BYTE_ORDER_MARKS: Final = tuple(mark for mark, _ in _BOMS)
EBCDIC_XML: Final = b"\x4c\x6f\xa7\x94"
"""`<?xm` in EBCDIC."""
_CODECS: Final = {
    # Plain `utf-16` and `utf-32` are known by their byte order mark, or by their zeros.
    "utf-16-le": "utf-16le utf-16-le utf16le utf16-le unicodefeff ucs-2le x-utf-16le",
    "utf-16-be": "utf-16be utf-16-be utf16be utf16-be unicodefffe ucs-2be x-utf-16be",
    "utf-32-le": "utf-32le utf-32-le utf32le utf32-le x-utf-32le",
    "utf-32-be": "utf-32be utf-32-be utf32be utf32-be x-utf-32be",
    "utf-7": "utf-7 utf7 csutf7 unicode-1-1-utf-7 x-unicode-2-0-utf-7 utf-7-imap",
    "cp037": "cp037 ibm037 ibm-037 cp1140 ibm01140 ebcdic-cp-us ebcdic-cp-ca ebcdic-cp-wt "
    "ebcdic-cp-nl ebcdic ebcdic-us cp1047 ibm1047 ibm-1047 csibm037",
    "cp500": "cp500 ibm500 ibm-500 ebcdic-cp-be ebcdic-cp-ch cp1148 ibm01148 csibm500",
    "cp273": "cp273 ibm273 ibm-273 cp1141 ibm01141 csibm273",
    "cp1026": "cp1026 ibm1026 ibm-1026",
    "cp424": "cp424 ibm424 ibm-424 ebcdic-cp-he",
    "cp875": "cp875 ibm875 ibm-875",
    "cp932": "shift_jis shift-jis sjis x-sjis ms_kanji csshiftjis windows-31j cswindows31j ms932 "
    "cp932 shift_jisx0213 shift_jis-2004",
    "gb18030": "gb18030 gbk gb2312 x-gbk cp936 ms936 windows-936 csgb2312 gb_2312-80 chinese",
    "hz": "hz-gb-2312 hz",
    "big5hkscs": "big5 big5-hkscs big5hkscs cn-big5 x-x-big5 csbig5 cp950 ms950",
    "cp949": "ks_c_5601-1987 cp949 ms949 uhc windows-949 euc-kr ks_c_5601 korean",
    "johab": "johab cp1361 ms1361",
    "iso2022_jp_2": "iso-2022-jp iso-2022-jp-2 csiso2022jp iso-2022-jp-1",
    "iso2022_jp_3": "iso-2022-jp-3 iso-2022-jp-2004",
    "iso2022_kr": "iso-2022-kr csiso2022kr",
}
_NAMED: Final = {name.encode(): codec for codec, names in _CODECS.items() for name in names.split()}
_UNREADABLE: Final = frozenset((b"utf-ebcdic", b"bocu-1", b"csbocu-1", b"scsu", b"cesu-32"))
_NULS: Final = bytes(48 if byte == 0 else 49 if 32 <= byte < 127 else 32 for byte in range(256))
_RUN: Final = 12  # wide characters in a row that are taken for text; secrets are longer
_NEAR: Final = 4 * _RUN + 4
# Big-endian runs contain these as well, one character later.
_UTF16: Final = b"10" * (_RUN - 1)
_UTF32: Final = b"1000" * (_RUN - 1)


def preload() -> None:
    """Import the codecs, which the standard library does at first use."""
    for codec in _CODECS:
        codecs.lookup(codec)


def is_unreadable(charset: bytes) -> bool:
    """Tell whether `charset` (lower case) hides ASCII in a way that is not undone here."""
    return charset in _UNREADABLE


def codec_of(charset: bytes, first: bytes) -> str:
    """Codec that text needs before it can be read, or "".

    Args:
        charset: as declared, in lower case, or b"".
        first: the first bytes of the text, four if there are as many. A byte order mark wins
            over what is declared (WHATWG Encoding, section 6).
    """
    if first[:1] in b"\xff\xfe\x00+" and first:
        for mark, codec in _BOMS:
            if first.startswith(mark):
                return codec
    return _NAMED.get(charset, "") if charset else ""


def declared_in_xml(first: bytes) -> bytes:
    """Charset that an XML declaration names (XML 1.0, appendix F), in lower case, or b"".

    EBCDIC is known by its first characters, `<?xm`; what it names is read in EBCDIC then.
    """
    if first.startswith(EBCDIC_XML):
        first = first[:200].decode("cp037").encode("ascii", "replace")
        named = _encoding(first)
        return named if named in _NAMED else b"cp037"
    return _encoding(first[:200]) if first.startswith(b"<?xml") else b""


def _encoding(text: bytes) -> bytes:
    declaration = text.partition(b"?>")[0]
    value = declaration.partition(b"encoding")[2].lstrip(b" \t\r\n=")
    quote = value[:1]
    return value[1:].partition(quote)[0].lower() if quote in (b"'", b'"') else b""


class Transcoder(DecoderBase):
    """Turns text into UTF-8.

    What the charset does not know becomes U+FFFD: a recipient may pass over it.
    """

    __slots__ = ("_decoder",)

    def __init__(self, codec: str) -> None:
        """Decode from `codec`, one that `codec_of` gave."""
        super().__init__()
        self.complete = True
        self._decoder = codecs.getincrementaldecoder(codec)("replace")

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        try:
            out = self._decoder.decode(data).encode("utf-8", "replace")
        except UnicodeError:  # what some codecs cannot replace
            self.damaged = True
            return
        if out:
            yield out

    def flush(self) -> Iterator[bytes]:
        """See `Decoder`."""
        with contextlib.suppress(UnicodeError):
            yield self._decoder.decode(b"", final=True).encode("utf-8", "replace")


def has_wide_text(data: bytes) -> bool:
    """Tell whether ASCII in UTF-16 or UTF-32, either byte order, is somewhere in `data`.

    Twelve characters in a row count. Data without zero bytes costs one memchr; of other binary
    data two bytes in eight are looked at.
    """
    if b"\0" not in data:
        return False
    # Of twelve wide characters at least three zeros lie eight bytes apart.
    if b"\0\0\0" not in data[::8] and b"\0\0\0" not in data[1::8]:
        return False
    marks = data.translate(_NULS)
    return _UTF16 in marks or _UTF32 in marks


class WideText:
    """Finds stretches of UTF-16 and UTF-32 in other data, and gives them without their zeros."""

    __slots__ = ("_tail", "open")

    def __init__(self) -> None:
        self._tail = b""
        self.open = False
        """True while a stretch goes on."""

    def feed(self, data: bytes) -> bytes:
        """Give the text in `data`, b"" if there is none; `open` tells whether it may go on."""
        if not self.open and b"\0" not in data:
            self._tail = data[-_NEAR:] if len(data) >= _NEAR else (self._tail + data)[-_NEAR:]
            return b""
        tail = self._tail
        wide = has_wide_text(data) or has_wide_text(tail + data[:_NEAR])
        self._tail = data[-_NEAR:] if len(data) >= _NEAR else (tail + data)[-_NEAR:]
        if not wide and not self.open:
            return b""
        text = data if self.open else tail + data
        self.open = wide
        return text.translate(None, b"\0")
