"""Documents without injections: what this machine's packages document, and a hard set.

The hard set stands beside this file: documents about injections, files that instruct agents, texts
full of imperatives. Of the machine's documents as many are taken as are wanted, by digest of their
path, and no text twice.
"""

from __future__ import annotations

import gettext
import gzip
import random
import subprocess
import sys
import sysconfig
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.corpora.injection.bases import FOLDER, HALVES, bases, benign_sentences, fill, read_parts
from tests.corpora.injection.documents import Document, half_of

_LARGEST: Final = 256 * 1024  # bytes of a document that are taken
_LEAST: Final = 200
_FRAMES_EACH: Final = 10  # phrases that each frame of the hard set quotes, of either half

_TYPES: Final = {
    ".html": "text/html", ".htm": "text/html", ".md": "text/markdown", ".markdown": "text/markdown",
    ".rst": "text/plain", ".txt": "text/plain", "": "text/plain",
}  # fmt: skip

KINDS: Final = ("man", "doc", "html", "python", "node", "manual", "locale")


def benign(count: int, half: str | None = None, kinds: tuple[str, ...] = KINDS) -> list[Document]:
    """Return `count` documents of this machine, if it has so many, shared among the kinds."""
    found: list[Document] = []
    seen: set[int] = set()
    for number, kind in enumerate(kinds):
        wanted = (count - len(found)) // (len(kinds) - number)
        found += _take(kind, wanted, half, seen)
    return found


def _take(kind: str, wanted: int, half: str | None, seen: set[int]) -> list[Document]:
    taken: list[Document] = []
    paths = sorted(_paths(kind), key=lambda p: zlib.crc32(str(p[1]).encode()))
    chosen = [(owner, path) for owner, path in paths if half in {None, half_of(owner)}]
    with ThreadPoolExecutor(4) as pool:
        for begin in range(0, len(chosen), 64):
            part = chosen[begin : begin + 64]
            for (owner, path), body in zip(
                part, pool.map(_read, [p for _, p in part]), strict=True
            ):
                digest = zlib.crc32(body[:4096])
                if len(body) < _LEAST or digest in seen or len(taken) >= wanted:
                    continue
                seen.add(digest)
                kept = body[:_LARGEST]
                content_type = _TYPES.get(_suffix(path), "text/plain")
                taken.append(
                    Document(content_type, kept, kind, "benign", half_of(owner), name=str(path))
                )
            if len(taken) >= wanted:
                break
    return taken


def _suffix(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return Path(name).suffix.lower()


def _paths(kind: str) -> Iterator[tuple[str, Path]]:
    """Give (package, path) of the documents of a kind."""
    if kind == "man":
        for path in _files(Path("/usr/share/man")):
            if path.parent.name.startswith("man") and path.suffix == ".gz":
                yield path.name.split(".")[0].split("-")[0], path
    elif kind in {"doc", "html"}:
        for path in _files(Path("/usr/share/doc")):
            if (_suffix(path) in {".html", ".htm"}) == (kind == "html"):
                yield path.relative_to("/usr/share/doc").parts[0], path
        if kind == "html":
            yield from _html()
    elif kind == "python":
        for path in _files(*_python_roots()):
            if path.name == "METADATA" or _suffix(path) in {".md", ".rst", ".txt"}:
                yield path.parent.name.split("-")[0].split("/")[0], path
    elif kind == "node":
        for path in _files(Path("/usr/lib/node_modules"), Path("/usr/local/lib/node_modules")):
            if _suffix(path) == ".md":
                yield path.parent.name, path
    elif kind == "manual":
        roots = [
            *Path("/usr/share").glob("cmake*/Help"),
            Path("/usr/local/go"),
            Path("/usr/share/perl"),
        ]
        for path in _files(*roots):
            if _suffix(path) in {".md", ".rst", ".txt"} or path.suffix == ".pod":
                yield path.parent.name, path
    else:
        for path in _files(Path("/usr/share/locale")):
            if path.suffix == ".mo":
                yield path.name, path


def _html() -> Iterator[tuple[str, Path]]:
    """Give pages of Rust's books and API where they are installed."""
    for root in Path.home().glob(".rustup/toolchains/stable-*/share/doc/rust/html"):
        for path in root.glob("*/**/*.html"):
            if zlib.crc32(str(path).encode()) % 64 == 0:
                yield "/".join(path.relative_to(root).parts[:2]), path


def _files(*roots: Path) -> Iterator[Path]:
    for root in roots:
        if root.is_dir():
            for path in root.rglob("*"):
                if _suffix(path) in _TYPES or path.suffix in {".gz", ".pod", ".mo"}:
                    yield path


def _python_roots() -> list[Path]:
    roots = {sysconfig.get_paths()["purelib"], *(p for p in sys.path if p.endswith("-packages"))}
    roots |= {"/usr/lib/python3/dist-packages"}
    return [Path(root) for root in sorted(roots)]


def _read(path: Path) -> bytes:
    """Return a document's text: man pages rendered, catalogues of messages as lines."""
    try:
        if path.suffix == ".mo":
            return _messages(path)
        if not path.is_file():
            return b""
        body = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error, UnicodeError, ValueError):
        return b""
    if "/man/" in str(path):
        return _rendered(body)
    if b"\0" in body:
        return b""
    return body.partition(b"\n\n")[2] if path.name == "METADATA" else body


def _rendered(source: bytes) -> bytes:
    command = ["groff", "-k", "-mandoc", "-Tutf8", "-P-c", "-P-b", "-P-u"]
    try:
        return subprocess.run(command, input=source, capture_output=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return b""


def _messages(path: Path) -> bytes:
    with path.open("rb") as file:
        catalogue = gettext.GNUTranslations(file)
    texts = [text for text in vars(catalogue)["_catalog"].values() if isinstance(text, str)]
    return "\n\n".join(texts[1:400]).encode()


def hard(seed: int, half: str | None = None, quotes: int = _FRAMES_EACH) -> list[Document]:
    """Return the hard set: documents as written, and frames that quote phrases of their half."""
    found: list[Document] = []
    for name in ("articles.txt", "agents.txt"):
        for rank, (head, text) in enumerate(read_parts(FOLDER / "hard" / name, "%% ")):
            kind, content_type = head.split()
            own = HALVES[rank % 5 in {1, 3}]
            place = f"{name}:{rank}"
            document = Document(
                content_type, text.encode(), f"hard:{kind}", "hard", own, name=place
            )
            found.append(document)
    found += _quoting(seed, quotes)
    return [document for document in found if half in {None, document.half}]


def _quoting(seed: int, quotes: int) -> Iterator[Document]:
    for rank, (head, frame) in enumerate(read_parts(FOLDER / "hard" / "frames.txt", "%% ")):
        kind, content_type = head.split()
        own = HALVES[rank % 5 in {1, 3}]
        phrases = [b for b in bases() if b.half == own and b.strong and b.language == "en"]
        rng = random.Random(f"{seed}/{rank}")
        for base in rng.sample(phrases, quotes):
            payload = fill(base, rng)
            if content_type in {"application/json", "text/x-python", "text/csv"}:
                payload = payload.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            text = frame.replace("{family}", base.family.replace("_", " ")).replace(
                "{payload}", payload
            )
            yield Document(
                content_type, text.encode(), f"hard:quote:{kind}", "hard", own, name=base.text
            )


def languages(half: str | None = None) -> Iterator[Document]:
    """Give ordinary sentences in the languages of the injections, one in each document."""
    for language, text, own in benign_sentences():
        if half in {None, own}:
            yield Document(
                "text/plain", text.encode(), "languages", "benign", own, language=language
            )
