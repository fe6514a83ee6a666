"""How `re` reads a pattern: what rules are measured, turned round and cut by."""

from __future__ import annotations

import importlib
from typing import Any


def parsed(pattern: str) -> Any:
    """Return the parse tree of a pattern: (operation, value) pairs, and `getwidth()`.

    It is the tree of CPython's own `re`, which is not a public interface.

    Raises:
        LookupError: this Python does not show it.
        re.error: not a pattern.
    """
    try:
        return importlib.import_module("re._parser").parse(pattern)
    except (ImportError, AttributeError):  # pragma: no cover - CPython since 3.11 has it
        raise LookupError("this Python does not show how it reads patterns") from None
