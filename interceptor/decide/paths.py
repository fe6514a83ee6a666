"""Path rules: matched on a path whose meaning is one and the same for us and for the server."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def plain_path(target: str) -> str | None:
    """Return the path of an origin-form target, escapes of unreserved characters undone.

    None if servers could read the path in more than one way: dot segments, empty segments, escaped
    or backward slashes, escaped controls, bad escapes, or a path that does not begin with `/`.
    Source: RFC 3986 sections 2.3, 5.2.4 and 6.2.2.
    """
    path = target.partition("?")[0].partition("#")[0]
    if not path.startswith("/") or "\\" in path:
        return None
    if "%" in path:
        if path.count("%") != len(_ESCAPE.findall(path)):
            return None
        for code in _ESCAPE.findall(path):
            byte = int(code, 16)
            if byte < 0x20 or byte in (0x25, 0x2F, 0x5C, 0x7F):
                return None
        path = _ESCAPE.sub(_undone, path)
    segments = path.split("/")[1:]
    if any(segment.partition(";")[0] in (".", "..") for segment in segments):
        return None
    if "" in segments[:-1]:
        return None
    return path


def under(path: str, prefix: str) -> bool:
    """Say whether `path` is `prefix` or lies below it, whole segments only."""
    return path.startswith(prefix) and (
        len(path) == len(prefix) or prefix.endswith("/") or path[len(prefix)] == "/"
    )


def _undone(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else found[0].upper()
