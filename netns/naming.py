"""Names of jails, and their commands in a form that may be shown."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

_FIRST: Final = tuple(
    """
amber bold brisk calm clear crisp deep early fair fleet gentle golden green keen late light
lucid mellow mild noble plain proud quick quiet rapid sharp silver sober still swift warm wise
""".split()  # noqa: SIM905
)
_SECOND: Final = tuple(
    """
badger beaver bison crane dove falcon finch fox gull hare hawk heron ibex jay kite lark lynx
marten mole moose otter owl plover raven robin seal stork swan tern trout vole wren
""".split()  # noqa: SIM905
)

_SENSITIVE: Final = re.compile(
    r"auth|cred|key|pass|secret|session|token|header|^-H$|^-u$|^-p$", re.IGNORECASE
)
_PLAIN: Final = re.compile(r"--?[A-Za-z][A-Za-z-]{0,31}|[A-Za-z][a-z._/]{0,15}")
_NAME: Final = re.compile(r"-{0,2}[A-Za-z][A-Za-z_-]{0,23}")
_MASK: Final = "***"


def masked(command: Sequence[str]) -> tuple[str, ...]:
    """The command for people: program, plain words and option names; all else is `***`.

    Arguments carry keys often enough that whatever does not look harmless is hidden: digits,
    long words, values after `=`, and the argument after an option that names a credential.
    """
    result = []
    hide_next = False
    for index, argument in enumerate(command):
        name, equals, _ = argument.partition("=")
        if index == 0:
            shown = Path(argument).name[:32]
        elif hide_next and not argument.startswith("-"):
            shown = _MASK
        elif equals:
            shown = f"{name}={_MASK}" if _NAME.fullmatch(name) else _MASK
        else:
            shown = argument if _PLAIN.fullmatch(argument) else _MASK
        hide_next = argument.startswith("-") and not equals and bool(_SENSITIVE.search(argument))
        result.append(shown)
    return tuple(result)


def digest(command: Sequence[str]) -> str:
    """A digest of the command under a random key that is forgotten at once."""
    joined = b"\0".join(os.fsencode(argument) for argument in command)
    return hashlib.blake2b(joined, digest_size=8, key=secrets.token_bytes(32)).hexdigest()


def slug(text: str) -> str:
    """The nearest thing to `text` that can stand in a name, at most 16 characters."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:16].strip("-") or "jail"


def names(
    command: Sequence[str], choice: Callable[[Sequence[str]], str] = secrets.choice
) -> Iterator[str]:
    """Readable names without end: program, adjective, animal; a number where luck is short."""
    program = slug(Path(command[0]).name) if command else "jail"
    for attempt in range(1, 1_000_000):
        number = "" if attempt <= 20 else f"-{attempt}"
        yield f"{program}-{choice(_FIRST)}-{choice(_SECOND)}{number}"
