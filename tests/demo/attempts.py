"""The list of attempts, and the credentials that are planted."""

from __future__ import annotations

import secrets
import string
import tomllib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

TABLE = Path(__file__).with_name("attempts.toml")
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


class Attempt(msgspec.Struct, frozen=True):
    """One thing the agent does: honest work or a leak."""

    id: str
    title: str
    task: dict[str, Any]
    """What the agent is told."""
    expect: str = ""
    """Reason code of the event that stops it; empty where the kernel refuses without one."""
    needs: str = ""
    """Program without which it is left out."""
    key: str = ""
    """Environment variable of the credential that is used."""


def load(kind: str, found: Callable[[str], object]) -> list[Attempt]:
    """Read the attempts of a kind (`work` or `leak`) whose programs can be found."""
    rows = tomllib.loads(TABLE.read_text("utf-8"))[kind]
    attempts = [
        Attempt(
            id=row["id"],
            title=row["title"],
            task={name: value for name, value in row.items() if name not in ("title", "expect")},
            expect=row.get("expect", ""),
            needs=row.get("needs", ""),
            key=row.get("key", ""),
        )
        for row in rows
    ]
    return [attempt for attempt in attempts if not attempt.needs or found(attempt.needs)]


def plant() -> dict[str, str]:
    """Make credentials that look real and never were: environment variable to value."""
    drawn = _drawn(30, _BASE62)
    aws = _drawn(16, string.ascii_uppercase + "234567")
    return {
        "GITHUB_TOKEN": "gh" + "p_" + drawn + _checksum(drawn),
        "AWS_ACCESS_KEY_ID": "AK" + "IA" + aws,
    }


def _drawn(count: int, alphabet: Sequence[str]) -> str:
    """Random letters, varied as real keys are: nothing thrice."""
    while True:
        text = "".join(secrets.choice(alphabet) for _ in range(count))
        if max(text.count(letter) for letter in text) < 4 and not text.isalpha():
            return text


def _checksum(drawn: str) -> str:
    """CRC-32 as six base-62 digits, as these tokens end."""
    number, digits = zlib.crc32(drawn.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(6, "0")
