"""Messages of a sequence, judged with their own past and with all that the agent has sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from interceptor.scan.window import MessageWindow
from interceptor.verdict import Verdict

SMALL: Final = 1024
"""Bytes of a message that may be a piece of something."""


class RememberingWindow:
    """The window of one sequence, and the memory of the agent beside it."""

    def __init__(
        self, window: MessageWindow, remembered: Callable[[bytes], Verdict | None]
    ) -> None:
        """Begin a sequence.

        Args:
            window: judges each message with the tail of those before.
            remembered: judges a small one with what was sent elsewhere; None: nothing found.
        """
        self._window = window
        self._remembered = remembered

    def copy(self) -> RememberingWindow:
        """Return a window with the same past, for a sequence that goes another way from here."""
        return RememberingWindow(self._window.copy(), self._remembered)

    def judge(self, message: bytes) -> Verdict | None:
        """Judge the next message; see `MessageWindow.judge`."""
        verdict = self._window.judge(message)
        if len(message) > SMALL or (verdict is not None and not verdict.allowed):
            return verdict
        split = self._remembered(message)
        if split is None or verdict is None or not split.allowed:
            return split or verdict
        return verdict
