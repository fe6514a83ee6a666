"""Which reader takes what: by media type, by the end of the path, by the first bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from interceptor.wire.body.charsets import Transcoder
from interceptor.wire.body.media import Media, media_of
from interceptor.wire.rendered.charset import Both, Transcoded, codec_for, is_doubtful
from interceptor.wire.rendered.images import GIFS, JPEG, PNG, RIFF
from interceptor.wire.rendered.reader import LIMITS, Reader, ReaderLimits

LOOK: Final = 1024
"""First bytes that tell everything (WHATWG MIME Sniffing, section 5.2: 1 445 are the most)."""


def _html(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.html import HtmlReader

    return HtmlReader(limits)


def _json(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.json import JsonReader

    return JsonReader(limits)


def _xml(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.xml import XmlReader

    return XmlReader(limits)


def _markdown(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.markdown import MarkdownReader

    return MarkdownReader(limits)


def _hashed(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.source import SourceReader

    return SourceReader(limits, code=False)


def _script(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.source import SourceReader

    return SourceReader(limits)


def _braces(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.source import BLOCK, SLASHES, SourceReader

    return SourceReader(limits, marks=(SLASHES,), block=BLOCK)


def _dashes(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.source import BLOCK, DASHES, SourceReader

    return SourceReader(limits, marks=(DASHES,), block=BLOCK)


def _subtitles(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.source import SubtitleReader

    return SubtitleReader(limits)


def _image(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.images import ImageReader

    return ImageReader(limits)


def _pdf(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.pdf import PdfReader

    return PdfReader(limits)


def _office(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.containers import office_reader

    return office_reader(limits)


def _mail(limits: ReaderLimits) -> Reader:
    from interceptor.wire.rendered.containers import mail_reader

    return mail_reader(limits, _of_part(limits))


def _of_part(limits: ReaderLimits) -> Callable[[Media, bytes], Reader | None]:
    """Readers of parts: no container within a container."""

    def maker(media: Media, first: bytes) -> Reader | None:
        if media.kind.startswith((b"multipart/", b"message/")):
            boundaries = media.boundaries
            if media.kind.startswith(b"multipart/") and boundaries:
                from interceptor.wire.rendered.containers import multipart_reader

                return multipart_reader(limits, _of_leaf(limits), boundaries[0])
            return _text(limits)
        return _of_leaf(limits)(media, first)

    return maker


def _of_leaf(limits: ReaderLimits) -> Callable[[Media, bytes], Reader | None]:
    def maker(media: Media, first: bytes) -> Reader | None:
        kind = media.kind
        if kind.startswith((b"multipart/", b"message/")) or kind in _OFFICE_TYPES:
            return _text(limits)
        return reader_for(kind + b"; charset=" + (media.charset or b"utf-8"), "", first, limits)

    return maker


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
    **dict.fromkeys(
        (
            *(b"application/xml", b"text/xml", b"image/svg+xml", b"application/rss+xml"),
            *(b"application/atom+xml", b"application/rdf+xml", b"text/x-opml"),
        ),
        _xml,
    ),
    **dict.fromkeys((b"text/markdown", b"text/x-markdown", b"text/x-web-markdown"), _markdown),
    **dict.fromkeys(
        (
            *(b"application/yaml", b"application/x-yaml", b"text/yaml", b"text/x-yaml"),
            *(b"application/toml", b"text/x-toml", b"text/csv", b"text/x-diff", b"text/x-patch"),
            *(b"text/tab-separated-values", b"application/x-www-form-urlencoded"),
        ),
        _hashed,
    ),
    **dict.fromkeys(
        (
            *(b"application/javascript", b"text/javascript", b"application/x-javascript"),
            *(b"application/ecmascript", b"text/ecmascript", b"text/css", b"text/x-c"),
            *(b"text/x-java-source", b"text/x-go", b"text/x-rust", b"application/typescript"),
            *(b"text/typescript", b"text/x-php", b"application/x-httpd-php"),
        ),
        _braces,
    ),
    **dict.fromkeys(
        (
            *(b"text/x-python", b"text/x-script.python", b"application/x-sh", b"text/x-sh"),
            *(b"text/x-shellscript", b"application/x-shellscript", b"text/x-ruby"),
            *(b"text/x-perl", b"application/x-python", b"application/x-python-code"),
        ),
        _script,
    ),
    **dict.fromkeys((b"application/sql", b"text/x-sql", b"text/x-lua"), _dashes),
    **dict.fromkeys((b"text/vtt", b"application/x-subrip", b"text/srt"), _subtitles),
}
"""Media types, to what reads them."""
_OFFICE_TYPES: Final = frozenset(
    (
        b"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        b"application/vnd.openxmlformats-officedocument.presentationml.presentation",
        b"application/vnd.oasis.opendocument.text",
        b"application/vnd.oasis.opendocument.spreadsheet",
        b"application/vnd.oasis.opendocument.presentation",
        b"application/epub+zip",
    )
)
_TYPES.update(dict.fromkeys(_OFFICE_TYPES, _office))
_TYPES.update(
    dict.fromkeys((b"image/png", b"image/jpeg", b"image/gif", b"image/webp", b"image/jpg"), _image)
)
_TYPES.update(dict.fromkeys((b"application/pdf", b"application/x-pdf"), _pdf))
_TYPES.update(dict.fromkeys((b"message/rfc822", b"message/global"), _mail))
_SUFFIXES: Final[dict[bytes, _Maker]] = {b"+json": _json, b"+xml": _xml, b"+yaml": _hashed}
_PATHS: Final[dict[str, _Maker]] = {
    **dict.fromkeys(("html", "htm", "xhtml", "shtml"), _html),
    **dict.fromkeys(("json", "ndjson", "jsonl", "ipynb", "geojson", "webmanifest"), _json),
    **dict.fromkeys(("xml", "rss", "atom", "svg", "xsl", "xsd", "opml", "rdf", "kml"), _xml),
    **dict.fromkeys(("md", "markdown", "mdown", "mkd", "mdx", "mdc", "qmd", "rmd"), _markdown),
    **dict.fromkeys(
        ("yaml", "yml", "toml", "csv", "tsv", "diff", "patch", "ini", "cfg", "conf", "env"), _hashed
    ),
    **dict.fromkeys(
        ("py", "sh", "bash", "zsh", "rb", "pl", "r", "mk", "cmake", "tf", "nix", "jl"), _script
    ),
    **dict.fromkeys(
        (
            *("js", "mjs", "cjs", "ts", "tsx", "jsx", "css", "scss", "c", "h", "cc", "cpp", "hpp"),
            *("java", "kt", "go", "rs", "swift", "php", "cs", "scala", "dart", "proto", "zig"),
        ),
        _braces,
    ),
    **dict.fromkeys(("sql", "lua", "hs", "elm", "adb"), _dashes),
    **dict.fromkeys(("vtt", "srt"), _subtitles),
    **dict.fromkeys(("docx", "xlsx", "pptx", "odt", "ods", "odp"), _office),
    **dict.fromkeys(("eml",), _mail),
    **dict.fromkeys(("pdf",), _pdf),
}
_VAGUE: Final = frozenset(
    (b"", b"text/plain", b"application/octet-stream", b"binary/octet-stream", b"text/x-unknown")
)
"""Types that say nothing: the path and the first bytes tell more."""


_PDF: Final = b"%PDF-1."
_BINARY: Final = bytes((*range(9), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)))


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
    kind = media.kind
    codec = codec_for(media.charset, first)
    doubtful = is_doubtful(codec, first)
    if codec and not doubtful:
        first = _legible(codec, first)
    maker = _TYPES.get(kind) or _by_suffix(kind)
    if maker is None and kind.startswith(b"multipart/") and media.boundaries:
        from interceptor.wire.rendered.containers import multipart_reader

        return multipart_reader(limits, _of_part(limits), media.boundaries[0])
    if maker is None:  # a type that says nothing, or that nobody knows: whoever reads it looks
        says = kind in _VAGUE or kind.startswith(b"text/")
        maker = (_by_path(url_path) if says else None) or _by_bytes(first)
        legible = (says or bool(first)) and not _is_binary(first)
        if maker is None and (legible or kind.startswith(b"text/")):
            maker = _text
    if maker is None:
        return None
    if not codec:
        return maker(limits)
    transcoded = Transcoded(codec, maker(limits))
    return Both(maker(limits), transcoded) if doubtful else transcoded


def _legible(codec: str, first: bytes) -> bytes:
    return b"".join(Transcoder(codec).feed(first)) or first


def _is_binary(first: bytes) -> bool:
    """Tell whether bytes are no text (WHATWG MIME Sniffing, section 3, "binary data byte")."""
    return len(first.translate(None, _BINARY)) != len(first)


def _by_suffix(kind: bytes) -> _Maker | None:
    return _SUFFIXES.get(kind[kind.rfind(b"+") :]) if b"+" in kind else None


def _by_path(path: str) -> _Maker | None:
    name = path.partition("?")[0].rpartition("/")[2].lower()
    return _PATHS.get(name.rpartition(".")[2]) if "." in name else None


def _by_bytes(first: bytes) -> _Maker | None:
    if first.startswith((b"<?xml", b"\xef\xbb\xbf<?xml")):
        return _html if b"<html" in first.lower() else _xml
    if first.startswith((PNG, JPEG, *GIFS)) or (first[:4] == RIFF and first[8:12] == b"WEBP"):
        return _image
    if _PDF in first:  # readers look for it in the first 1 024 bytes
        return _pdf
    start = first.lstrip(b"\xef\xbb\xbf \t\r\n")[:32].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<!--")):
        return _html
    if start.startswith((b"<svg", b"<rss", b"<feed")):
        return _xml
    if start.startswith(b"webvtt"):
        return _subtitles
    if start[:1] in (b"{", b"["):
        return _json
    return None


def preload() -> None:
    """Import what is imported at first use: call it where files cannot be read later."""
    import base64
    import html

    from interceptor.wire.rendered import (
        charset,
        containers,
        images,
        json,
        lines,
        markdown,
        pdf,
        source,
        xml,
    )
    from interceptor.wire.rendered import html as markup

    charset.preload()
    read = (base64, html, containers, images, json, lines, markdown, markup, pdf, source, xml)
    assert all(read)  # noqa: S101
