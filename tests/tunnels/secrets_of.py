"""Secrets and files to carry, drawn anew for each seed."""

from __future__ import annotations

import random
import string
from typing import Final

from interceptor.scan.ruleset import KnownSecret, example

ALNUM: Final = string.ascii_letters + string.digits
_FORMS: Final = (
    ("AK", "IA", "{upper32:16}"),
    ("gh", "p_", "{alnum:30}", "{crc32:6}"),
    ("gl", "pat-", "{alnum:20}"),
    ("h", "f_", "{alpha:34}"),
    ("AI", "zaSy", "{alnum:33}"),
    ("sk", "_live_", "{alnum:24}"),
)


def known(seed: int, count: int = 40) -> list[KnownSecret]:
    """Return secrets of an environment: 16 to 24 letters and digits."""
    rng = random.Random(f"known {seed}")
    values = ["".join(rng.choices(ALNUM, k=rng.randint(16, 24))) for _ in range(count)]
    return [
        KnownSecret(id=f"known:S{number}", title=f"S{number}", value=value.encode())
        for number, value in enumerate(values)
    ]


def secret(rng: random.Random, owned: list[KnownSecret], longest: int = 40) -> bytes:
    """Return a secret: one of the environment, or of a form with a rule."""
    if rng.random() < 0.5:
        return rng.choice(owned).value
    while True:
        made = example(list(rng.choice(_FORMS)), f"{rng.random()}")
        if len(made) <= longest:
            return made


def file(rng: random.Random) -> bytes:
    """Return the content of a file: noise, text, or a table of numbers."""
    kind = rng.randrange(3)
    if kind == 0:
        return rng.randbytes(2048)
    if kind == 1:
        words = [
            "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(400)
        ]
        return " ".join(words).encode()
    return ",".join(str(rng.randrange(10**6)) for _ in range(400)).encode()
