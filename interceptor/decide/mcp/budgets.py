"""How often tools are called and how much they get; calls that come again and again.

Counted in windows that begin with the first call and end after a minute or an hour. What is
remembered of single calls are digests; the oldest go first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from interceptor.policy.mcp import Budgets

MINUTE: Final = 60.0
HOUR: Final = 3600.0
_KEPT: Final = 2048
_SORTED: Final = msgspec.json.Encoder(order="sorted").encode


class Spent(msgspec.Struct, frozen=True, gc=False):
    """A budget that a call would exceed."""

    rule: str
    detail: str


class _Window(msgspec.Struct, gc=False):
    begin: float
    count: int = 0


class Meter:
    """What one agent has spent."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._windows: dict[tuple[str, ...], _Window] = {}
        self._failures: dict[bytes, int] = {}
        self._hosts: dict[str, float] = {}
        self._calls = 0

    def look(
        self,
        budgets: Budgets,
        server: str,
        tool: str,
        arguments: dict[str, Any],
        hosts: Iterable[str],
        now: float,
    ) -> Spent | None:
        """Count a call; return the budget that it exceeds. What is refused counts, too."""
        encoded = _SORTED(arguments)
        same = digest(tool, encoded)
        self._calls += 1
        checks = (
            ("calls", budgets.calls, self._calls, "calls in all"),
            (
                "tool_calls",
                budgets.tool_calls,
                self._count(("tool", server, tool), MINUTE, now),
                "calls of this tool in a minute",
            ),
            (
                "server_calls",
                budgets.server_calls,
                self._count(("server", server), MINUTE, now),
                "calls of this server in a minute",
            ),
            (
                "repeats",
                budgets.repeats,
                self._count(("same", server, same.hex()), MINUTE, now),
                "times the same call in a minute",
            ),
            (
                "argument_bytes",
                budgets.argument_bytes,
                self._count(("sent", server), HOUR, now, len(encoded)),
                "bytes of arguments in an hour",
            ),
            ("retries", budgets.retries, self._failures.get(same, 0), "failures of the same call"),
            ("hosts", budgets.hosts, self._fan_out(hosts, now), "hosts in an hour"),
        )
        for rule, most, spent, what in checks:
            if most and (spent > most or (rule == "retries" and spent >= most)):
                return Spent(f"mcp.budgets.{rule}", f"more than {most} {what}")
        return None

    def result(
        self, budgets: Budgets, server: str, size: int, same: bytes, now: float, *, failed: bool
    ) -> Spent | None:
        """Count a result; return the budget that it exceeds.

        Args:
            budgets: of the policy.
            server: that it came from.
            size: in bytes.
            same: digest of the call.
            now: in seconds.
            failed: the call has failed.
        """
        if failed:
            self._failures[same] = self._failures.pop(same, 0) + 1
            if len(self._failures) > _KEPT:
                del self._failures[next(iter(self._failures))]
        else:
            self._failures.pop(same, None)
        spent = self._count(("got", server), HOUR, now, size)
        if budgets.result_bytes and spent > budgets.result_bytes:
            detail = f"more than {budgets.result_bytes} bytes of results in an hour"
            return Spent("mcp.budgets.result_bytes", detail)
        return None

    def _count(self, key: tuple[str, ...], seconds: float, now: float, more: int = 1) -> int:
        windows = self._windows
        window = windows.get(key)
        if window is None or now - window.begin >= seconds:
            windows.pop(key, None)
            window = windows[key] = _Window(now)
            if len(windows) > _KEPT:
                del windows[next(iter(windows))]
        window.count += more
        return window.count

    def _fan_out(self, hosts: Iterable[str], now: float) -> int:
        for host in hosts:
            self._hosts.pop(host, None)
            self._hosts[host] = now
        while self._hosts:
            oldest = next(iter(self._hosts))
            if now - self._hosts[oldest] < HOUR and len(self._hosts) <= _KEPT:
                break
            del self._hosts[oldest]
        return len(self._hosts)


def digest(tool: str, arguments: bytes) -> bytes:
    """Digest of a call, so that the same one is known again."""
    return hashlib.blake2b(tool.encode() + b"\0" + arguments, digest_size=12).digest()


def digest_of(tool: str, arguments: dict[str, Any]) -> bytes:
    """Digest of a call, whatever the order of its arguments."""
    return digest(tool, _SORTED(arguments))
