"""Noise: random characters of the alphabets that ids, hashes, keys and blobs are written in.

An agent sends megabytes of it every day. A rule whose prefix is short finds itself in there by
chance; how often is its price.
"""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from collections.abc import Callable

from interceptor.scan.engine import Scanner

MB = 1 << 20
_RUN = 3000


def _base64(draw: random.Random) -> str:
    return base64.b64encode(draw.randbytes(_RUN * 3 // 4)).decode()


def _url64(draw: random.Random) -> str:
    return base64.urlsafe_b64encode(draw.randbytes(_RUN * 3 // 4)).decode()


def _hex(draw: random.Random) -> str:
    return " ".join(draw.randbytes(32).hex() for _ in range(_RUN // 65))


def _digits(draw: random.Random) -> str:
    return " ".join(str(draw.getrandbits(draw.choice((30, 43, 60)))) for _ in range(_RUN // 14))


def _decimals(draw: random.Random) -> str:
    return ", ".join(repr(draw.uniform(-1, 1)) for _ in range(_RUN // 20))


def _ids(draw: random.Random) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return " ".join(
        "".join(draw.choices(alphabet, k=draw.randint(8, 48))) for _ in range(_RUN // 29)
    )


ALPHABETS: dict[str, Callable[[random.Random], str]] = {
    "base64": _base64,
    "base64url": _url64,
    "hex": _hex,
    "digits": _digits,
    "decimals": _decimals,
    "ids": _ids,
}
"""Kinds of noise: makers of some 3 KB."""


def hits(scanner: Scanner, megabytes: int, seed: int = 0) -> Counter[tuple[str, str]]:
    """(rule, kind) -> findings in `megabytes` of each kind, as values of JSON, decoders at work."""
    found: Counter[tuple[str, str]] = Counter()
    for kind, maker in ALPHABETS.items():
        draw = random.Random(f"{kind}/{seed}")
        for _ in range(megabytes * 16):
            values = [{"id": n, "data": maker(draw)} for n in range(MB // 16 // _RUN)]
            scan = scanner.scan(json.dumps(values).encode(), "body")
            for raw in scan.findings:
                found[scanner.rules[raw.rule].id, kind] += 1
            if scan.incomplete:
                found["incomplete", kind] += 1
    return found
