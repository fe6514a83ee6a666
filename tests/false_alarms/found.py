"""Traffic that is made of files on this machine: the same each time, chosen by their paths."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from interceptor.scan.ruleset import example
from tests.false_alarms.items import Item

ROOTS = (
    *("/usr/share", "/usr/lib", "/usr/local/go", "/usr/include", "/etc/ssl/certs", "/opt"),
    *("/root/.pyenv/versions", "/var/lib/egressguard", sys.prefix),
)
"""Where files are looked for: packages of the system, of Python and of other languages."""
_AWAY = frozenset(("__pycache__", "terminfo", "zoneinfo", "man", "locale"))
_LEAST, _MOST = 60, 2_000_000
_TEXT = frozenset(
    """
.html .htm .py .pyi .js .mjs .ts .h .hpp .c .cc .go .rst .md .txt .json .jsonl .yaml .yml
.toml .xml .css .sh .pl .pm .php .sql .rb .rs .java .vim .cmake .conf .cfg .ini .patch
.diff .svg .map .pem .crt .ps1 .tcl .lua .ipynb .csv .tsv .s .def .in .po .el .rkt .bats
.log .proto .sum .mod .dtd .xsd .td .pyx .pxd .test .golden .decTest .out .properties .lst
.bib .tex .lock
    """.split()  # noqa: SIM905
)
_BINARY = frozenset(
    """
.png .gif .jpg .ico .woff2 .woff .ttf .jar .whl .gz .xz .bz2 .zip .tgz .tar .so .pyc .mo
.a .o .exe .wav .aiff .au .msgpack .dat .pdf .db .sqlite .class .pack .wasm .zst .enc .icc
    """.split()  # noqa: SIM905
)
_SHARES = {".html": 260, ".py": 320, ".js": 220, ".json": 220, ".go": 200, ".md": 160, ".png": 120}
_SHARE = 75
"""Files of other suffixes, at most."""

_KEY = example(["sk", "-ant-", "api03-", "{url64:93}", "AA"], "found").decode()
_TOKEN = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "found").decode()


def files(share: float = 1.0, roots: Sequence[str] = ROOTS) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the chosen files, no content twice; `share` of the usual number."""
    by_suffix: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for path in _walk(roots):
        suffix = os.path.splitext(path)[1]  # noqa: PTH122 - half a million of them
        if suffix in _TEXT or suffix in _BINARY:
            by_suffix[suffix].append((zlib.crc32(path.encode("utf-8", "surrogateescape")), path))
    seen: set[bytes] = set()
    for suffix in sorted(by_suffix):
        wanted = max(1, int(_SHARES.get(suffix, _SHARE) * share))
        for _, path in sorted(by_suffix[suffix]):
            data = _read(path)
            digest = hashlib.blake2b(data, digest_size=16).digest()
            if data and digest not in seen:
                seen.add(digest)
                yield path, data
                wanted -= 1
                if not wanted:
                    break


def _walk(roots: Sequence[str]) -> Iterator[str]:
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if name not in _AWAY)
            for name in names:
                yield f"{folder}/{name}"


def _read(path: str) -> bytes:
    try:
        place = Path(path)
        if place.is_symlink() or not _LEAST <= place.stat().st_size <= _MOST:
            return b""
        return place.read_bytes()
    except OSError:
        return b""


def _raw(path: str, data: bytes) -> Item:
    kind = "text/plain" if Path(path).suffix in _TEXT else "application/octet-stream"
    fields = (("Content-Type", kind),)
    return Item(_name("put", path), "store.example.com", "/files/new", "PUT", fields, data)


def _chat(path: str, data: bytes) -> Item:
    text = data.decode("utf-8", "replace")
    result = {"type": "tool_result", "tool_use_id": "toolu_01ABC", "content": text}
    body = {"model": "claude-opus-4-5", "messages": [{"role": "user", "content": [result]}]}
    fields = (("x-api-key", _KEY), ("Content-Type", "application/json"))
    encoded = json.dumps(body, ensure_ascii=len(data) % 2 == 0).encode("utf-8", "replace")
    return Item(_name("chat", path), "api.anthropic.com", "/v1/messages", "POST", fields, encoded)


def _contents(path: str, data: bytes) -> Item:
    """A commit by a code host's API: the file in base64."""
    content = base64.encodebytes(data) if len(data) % 2 else base64.b64encode(data)
    body = {"message": "Add a file", "content": content.decode(), "branch": "main"}
    fields = (("Authorization", f"Bearer {_TOKEN}"), ("Content-Type", "application/json"))
    where = f"/repos/a/b/contents/{Path(path).name.encode('ascii', 'replace').hex()}"
    return Item(
        _name("commit", path), "api.github.com", where, "PUT", fields, json.dumps(body).encode()
    )


def _form(path: str, data: bytes) -> Item:
    name = Path(path).name.encode("ascii", "replace").replace(b'"', b"")
    body = (
        b'--zz9\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n%b\r\n--zz9--\r\n" % (name, data)
    )
    fields = (("Content-Type", "multipart/form-data; boundary=zz9"),)
    return Item(_name("form", path), "store.example.com", "/upload", "POST", fields, body)


def _zipped(path: str, data: bytes) -> Item:
    fields = (("Content-Type", "text/plain"), ("Content-Encoding", "gzip"))
    body = gzip.compress(data, mtime=0)
    return Item(_name("gzip", path), "store.example.com", "/files/new", "PUT", fields, body)


def _image(path: str, data: bytes) -> Item:
    url = f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"
    part = {"type": "image_url", "image_url": {"url": url}}
    body = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
    fields = (("Content-Type", "application/json"),)
    encoded = json.dumps(body).encode()
    return Item(_name("data-uri", path), "llm.example.com", "/v1/chat", "POST", fields, encoded)


def _message(path: str, data: bytes) -> Item:
    text = data.decode("utf-8", "replace")
    body = json.dumps({"type": "didOpen", "textDocument": {"text": text}}).encode()
    return Item(
        _name("message", path), "editor.example.com", "/sync", "GET", body=body, message=True
    )


def _patch(path: str, data: bytes) -> Item:
    lines = data.decode("utf-8", "replace").splitlines()
    patch = f"--- /dev/null\n+++ b/file\n@@ -0,0 +1,{len(lines)} @@\n+" + "\n+".join(lines)
    fields = (("Content-Type", "text/x-patch"),)
    encoded = patch.encode("utf-8", "replace")
    return Item(_name("patch", path), "review.example.com", "/changes", "POST", fields, encoded)


_TEXT_WAYS: tuple[Callable[[str, bytes], Item], ...] = (
    *(_chat, _raw, _contents, _message, _form, _patch, _zipped),
)
_BINARY_WAYS = (_raw, _contents, _form, _image)


def items(chosen: Sequence[tuple[str, bytes]]) -> Iterator[Item]:
    """An item of each file, the ways of sending one in turn."""
    for number, (path, data) in enumerate(chosen):
        text = Path(path).suffix in _TEXT
        ways = _TEXT_WAYS if text else _BINARY_WAYS
        item = ways[number % len(ways)](path, data)
        yield item._replace(source=data)


def _name(way: str, path: str) -> str:
    return f"file/{way}{path}"
