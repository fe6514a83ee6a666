"""Which reader takes what: by media type, by the end of the path, by the first bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from interceptor.wire.body.media import media_of
from interceptor.wire.rendered.reader import LIMITS, Reader, ReaderLimits

LOOK: Final = 1024
"""First bytes that tell everything (WHATWG MIME Sniffing, section 5.2: 1 445 are the most)."""


def _html(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.html import HtmlReader

    return HtmlReader(limits)


def _json(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.json import JsonReader

    return JsonReader(limits)


def _text(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.lines import TextReader

    return TextReader(limits)


_Maker = Callable[[ReaderLimits], Reader]

_TYPES: Final[dict[bytes, _Maker]] = {
    **dict.fromkeys((b"text/html", b"application/xhtml+xml"), _html),
    **dict.fromkeys(
        (
            *(b"application/json", b"text/json", b"application/x-ndjson", b"application/ndjson"),
            *(b"application/jsonl", b"application/json-seq", b"application/manifest+json"),
            *(b"application/ld+json", b"application/x-json", b"application/jsonlines"),
        ),
        _json,
    ),
}
_SUFFIXES: Final[dict[bytes, _Maker]] = {b"+json": _json}
_PATHS: Final[dict[str, _Maker]] = {
    **dict.fromkeys(("html", "htm", "xhtml", "shtml"), _html),
    **dict.fromkeys(("json", "ndjson", "jsonl", "ipynb", "geojson", "webmanifest"), _json),
}
_VAGUE: Final = frozenset(
    (b"", b"text/plain", b"application/octet-stream", b"binary/octet-stream", b"text/x-unknown")
)
"""Types that say nothing: the path and the first bytes tell more."""


def reader_for(
    content_type: bytes, url_path: str = "", first: bytes = b"", limits: ReaderLimits = LIMITS
) -> Reader | None:
    """Reader for a content; None where there is nothing in it to be read.

    Args:
        content_type: value of the field, b"" for none.
        url_path: of the request; a query may follow.
        first: the content's first bytes, `LOOK` of them if there are as many.
        limits: how far to go.
    """
    media = media_of(content_type)
    maker = _TYPES.get(media.kind) or _by_suffix(media.kind)
    if maker is None and (media.kind in _VAGUE or media.kind.startswith(b"text/")):
        maker = _by_path(url_path) or _by_bytes(first) or _text
    return maker(limits) if maker is not None else None


def _by_suffix(kind: bytes) -> _Maker | None:
    return _SUFFIXES.get(kind[kind.rfind(b"+") :]) if b"+" in kind else None


def _by_path(path: str) -> _Maker | None:
    name = path.partition("?")[0].rpartition("/")[2].lower()
    return _PATHS.get(name.rpartition(".")[2]) if "." in name else None


def _by_bytes(first: bytes) -> _Maker | None:
    start = first.lstrip(b"\xef\xbb\xbf \t\r\n")[:32].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<!--")):
        return _html
    if start[:1] in (b"{", b"["):
        return _json
    return None
