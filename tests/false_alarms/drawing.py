# ruff: noqa: E501 - templates of texts
"""Pieces that everyday traffic is full of: ids, hashes, numbers, signatures; drawn by seed."""

from __future__ import annotations

import base64
import json
import random
import string
import uuid
from typing import Any

from interceptor.scan.ruleset import example

ALNUM = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def text(draw: random.Random, alphabet: str, size: int) -> str:
    """`size` characters of an alphabet."""
    return "".join(draw.choices(alphabet, k=size))


def hexa(draw: random.Random, size: int) -> str:
    """`size` hexadecimal digits."""
    return f"{draw.getrandbits(size * 4):0{size}x}"


def b64(draw: random.Random, size: int) -> str:
    """Base64 of `size` random bytes."""
    return base64.b64encode(draw.randbytes(size)).decode()


def url64(draw: random.Random, size: int) -> str:
    """URL-safe base64 of `size` random bytes, unpadded."""
    return base64.urlsafe_b64encode(draw.randbytes(size)).rstrip(b"=").decode()


def guid(draw: random.Random) -> str:
    """A UUID of version 4."""
    return str(uuid.UUID(int=draw.getrandbits(128), version=4))


def ulid(draw: random.Random) -> str:
    """A ULID."""
    return "01J" + text(draw, _CROCKFORD, 23)


def when(draw: random.Random) -> str:
    """A timestamp in ISO 8601."""
    day, hour = f"{draw.randint(1, 28):02}", f"{draw.randint(0, 23):02}"
    return f"2026-{draw.randint(1, 12):02}-{day}T{hour}:{draw.randint(0, 59):02}:17.{draw.randint(0, 999):03}Z"


def version(draw: random.Random) -> str:
    """A version number."""
    return f"{draw.randint(0, 12)}.{draw.randint(0, 40)}.{draw.randint(0, 20)}"


def package(draw: random.Random) -> str:
    """A package's name."""
    return "-".join(draw.choices(_PACKAGE_WORDS, k=draw.randint(1, 3)))


def encoded(value: Any) -> str:
    """JSON in URL-safe base64, as a JWT's parts are."""
    raw = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwt(draw: random.Random, **claims: Any) -> str:
    """A signed token of someone's own login."""
    head = {"alg": draw.choice(("RS256", "HS256", "ES256")), "typ": "JWT", "kid": hexa(draw, 16)}
    claims = {"iss": "https://login.example.com/", "sub": guid(draw), "exp": 1_900_000_000} | claims
    return f"{encoded(head)}.{encoded(claims)}.{url64(draw, 64)}"


def key_id(draw: random.Random, *, session: bool = False) -> str:
    """An AWS access key id, which signed URLs and requests name in clear."""
    return example(["AS" if session else "AK", "IA", "{upper32:16}"], str(draw.random())).decode()


_PACKAGE_WORDS = (
    *("react", "babel", "core", "utils", "parser", "stream", "http", "types", "loader", "plugin"),
    *("async", "color", "path", "fs", "json", "yaml", "test", "runner", "cache", "logger", "sdk"),
    *("client", "server", "router", "schema", "token", "secret", "crypto", "auth", "key", "hash"),
    *("array", "image", "view", "table", "layout", "model", "query", "graph", "event", "signal"),
    *("kit", "ui", "map", "date", "lib", "queue", "store", "form", "chart", "proxy", "worker"),
)
