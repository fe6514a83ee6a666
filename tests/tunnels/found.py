"""Names that stand in the packages of this machine: hosts of URLs in their files.

Half of them (`TUNING`) made the table of ordinary labels and its limits; what is reported and
tested is the other half (`HELD`).
"""

from __future__ import annotations

import collections
import gzip
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOTS: Final = (
    *("/usr/share/doc", "/usr/lib/python3", "/usr/local/lib", "/usr/lib/node_modules"),
    *("/root/go/pkg/mod", "/usr/local/go", "/usr/share", "/var/lib/egressguard"),
)
TUNING, HELD = 0, 1
_URL: Final = re.compile(
    rb"(?:https?|wss?|ftp|git|ssh)://(?:[^\s/@\"'<>]{1,60}@)?"
    rb"([A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
    rb"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)+)"
)
_WORD: Final = re.compile(rb"\b[a-z]{3,14}\b")
_LARGEST: Final = 500_000
_ADDRESS: Final = re.compile(r"[0-9.]+|.*\.[0-9]+")


def half(name: str) -> int:
    """Return the half that a name belongs to."""
    return zlib.crc32(b"half " + name.encode()) & 1


def texts(roots: Sequence[str] = ROOTS, most: int | None = None) -> Iterator[bytes]:
    """Give the content of files that are not large, those of a folder in the order of names."""
    count = 0
    for root in roots:
        for folder, folders, files in os.walk(root):
            folders.sort()
            if folder in roots and folder != root:
                folders.clear()
                continue
            for file in sorted(files):
                try:
                    path = Path(folder, file)
                    if path.is_symlink() or path.stat().st_size > _LARGEST:
                        continue
                    text = path.read_bytes()
                    if text[:2] == b"\x1f\x8b":
                        text = gzip.decompress(text)
                except (OSError, EOFError, zlib.error):
                    continue
                yield text
                count += 1
                if count == most:
                    return


def names(
    which: int | None, roots: Sequence[str] = ROOTS, most: int | None = None
) -> collections.Counter[str]:
    """Return names of one half, or of both, and in how many files each was met."""
    found: collections.Counter[str] = collections.Counter()
    for text in texts(roots, most):
        for raw in set(_URL.findall(text)):
            name = raw.decode("ascii").lower()
            if which is not None and half(name) != which:
                continue
            if len(name) <= 253 and not _ADDRESS.fullmatch(name) and _labels_fit(name):
                found[name] += 1
    return found


def words(most: int) -> list[str]:
    """Return the words that most files of documentation hold, the most frequent first."""
    found: collections.Counter[bytes] = collections.Counter()
    for text in texts(("/usr/share/doc",)):
        found.update(set(_WORD.findall(text)))
    return [word.decode() for word, _ in found.most_common(most)]


def _labels_fit(name: str) -> bool:
    return all(len(label) <= 63 for label in name.split("."))
