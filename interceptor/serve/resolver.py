"""The host's own resolver, beside the event loop: nsswitch, /etc/hosts and all.

getaddrinfo(3) blocks, so it runs in threads: a bounded number, one look-up for each name however
many wait for it, and nobody waits longer than the limit. What comes back is not judged here; who
asks judges all of it, each time, also when it comes out of the short memory.

Of an alias chain getaddrinfo tells the last name only. The names between are not seen; their
addresses are, as they are those of the last one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import msgspec

from interceptor.serve.upstream import DialError
from interceptor.verdict import Reason

KEPT: Final = 5.0
"""Seconds for which an answer is used again: getaddrinfo does not tell for how long it is good."""
KEPT_ABSENT: Final = 1.0
"""The same for a failure, so that a client that tries again at once does not ask again."""
WORKERS: Final = 16
"""Look-ups at once. One that is not answered holds a thread for some 10 s (resolv.conf(5))."""
WAITING: Final = 256
"""Names that may wait or be asked for at once; more fail at once."""
_REMEMBERED: Final = 1024

_ABSENT: Final = frozenset((socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)))


class Resolved(msgspec.Struct, frozen=True, gc=False):
    """What a name resolves to."""

    addresses: tuple[str, ...]
    """In the order of the host's policy (RFC 6724), each once; never empty."""
    canonical: str = ""
    """Last name of the alias chain, lower case, no trailing dot; empty if it is the one asked."""


class ResolveError(DialError):
    """A name has no addresses; `reason` is always RESOLVE_FAILED.

    `absent` is True where the resolver has said so (NXDOMAIN, or no address), and False where it
    has not answered, or has failed.
    """

    def __init__(self, detail: str, *, absent: bool) -> None:
        super().__init__(Reason.RESOLVE_FAILED, detail)
        self.absent = absent


Lookup = Callable[[str], Resolved | ResolveError]
"""Blocks, and raises nothing."""


def ask_host(name: str) -> Resolved | ResolveError:
    """Ask the host's resolver for a name; blocks."""
    try:
        # Bytes: Python's own IDNA step would refuse names that getaddrinfo takes.
        found = socket.getaddrinfo(
            name.encode("ascii"), None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME
        )
    except (OSError, UnicodeError) as error:
        absent = getattr(error, "errno", 0) in _ABSENT
        text = error.strerror if isinstance(error, OSError) else "not a valid host name"
        return ResolveError(text or "the name has no address", absent=absent)
    if not found:
        return ResolveError("the name has no address", absent=True)
    canonical = (found[0][3] or name).lower().removesuffix(".")
    addresses = tuple(dict.fromkeys(str(info[4][0]) for info in found))
    return Resolved(addresses, "" if canonical == name else canonical)


class _Flight:
    """A look-up that is under way, and how many wait for it."""

    __slots__ = ("future", "waiters", "work")

    def __init__(
        self, work: Future[Resolved | ResolveError], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.work = work
        self.future = asyncio.wrap_future(work, loop=loop)
        self.waiters = 0


class Resolver:
    """Resolves names; one per worker. It decides nothing."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, timeout: float, lookup: Lookup = ask_host
    ) -> None:
        """Answer on `loop`; nobody waits longer than `timeout` seconds."""
        self._loop = loop
        self._timeout = timeout
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(WORKERS, "resolver")
        self._flights: dict[str, _Flight] = {}
        self._kept: dict[str, tuple[float, Resolved | ResolveError]] = {}

    async def resolve(self, name: str) -> Resolved:
        """Addresses of `name` (lower case, no trailing dot; or the text of an address).

        Raises:
            ResolveError: there are none, or nobody has said so in time.
        """
        if ":" in name or name[-1:].isdigit():
            try:
                return Resolved((str(ipaddress.ip_address(name)),))
            except ValueError:
                pass
        answer = self._remembered(name)
        if answer is None:
            answer = await self._wait(name)
        if isinstance(answer, ResolveError):
            raise ResolveError(answer.detail, absent=answer.absent)  # a trace of its own
        return answer

    def forget(self, name: str) -> None:
        """Ask again next time: what is known of `name` has led nowhere."""
        self._kept.pop(name, None)

    def close(self) -> None:
        """Begin no look-up any more. Those under way end by themselves, unheard."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _remembered(self, name: str) -> Resolved | ResolveError | None:
        kept = self._kept.get(name)
        if kept is None:
            return None
        if kept[0] > self._loop.time():
            return kept[1]
        del self._kept[name]
        return None

    async def _wait(self, name: str) -> Resolved | ResolveError:
        flight = self._flights.get(name)
        if flight is None:
            if len(self._flights) >= WAITING:
                return ResolveError(f"{WAITING} names wait for the resolver", absent=False)
            flight = self._begin(name)
        flight.waiters += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(flight.future)
        except TimeoutError:
            detail = f"the host's resolver did not answer within {self._timeout:g} s"
            return ResolveError(detail, absent=False)
        finally:
            flight.waiters -= 1
            if not flight.waiters:
                flight.work.cancel()  # unless a thread has begun: then who asks next joins it

    def _begin(self, name: str) -> _Flight:
        flight = _Flight(self._threads.submit(self._lookup, name), self._loop)
        self._flights[name] = flight
        flight.future.add_done_callback(lambda future: self._landed(name, future))
        return flight

    def _landed(self, name: str, future: asyncio.Future[Resolved | ResolveError]) -> None:
        self._flights.pop(name, None)
        if future.cancelled():
            return
        answer = future.result()
        seconds = KEPT if isinstance(answer, Resolved) else KEPT_ABSENT
        if len(self._kept) >= _REMEMBERED:
            del self._kept[next(iter(self._kept))]
        self._kept[name] = (self._loop.time() + seconds, answer)
