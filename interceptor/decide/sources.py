"""Who content came from, as far as that says how much it may be trusted."""

from __future__ import annotations

from typing import Final, Literal

from interceptor.decide import llm_hosts
from interceptor.decide.hosts import HostSet
from interceptor.model import Target
from interceptor.policy.schema import Policy

Source = Literal["web", "own", "llm"]
"""The open web, where anyone may write; the operator's own hosts; APIs of language models."""

_REMEMBERED: Final = 1024


class Sources:
    """Tells sources apart, by host.

    Code hosting, documentation and package indexes are the open web: strangers write there.
    """

    def __init__(self, policy: Policy) -> None:
        """Compile `inbound.sources` and `services`.

        Raises:
            ValueError: a pattern is malformed (the loader checks before).
        """
        named = policy.inbound.sources
        services = tuple(policy.services)
        self._own = HostSet((*named.own, *services), "inbound.sources.own")
        self._llm = HostSet((*named.llm, *llm_hosts.HOSTS), "inbound.sources.llm")
        self._known: dict[tuple[str, int], Source] = {}

    def of(self, target: Target) -> Source:
        """Return the source of what comes back from `target`."""
        key = (target.host, target.port)
        source = self._known.get(key)
        if source is None:
            source = self._find(target.host, target.port)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = source
        return source

    def _find(self, host: str, port: int) -> Source:
        if self._own.find(host, port) is not None:
            return "own"
        if self._llm.find(host, port) is not None or _within(host):
            return "llm"
        return "web"


def _within(host: str) -> bool:
    return any(
        host.startswith(begin)
        and host.endswith(end)
        and len(host) > len(begin) + len(end)
        and "." not in host[len(begin) : -len(end)]
        for begin, end in llm_hosts.WITHIN
    )
