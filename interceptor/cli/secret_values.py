"""Single values that may be secrets: what is secret in one, and where it is at home."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from interceptor.policy.patterns import parse_pattern
from interceptor.scan.collected import Candidate
from interceptor.scan.ruleset import Home
from interceptor.scan.worth import looks_random, says_secret

AUTHORIZATION: Final = ("header:authorization",)
_DEEPEST: Final = 20
_PORTS: Final = {
    "postgres": 5432,
    "postgresql": 5432,
    "mysql": 3306,
    "mariadb": 3306,
    "redis": 6379,
    "rediss": 6379,
    "mongodb": 27017,
    "smtp": 25,
    "smtps": 465,
    "imap": 143,
    "imaps": 993,
    "amqp": 5672,
    "amqps": 5671,
    "ftp": 21,
    "ftps": 990,
}
_SCHEME: Final = re.compile(r"(?:Bearer|Basic|Token|token|bearer|basic) +(\S{8,})\Z")
_PEM: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")

Found = Iterator[Candidate]


def home_at(url: str, places: tuple[str, ...] = AUTHORIZATION) -> tuple[Home, ...]:
    """Return the home at a URL's host, or at a host with or without port; () if it has none."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = parts.hostname or "", parts.port
        if "*" in host:  # a pattern of ours; never what a file says
            return ()
        if ":" in host:
            host = f"[{host}]"
        if parts.scheme not in ("https", "http"):
            port, places = port or _PORTS.get(parts.scheme), ("stream",)
        elif port in (80, 443):
            port = None
        pattern = f"{host}:{port}" if port else host
        parse_pattern(pattern)
    except ValueError:
        return ()
    return (Home((pattern,), places),)


def from_value(name: str, value: str, *, sure: bool, homes: tuple[Home, ...] = ()) -> Found:
    """Take apart one value: a URL with a password, JSON, `Bearer ...`, `user:password`, a key.

    Args:
        name: of the variable, or `FILE:KEY`.
        value: as it stands.
        sure: the name says that it is a secret.
        homes: where it is known to belong.
    """
    value = value.strip()
    if not value:
        return
    if "://" in value[:40]:
        yield from _url(name, value, sure=sure, homes=homes)
        return
    if value[0] in "{[" and len(value) > 20:
        import json

        try:
            tree = json.loads(value)
        except (ValueError, RecursionError):
            pass
        else:
            if isinstance(tree, (dict, list)):
                yield from from_tree(name, tree, ".")
            return
    if scheme := _SCHEME.match(value):
        value = scheme[1]
    if key := _encoded_key(value):
        yield candidate(name, key, sure=True, homes=homes)
        return
    if sure and (pair := _basic(value)):
        yield candidate(name, pair.partition(":")[2], sure=True, homes=homes)
    yield candidate(name, value, sure=sure or bool(_PEM.search(value)), homes=homes)


def beside(host: str) -> tuple[str, ...]:
    """Return the pattern of what lies beside Docker's own index, which is written as `.../v1/`.

    Its tokens are given out by another host of that domain.
    """
    parent = host.partition(".")[2]
    return (f"*.{parent}",) if "." in parent else ()


def from_tree(file: str, tree: Any, separator: str = ":", path: str = "") -> Found:
    """Walk JSON, YAML or TOML; what a key's name calls a secret is one."""
    seen: set[int] = set()  # YAML's aliases make one node stand in many places, or in itself
    left = [(path, tree)]
    while left:
        above, node = left.pop()
        if id(node) in seen or above.count(".") > _DEEPEST:
            continue
        seen.add(id(node))
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        inner: list[tuple[str, Any]] = []
        for key, value in pairs:
            name = f"{above}.{key}" if above else f"{key}"
            if isinstance(value, str):
                word = f"{key}" if isinstance(node, dict) else above.rpartition(".")[2]
                sure = says_secret(word) or looks_random(value.encode("utf-8", "replace"))
                yield from from_value(f"{file}{separator}{name}", value, sure=sure)
            elif isinstance(value, (dict, list)):
                inner.append((name, value))
        left += reversed(inner)


def candidate(
    name: str, value: str, *, sure: bool = True, homes: tuple[Home, ...] = ()
) -> Candidate:
    """Return a candidate; bytes that were no UTF-8 become themselves again."""
    return Candidate(name, value.encode("utf-8", "surrogateescape"), sure, homes)


def _url(name: str, value: str, *, sure: bool, homes: tuple[Home, ...]) -> Found:
    """What is secret in a URL: its password, and parameters whose names say so."""
    whole = True
    for url in value.split():
        try:
            parts = urlsplit(url)
            password, query = parts.password or "", parts.query
        except ValueError:
            continue
        if password:
            whole = False
            where = homes or home_at(url)
            yield candidate(name, password, homes=where)
            if unquote(password) != password:
                yield candidate(name, unquote(password), homes=where)
        elif parts.username and sure:
            whole = False
            yield candidate(name, unquote(parts.username), homes=homes or home_at(url))
        for key, text in parse_qsl(query):
            if says_secret(key) or key.lower() in ("sig", "sign"):
                yield candidate(name, text, homes=homes or home_at(url, ("url",)))
    if whole:
        yield candidate(name, value, sure=False, homes=homes)


def unbase64(text: str) -> str | None:
    """Return the text inside base64, or None."""
    try:
        return base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None


def _basic(value: str) -> str | None:
    """The `user:password` that base64 of it holds, as Basic credentials (RFC 7617)."""
    text = unbase64(value)
    return text if text and text.isprintable() and 0 < text.find(":") < len(text) - 1 else None


def _encoded_key(value: str) -> str | None:
    """A private key inside base64, as kubeconfig files and CI variables have it."""
    if len(value) < 200 or not value.startswith("LS0tLS1CRUdJTi"):
        return None
    text = unbase64("".join(value.split()))
    return text if text and _PEM.search(text) else None
