"""Compiling rule databases side by side, for the first start after a change of rules."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any


def in_threads(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Make each call in a thread of its own, and return what they return, in their order.

    Raises:
        Exception: what a call raised; the first of them.
    """
    found: list[Any] = [None] * len(calls)
    faults: list[Exception] = []

    def work(index: int) -> None:
        try:
            found[index] = calls[index]()
        except Exception as error:  # noqa: BLE001
            faults.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(1, len(calls))]
    for thread in threads:
        thread.start()
    if calls:
        work(0)
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return found
