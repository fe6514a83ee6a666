"""The gateway's supervisor: makes captive namespaces and workers, and brings both together.

It is root and parses no byte of a guest's: it speaks with root's clients, with its workers, and
with the kernel. One thread, one thing at a time: what is slow here (some milliseconds for a guest)
holds up other requests, never the guests that are served.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from interceptor.evidence.log import EvidenceError
from interceptor.gateway import payloads
from interceptor.gateway.crew import Crew
from interceptor.gateway.held import Held
from interceptor.gateway.heritage import Heritage
from interceptor.gateway.links import nic_of
from interceptor.gateway.messages import Guest, check
from interceptor.gateway.naming import Naming
from interceptor.gateway.roster import RosterError
from interceptor.gateway.store import StoreError, memory
from interceptor.gateway.workers import Worker, WorkerError, WorkerGoneError
from interceptor.serve.gateway_messages import Alter, Ask, Release, Report
from interceptor.serve.gateway_worker import Shared
from netns import adoption, captive
from netns.captive import Captive, CaptiveError
from netns.nic import NicError
from netns.registry import Registration, RegistryError

_AT_A_TIME = 16
"""Orders of guests that wait for their answers."""
_STORED = (("net", "namespace"), ("kept", "kept"), ("life", "process"))
"""What outlives the process: end of its name in the store, and its place in `Held`."""


class RequestError(Exception):
    """A request that is not carried out. `code` is that of `messages.Fault`."""

    def __init__(self, code: str, cause: str) -> None:
        super().__init__(cause)
        self.code = code


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What a supervisor works with."""

    shared: Shared
    heritage: Heritage
    find_secrets: payloads.FindSecrets
    tell: Callable[[str], None]
    """Called with lines for the operator."""


