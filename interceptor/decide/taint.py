"""Taint: after an agent has received text that steers, what it may send is narrower for a while.

Who steers an agent wants something of it: mostly that it sends what it knows to a place of the
writer's. So places that the agent had asked before go on as they did, and so do the operator's own
hosts, language models and what `hosts.allow` names: the agent can go on with its work. Places that
are new get questions at most, and nothing learned while tainted counts as known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from interceptor.decide.suffixes import public_suffixes
from interceptor.model import Target
from interceptor.policy import inbound as schema
from interceptor.verdict import Reason, Verdict

SITES: Final = 4096
"""Sites of one agent that are known, the latest of them."""
HEAD: Final = 4096
"""Bytes of the head of a request that only asks."""
PATH: Final = 512
"""Bytes of its path and query."""
QUERY: Final = 128
"""Bytes of its query."""
_ASKING: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_CARRYING: Final = frozenset((b"transfer-encoding", b"upgrade"))


class Taint:
    """What one agent knows, and whether it is tainted.

    Attributes:
        until: time at which the taint ends.
        cause: flow that brought what it is tainted by.
    """

    def __init__(self) -> None:
        """Begin clean, and with nothing known."""
        self.until = float("-inf")
        self.cause = ""
        self._sites: OrderedDict[str, None] = OrderedDict()
        self._hosts: dict[str, str] = {}

    @property
    def size(self) -> int:
        """Bytes that are kept, about."""
        return 150 * (len(self._sites) + len(self._hosts))

    def begin(self, now: float, seconds: float, cause: str, distrusted: str = "") -> None:
        """Be tainted from now on.

        Args:
            now: monotonic time in seconds.
            seconds: for how long.
            cause: flow that brought it.
            distrusted: a host that is not known any more; empty: none.
        """
        self.until = now + seconds
        self.cause = cause
        if distrusted:
            self._sites.pop(self._site(distrusted), None)

    def at(self, now: float) -> str:
        """Return the cause; empty where the agent is not tainted."""
        return self.cause if now < self.until else ""

    def knows(self, host: str) -> bool:
        """Tell whether the agent has asked a host of the same site before."""
        return self._site(host) in self._sites

    def learn(self, host: str) -> None:
        """Take note that the agent asks a host, and is not tainted."""
        site = self._hosts.get(host) or self._site(host)
        if site in self._sites:
            self._sites.move_to_end(site)
            return
        self._sites[site] = None
        if len(self._sites) > SITES:
            self._sites.popitem(last=False)

    def _site(self, host: str) -> str:
        site = self._hosts.get(host)
        if site is None:
            named = host.isascii() and host[-1:].isalpha()  # an address is a site of its own
            site = public_suffixes().registrable(host) if named else host
            if len(self._hosts) >= SITES:
                self._hosts.clear()
            self._hosts[host] = site
        return site


class Tightening:
    """What a tainted agent may not do: `inbound.taint` of a policy."""

    def __init__(
        self,
        policy: schema.Taint,
        trusted: Callable[[Target], bool],
        named: Callable[[Target], bool],
        refuse: Callable[[Reason, str, str], Verdict],
    ) -> None:
        """Hold the policy.

        Args:
            policy: the section.
            trusted: says whether a place is to be reached as ever.
            named: says whether the operator has named a place, so that it is not new.
            refuse: makes refusals.
        """
        self._policy = policy
        self._trusted = trusted
        self._named = named
        self._refuse = refuse

    def refused(
        self,
        taint: Taint,
        target: Target,
        size: int,
        fields: Sequence[tuple[bytes, bytes]],
        *,
        content: bool,
    ) -> Verdict | None:
        """Judge a request of a tainted agent; None: it may be made.

        Args:
            taint: the agent's.
            target: where it goes.
            size: bytes of the head.
            fields: (lower-case name, value) of its header section.
            content: it carries content.
        """
        if self._trusted(target):
            return None
        content = content or target.method not in _ASKING or carries(fields)
        if self._named(target) or taint.knows(target.host):
            if not content or self._policy.uploads == "allow":
                return None
            detail = f"content to {target.host}, after text that steers came back"
            return self._refuse(Reason.TAINTED, detail, "inbound.taint.uploads")
        if self._policy.new_hosts == "allow":
            return None
        if self._policy.new_hosts == "deny":
            detail = f"{target.host} is new, and text that steers came back"
            return self._refuse(Reason.TAINTED, detail, "inbound.taint.new_hosts")
        if not content and size <= HEAD and asks(target):
            return None
        detail = f"more than a question to {target.host}, which is new, after text that steers"
        return self._refuse(Reason.TAINTED, detail, "inbound.taint.new_hosts")


def carries(fields: Sequence[tuple[bytes, bytes]]) -> bool:
    """Tell whether a header section announces content, or a channel."""
    return any(
        name in _CARRYING or (name == b"content-length" and value.strip(b" \t0") != b"")
        for name, value in fields
    )


def asks(target: Target) -> bool:
    """Tell whether method and URL are those of a question that says next to nothing."""
    _, _, query = target.path.partition("?")
    return target.method in _ASKING and len(target.path) <= PATH and len(query) <= QUERY
