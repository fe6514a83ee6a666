"""The explicit proxy's worker: agents that were told to use it, each with a state of its own.

What a connection asks for is judged by the flow of a jail's connections, which answers CONNECT,
absolute-form requests and SOCKS there too. Two things differ: no name is leased, so the target that
is named inside is the identity; and the agent is known by its credential instead of by its
namespace. That keeps nobody to this way: see `WEAKER` of `interceptor.evidence.summary`.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, cast

from interceptor.decide.addresses import HostNetwork
from interceptor.decide.judge import Judge
from interceptor.evidence.log import EvidenceError, EvidenceLog
from interceptor.flow.context import Door
from interceptor.flow.names import Leases
from interceptor.flow.proxy_door import ProxyDoor, Turned
from interceptor.flow.steps import Finished, Record
from interceptor.model import Kind, Origin, Target
from interceptor.policy.schema import Policy
from interceptor.serve.dialler import Dialler
from interceptor.serve.proxy_agents import Agents
from interceptor.serve.service import Service
from interceptor.serve.tcp import AgentConnection
from interceptor.serve.tenant import Rules
from interceptor.tls.authority import Authority
from interceptor.verdict import Reason, Verdict
from interceptor.wire.heads import RequestHead
from interceptor.wire.proxy_credentials import Credential, credential

STATES: Final = 4_096
"""Agents whose state is kept; the one that was idle for longest goes first."""
STRANGERS: Final = 256
"""Connections at a time that have not said yet who they are."""
REFUSALS: Final = 20
"""Strangers a second that are recorded and answered; more are only closed."""
_LINGER_SECONDS: Final = 2.0
_SELF: Final = "this is a proxy: a request names its target by CONNECT, an absolute URL or SOCKS"


class ProxyAgent(Service):
    """One agent: its judge, and what its connections share."""

    def __init__(self, proxy: Proxy, name: str) -> None:
        rules = proxy.rules
        judge = Judge(proxy.policy, rules.scanner, rules.key, rules.inbound)
        judge.on_host(proxy.networks)
        judge.tick(time.monotonic())
        super().__init__(
            jail=proxy.name,
            loop=proxy.loop,
            judge=judge,
            limits=proxy.policy.limits,
            leases=proxy.leases,
            authority=proxy.authority,
            dialler=proxy.dialler,
            record=proxy.record,
            finished=proxy.finished,
        )
        self.name = name
        self._number = proxy.next_flow
        refused = judge.refuse(Reason.NO_NAME, _SELF, "proxy")
        self.door = Door(refused, partial(proxy.admits, self))

    def next_flow(self) -> str:
        """Id for a new flow: of all agents, as they share the evidence."""
        return self._number()


class Proxy:
    """All agents of one proxy, in one worker.

    Attributes:
        networks: the host's own, for the judges of agents to come.
    """

    def __init__(
        self,
        *,
        name: str,
        loop: asyncio.AbstractEventLoop,
        policy: Policy,
        rules: Rules,
        authority: Authority,
        dialler: Dialler,
        log: EvidenceLog,
        agents: Agents | None,
    ) -> None:
        """Serve as `name`.

        Args:
            name: of the proxy, which evidence has as the jail.
            loop: runs everything here.
            policy: of all agents.
            rules: see `interceptor.serve.tenant`; one scanner, as this is one thread.
            authority: answers in place of every server.
            dialler: dials for all; connections are kept apart by the judges' epochs.
            log: the evidence.
            agents: who may connect; None: anybody who can, as one agent without a name.
        """
        self.name = name
        self.loop = loop
        self.policy = policy
        self.authority = authority
        self.dialler = dialler
        self.log = log
        self.leases = Leases(secrets.token_bytes(32), 0)
        self.networks: tuple[HostNetwork, ...] = ()
        self.strangers: set[ProxyConnection] = set()
        self.rules = rules
        self._agents = agents
        self._states: OrderedDict[str, ProxyAgent] = OrderedDict()
        self._flows = 0
        self._second = 0.0
        self._refused = 0

    @property
    def anonymous(self) -> bool:
        """True where nobody is asked who they are."""
        return self._agents is None

    def next_flow(self) -> str:
        """Id for a new flow."""
        self._flows += 1
        return f"f{self._flows}"

    def find(self, given: Credential | None) -> ProxyAgent | None:
        """Find the agent of a credential, with its state."""
        name = self._agents.find(given, time.time()) if self._agents is not None else ""
        return self.agent(name) if name else None

    def admits(self, agent: ProxyAgent, head: RequestHead) -> bool:
        """Tell whether a request on a connection of `agent` has a credential of the same one."""
        if self._agents is None:
            return True
        return self._agents.find(credential(head), time.time()) == agent.name

    def agent(self, name: str) -> ProxyAgent:
        """State of an agent, made when it first comes."""
        found = self._states.get(name)
        if found is None:
            if len(self._states) >= STATES:
                idle = next((n for n, state in self._states.items() if not state.open), "")
                self._states.pop(idle, None)
            found = self._states[name] = ProxyAgent(self, name)
        self._states.move_to_end(name)
        return found

    def record(self, record: Record, origin: Origin) -> None:
        """See `Service`."""
        self.log.write(record, origin, time.time())

    def finished(self, step: Finished, origin: Origin) -> None:
        """See `Service`."""
        self.log.finished(step, origin, time.time(), step.host)

    def turned(self, verdict: Verdict, address: str, port: int) -> bool:
        """Record that somebody was turned away; False: close without a word.

        Who is no agent must not be able to fill the disk, without which agents are refused too.
        """
        now = self.loop.time()
        if now - self._second >= 1:
            self._second, self._refused = now, 0
        self._refused += 1
        if self._refused > REFUSALS:
            return False
        origin = Origin(self.name, self.next_flow(), address, port)
        target = Target("tcp", address, port)
        try:
            self.record(Record(verdict, target, Kind.CONNECTION), origin)
        except EvidenceError:
            return False
        return True

    def on_host(self, networks: Iterable[HostNetwork]) -> None:
        """Take the addresses and networks of the machine that dials."""
        self.networks = tuple(networks)
        for state in self._states.values():
            state.judge.on_host(self.networks)

    def tick(self, now: float) -> None:
        """Take the time, in seconds that only grow."""
        for state in self._states.values():
            state.judge.tick(now)

    async def listen(self, listeners: Sequence[socket.socket]) -> list[asyncio.Server]:
        """Accept on sockets that listen already."""
        return [
            await self.loop.create_server(lambda: ProxyConnection(self), sock=sock, backlog=1024)
            for sock in listeners
        ]

    def close(self) -> None:
        """Drop every connection."""
        for stranger in tuple(self.strangers):
            stranger.drop()
        for state in self._states.values():
            state.close()
        self.dialler.close()


class ProxyConnection(AgentConnection):
    """A connection to the proxy: of nobody, until it is known whose."""

    __slots__ = ("_address", "_door", "_inside", "_proxy", "_skip", "_waits")

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(cast("Service", None))  # there is none before it is known who asks
        self._proxy = proxy
        self._door: ProxyDoor[ProxyAgent] | None = None
        self._inside = False
        self._skip = 0
        self._waits: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted: find out who it is."""
        proxy = self._proxy
        self._transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("sockname") or ("", 0)
        self._address: tuple[str, int] = (str(name[0]), int(name[1]))
        if proxy.anonymous:
            self._enter(proxy.agent(""), b"")
        elif len(proxy.strangers) >= STRANGERS:
            self._closing = True
            self._transport.abort()
        else:
            limits = proxy.policy.limits
            self._door = ProxyDoor(proxy.find, limits, Target("tcp", *self._address))
            proxy.strangers.add(self)
            self._waits = proxy.loop.call_later(limits.header_seconds, self._transport.abort)

    def _enter(self, agent: ProxyAgent, rest: bytes) -> None:
        self._door = None
        self._forget()
        self._inside = True
        self._service = agent
        origin = Origin(agent.jail, agent.next_flow(), *self._address, "", agent.name)
        self._begin(origin, agent.loop.time(), agent.door)
        if rest and not self._closing:
            self._receive(rest, 0)

    def _forget(self) -> None:
        self._proxy.strangers.discard(self)
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come: of somebody at the door, or of an agent."""
        door = self._door
        if door is None:
            super().buffer_updated(nbytes)
            return
        outcome = door.feed(bytes(self.get_buffer(0)[:nbytes]))
        if door.reply:
            self._transport.write(door.reply)
            door.reply = b""
        if isinstance(outcome, Turned):
            self._turn_away(outcome)
        elif outcome is not None:
            self._skip = outcome.skip
            self._enter(outcome.agent, outcome.rest)

    def _turn_away(self, turned: Turned) -> None:
        self._closing = True
        self._door = None
        self._forget()
        if not self._proxy.turned(turned.verdict, *self._address) or not turned.reply:
            self._transport.abort()
            return
        # Read on for a moment: a close with unread bytes would take the answer with it.
        self._transport.write(turned.reply)
        self._transport.write_eof()
        self._waits = self._proxy.loop.call_later(_LINGER_SECONDS, self._transport.abort)

    def _send(self, out: list[bytes]) -> None:
        if self._skip and out:
            data = b"".join(out)
            taken = min(self._skip, len(data))
            self._skip -= taken
            out = [data[taken:]] if data[taken:] else []
        super()._send(out)

    def eof_received(self) -> bool:
        """The other end sends no more."""
        if not self._inside:
            self._transport.close()
            return False
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._forget()
        if self._inside:
            super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The other end reads slowly."""
        if self._inside:
            super().pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._inside:
            super().resume_writing()

    def drop(self) -> None:
        """Close at once."""
        self._forget()
        super().drop()