class Supervisor:
    """Guests and workers.

    Attributes:
        held: guests by name, served or not.
        crew: the workers.
    """

    def __init__(self, surroundings: Surroundings, workers: int) -> None:
        """Fork the workers.

        Raises:
            WorkerError: one does not come up.
        """
        self._around = surroundings
        self.store = surroundings.heritage.store
        self.held: dict[str, Held] = {}
        self._spare: captive.Preparation | None = None
        self.crew = Crew(
            surroundings.shared, workers, surroundings.tell, self._strand, self._return
        )
        self._naming = Naming(surroundings.tell)
        self._bringing = False
        self._returned: list[int] = []
        """Workers that have come back while guests were brought to others."""

    # -- guests ----------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Serve again who is on the roster: in the namespace that was kept, or in a new one."""
        guests = self._around.heritage.guests
        for line in self._around.heritage.wrong:
            self._around.tell(line)
        kept = self.store.found
        names = {f"{guest.name}.{end}" for guest in guests for end, _ in _STORED}
        for name in [name for name in kept if name not in names and "." in name]:
            _close_all(kept.pop(name))
            self.store.remove(name)
        waiting = []
        for guest in guests:
            held = self.held[guest.name] = Held(guest)
            try:
                held.registration = self._register(guest)
                held.payload = payloads.read(guest, self._around.shared, self._around.find_secrets)
            except (RequestError, payloads.PayloadError) as error:
                held.offline(str(error))
            for end, place in _STORED:
                found = kept.pop(f"{guest.name}.{end}", [])
                if found:
                    setattr(held, place, found[0])
                    _close_all(found[1:])
            if held.has_ended():
                self.remove(guest.name)
            else:
                waiting.append(held)
        adopted = self._around.heritage.adopted()
        able = [held for held in waiting if held.payload is not None]
        names = {held.guest.name for held in able}
        self._bring(able, "restart", adopted={n: adopted[n] for n in names & adopted.keys()})
        for unserved in (each for name, each in adopted.items() if name not in names):
            if not isinstance(unserved, CaptiveError):
                unserved.close()
        for held in waiting:
            if held.fault:
                self._around.tell(f"{held.guest.name} is offline: {held.fault}")

    def add(self, guest: Guest, peer: int = -1, process: int = -1) -> tuple[Held, int]:
        """Make a captive namespace and serve it.

        Args:
            guest: as asked for.
            peer: descriptor of the guest's own namespace, for a veth pair.
            process: pidfd of what the guest is bound to; the guest's to close from here on.

        Returns:
            The guest, and the descriptor of the tap that was made, or -1.

        Raises:
            RequestError: nothing of it remains.
        """
        name = guest.name
        held = Held(msgspec.structs.replace(guest, added=time.time()), process=process)
        with contextlib.ExitStack() as undo:
            undo.callback(held.close)
            if wrong := check(guest):
                raise RequestError("name", wrong)
            if name in self.held and self.held[name].has_ended():
                self.remove(name)
            if name in self.held:
                raise RequestError("name", f"there is a guest {name} already")
            if held.has_ended():
                raise RequestError("setup", f"the process that {name} is bound to has ended")
            held.registration = self._register(guest)
            try:
                held.payload = payloads.read(guest, self._around.shared, self._around.find_secrets)
            except payloads.PayloadError as error:
                raise RequestError("policy", str(error)) from None
            made = self._namespace(guest, peer)
            undo.callback(made.close)
            tap, made.tap_fd = made.tap_fd, -1
            if tap >= 0:
                undo.callback(os.close, tap)
            try:
                self._keep(held, made)
                undo.callback(self._forget, name)
                self._serve(held, made, "", None)
                self._around.heritage.roster.save(held.guest)
            except (WorkerGoneError, StoreError) as error:
                raise RequestError("busy", str(error)) from None
            except (WorkerError, EvidenceError, RosterError, OSError) as error:
                self._release(held)
                raise RequestError("setup", str(error)) from None
            undo.pop_all()
        self._naming.settle()
        made.close()  # its listeners are the worker's, and the namespace has our own descriptor
        self.held[name] = held
        return held, tap

    def remove(self, name: str) -> None:
        """Serve a guest no more, and forget it.

        Raises:
            RequestError: there is no such guest.
        """
        held = self.known(name)
        self._release(held)
        self._forget(name)
        del self.held[name]
        held.close()

    def reload(self, names: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
        """Read policies again; use those that have changed, and serve who is offline.

        Args:
            names: of guests; none for all.

        Returns:
            Guests that have another policy now; and guests with what is wrong with theirs.

        Raises:
            RequestError: there is no such guest.
        """
        changed, faults = [], []
        for held in [self.known(name) for name in names] or list(self.held.values()):
            name = held.guest.name
            try:
                if self._reload(held):
                    changed.append(name)
            except (payloads.PayloadError, WorkerError, OSError) as error:
                faults.append((name, str(error)))
            if held.fault:
                faults.append((name, held.fault))
        return changed, faults

    def known(self, name: str) -> Held:
        """The guest of that name.

        Raises:
            RequestError: there is none.
        """
        held = self.held.get(name)
        if held is None:
            raise RequestError("name", f"there is no guest {name}")
        return held

    # -- what goes on ----------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Look after the workers, and prepare a namespace for the next guest."""
        self.crew.tick(now)
        self._naming.tick(self.held.values())
        for name in [name for name, held in self.held.items() if held.has_ended()]:
            self.remove(name)
        if self._spare is None:
            with contextlib.suppress(CaptiveError):
                self._spare = captive.Preparation(rootless=False, notices=True)

    def close(self) -> None:
        """End the workers, and let go of guests: they are offline, and can be adopted."""
        if self._spare is not None:
            self._spare.abandon()
            self._spare = None
        self.crew.close()
        self._naming.close()
        for held in self.held.values():
            held.close()
        self.store.close()

    def _strand(self, worker: Worker) -> int:
        """Note that nobody serves the guests of a worker that has ended; say how many they are."""
        stranded = [held for held in self.held.values() if held.worker is worker]
        for held in stranded:
            held.offline("its worker has ended")
            held.number = worker.number
        return len(stranded)

    def _return(self, number: int) -> None:
        """Serve them again: each by the worker of that number, so that none harms another's."""
        self._returned.append(number)
        self._bring_back()

    def _bring_back(self) -> None:
        while self._returned and not self._bringing:
            number = self._returned.pop(0)
            stranded = (h for h in self.held.values() if h.worker is None and h.number == number)
            self._bring(list(stranded), "worker", self.crew.workers[number])

    # -- the parts of it -------------------------------------------------------------------------

    def _register(self, guest: Guest) -> Registration:
        try:
            return self._around.heritage.registry.register(
                ("gateway guest", guest.nic.kind if guest.nic else "processes"),
                began=guest.added or time.time(),
                policy=guest.policy or guest.preset,
                evidence=str(Held(guest).evidence),
                name=guest.name,
            )
        except RegistryError as error:
            raise RequestError("name", str(error)) from None

    def _namespace(self, guest: Guest, peer: int) -> Captive:
        try:
            nic = nic_of(guest, peer)
            if nic is not None:
                return captive.create(rootless=False, nic=nic, notices=True)
            spare, self._spare = self._spare, None
            if spare is not None:
                with contextlib.suppress(CaptiveError):
                    return spare.finish()
            return captive.create(rootless=False, notices=True)
        except (CaptiveError, NicError) as error:
            raise RequestError("setup", str(error)) from None

    def _keep(self, held: Held, made: Captive) -> None:
        """Have descriptors of a guest that outlive this process."""
        name = held.guest.name
        if held.namespace < 0:
            held.namespace = os.dup(made.namespace_fd)
        if held.kept < 0:
            keeps = held.guest.keep_authority
            held.kept = (
                self._around.heritage.roster.open_kept(name) if keeps else memory(f"{name}.kept")
            )
        self._put(name, held)

    def _put(self, name: str, held: Held) -> None:
        try:
            self._put_each(name, held)
        except StoreError:
            self.store.close()
            self.store = self._around.heritage.reopen()
            for other, each in [*self.held.items(), (name, held)]:
                self._put_each(other, each)

    def _put_each(self, name: str, held: Held) -> None:
        for end, place in _STORED:
            if (descriptor := getattr(held, place)) >= 0:
                self.store.put(f"{name}.{end}", [descriptor])

    def _forget(self, name: str) -> None:
        for end, _ in _STORED:
            self.store.remove(f"{name}.{end}")
        self._around.heritage.roster.forget(name)

    def _serve(self, held: Held, made: Captive, cause: str, worker: Worker | None) -> None:
        """Have `worker` serve a guest, or the one that has the fewest."""
        if worker is None:
            worker = self.crew.idlest(other.worker for other in self.held.values())
        try:
            held.offer(worker, made, cause)
            held.settle(worker)
        except WorkerGoneError:
            self.crew.lost(worker)
            raise
        self._naming.watch(held)

    def _bring(
        self,
        guests: Sequence[Held],
        cause: str,
        worker: Worker | None = None,
        adopted: dict[str, Captive | CaptiveError] | None = None,
    ) -> None:
        """Serve guests that nobody serves, in the namespaces that they have, or in new ones.

        Workers have several orders at a time: their work goes on beside ours, and beside each
        other's.
        """
        self._bringing = True
        try:
            found = self._adopt(guests) if adopted is None else adopted
            self._offer(guests, cause, worker, found)
        finally:
            self._bringing = False
        self._bring_back()

    def _offer(
        self,
        guests: Sequence[Held],
        cause: str,
        worker: Worker | None,
        found: dict[str, Captive | CaptiveError],
    ) -> None:
        offered: collections.deque[tuple[Held, Worker]] = collections.deque()
        for held in guests:
            made = found.get(held.guest.name)
            if isinstance(made, CaptiveError):
                held.offline(str(made))
                continue
            try:
                if made is None:
                    made = self._namespace(held.guest, -1)
                    made.close_tap()  # its machine has ended with the boot before
                with contextlib.closing(made):
                    self._keep(held, made)
                    taker = worker or self.crew.idlest(
                        [each.worker for each in self.held.values()] + [w for _, w in offered]
                    )
                    held.offer(taker, made, cause)
                    offered.append((held, taker))
            except (RequestError, WorkerError, EvidenceError, RosterError, StoreError) as error:
                held.offline(str(error))
            except OSError as error:
                held.offline(error.strerror or str(error))
            if len(offered) >= _AT_A_TIME:
                self._settle(*offered.popleft())
        while offered:
            self._settle(*offered.popleft())
        for held in guests:
            self._naming.watch(held)
        self._naming.settle()

    def _settle(self, held: Held, worker: Worker) -> None:
        try:
            held.settle(worker)
        except WorkerGoneError as error:
            held.offline(str(error))
            self.crew.lost(worker)  # whoever takes its place brings this one, too
        except WorkerError as error:
            held.offline(str(error))

    def _adopt(self, guests: Sequence[Held]) -> dict[str, Captive | CaptiveError]:
        there = [held for held in guests if held.namespace >= 0]
        orphans = []
        for held in there:
            held.close_log()  # the new listeners come with a new one
            orphans.append(adoption.Orphan(held.namespace, nic_of(held.guest)))
        adopted = adoption.adopt(orphans)
        return {held.guest.name: each for held, each in zip(there, adopted, strict=True)}

    def _reload(self, held: Held) -> bool:
        payload = payloads.read(held.guest, self._around.shared, self._around.find_secrets)
        before = held.payload
        if held.worker is None:
            held.payload = payload
            self._bring([held], "policy")
            return held.worker is not None
        if before is not None and payloads.same(before, payload):
            return False
        descriptor = payloads.as_memory(payload)
        worker = held.worker
        try:
            worker.order(Alter(held.guest.name), [descriptor])
        except WorkerGoneError:
            self.crew.lost(worker)
            raise
        except WorkerError as error:
            # It has its old policy, or, where the new one could not be served, nobody serves it.
            report = worker.order(Ask())
            if isinstance(report, Report) and held.guest.name not in {
                tally.name for tally in report.tallies
            }:
                held.offline(str(error))
            raise
        finally:
            os.close(descriptor)
        held.payload = payload
        self._naming.watch(held)  # with the policy the judge is another, and who it listens to
        self._naming.settle()
        return True

    def _release(self, held: Held) -> None:
        worker = held.worker
        if worker is None:
            return
        held.offline("removed")
        try:
            worker.order(Release(held.guest.name, time.monotonic() - held.began))
        except WorkerGoneError:
            self.crew.lost(worker)
        except WorkerError as error:
            self._around.tell(f"{held.guest.name}: the evidence may be incomplete: {error}")


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
