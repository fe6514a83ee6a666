"""URLs within a URL: what a service that fetches for others would be asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from interceptor.decide.urls import Host, Url, read_host, read_url
from interceptor.wire.fields import HttpError

_ROUNDS: Final = 3  # of percent-encoding: as it stands, escaped once, escaped twice
_MOST: Final = 64  # values that are looked at, in each round
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_START: Final = re.compile(rb"(?:https?|wss?):[/\\]{2}", re.IGNORECASE)
_END: Final = re.compile(rb"[\s&\"'<>;,|]")
# What people look for, and what they look at: words, not orders to fetch something.
_SOUGHT: Final = frozenset((b"q", b"query", b"search", b"text", b"keywords"))


def inner_hosts(url: Url) -> Iterator[Host]:
    """Give the hosts that path and parameters of a URL name, each as a client would read it.

    A parameter counts if it is a URL, or an address in the form that everybody writes, perhaps
    with a port and a path. Those that hold the words of a search do not.
    """
    written = url.written
    for _ in range(_ROUNDS):
        path, _, query = written.partition(b"?")
        yield from _hosts(path)
        for pair in query.split(b"&", _MOST)[:_MOST]:
            name, equals, value = pair.partition(b"=")
            if name.lower() in _SOUGHT:
                continue
            yield from _hosts(value if equals else name)
            bare = re.split(rb"[/?#]", value.removeprefix(b"//"), maxsplit=1)[0]
            host = _read(bare) if bare[:1].isdigit() or bare[:1] == b"[" else None
            if host is not None and not host.name and not host.disguised:
                yield host
        if b"%" not in written:
            return
        written = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), written)


def _hosts(text: bytes) -> Iterator[Host]:
    starts = [found.start() for found, _ in zip(_START.finditer(text), range(_MOST), strict=False)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=False):
        piece = text[start:end]
        stop = _END.search(piece)
        try:
            yield read_url(piece if stop is None else piece[: stop.start()]).host
        except (HttpError, UnicodeError):
            continue  # nobody can fetch it


def _read(text: bytes) -> Host | None:
    try:
        return read_host(text)
    except (HttpError, UnicodeError):
        return None
