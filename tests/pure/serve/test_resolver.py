"""The resolver: one look-up for each name, bounded, with a limit and a short memory."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from interceptor.serve import resolver as module
from interceptor.serve.resolver import Resolved, ResolveError, Resolver, ask_host
from interceptor.verdict import Reason

GOOD = Resolved(("11.22.33.10", "2d00:77::10"), "edge.example.net")
LONG = 20.0


class Script:
    """Answers from a table; names in `held` wait until they are let go."""

    def __init__(self, *held: str) -> None:
        self.asked: list[str] = []
        self.held = {name: threading.Event() for name in held}
        self.answers: dict[str, Resolved | ResolveError] = {}
        self.at_once = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, name: str) -> Resolved | ResolveError:
        with self.lock:
            self.asked.append(name)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        if name in self.held:
            assert self.held[name].wait(LONG)
        with self.lock:
            self.at_once -= 1
        return self.answers.get(name, GOOD)

    def let_go(self) -> None:
        for event in self.held.values():
            event.set()


async def settled(check: Callable[[], bool]) -> None:
    end = asyncio.get_running_loop().time() + LONG
    while not check():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.01)


def scene(
    script: Script, play: Callable[[Resolver], Coroutine[Any, Any, None]], timeout: float = LONG
) -> None:
    async def run() -> None:
        resolver = Resolver(asyncio.get_running_loop(), timeout, script)
        try:
            await asyncio.wait_for(play(resolver), LONG)
        finally:
            script.let_go()
            resolver.close()

    asyncio.run(run())


def test_many_who_wait_are_one_look_up() -> None:
    script = Script("a.example")

    async def play(resolver: Resolver) -> None:
        waiting = [asyncio.ensure_future(resolver.resolve("a.example")) for _ in range(50)]
        await asyncio.sleep(0.02)
        script.let_go()
        assert set(await asyncio.gather(*waiting)) == {GOOD}
        assert await resolver.resolve("a.example") == GOOD  # out of the memory
        assert script.asked == ["a.example"]
        resolver.forget("a.example")
        await resolver.resolve("a.example")
        assert script.asked == ["a.example"] * 2

    scene(script, play)


def test_answers_and_failures_are_kept_for_a_short_while(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script()
    script.answers["no.example"] = ResolveError("no such name", absent=True)

    async def play(resolver: Resolver) -> None:
        for _ in range(3):
            assert await resolver.resolve("a.example") == GOOD
            with pytest.raises(ResolveError, match="no such name") as caught:
                await resolver.resolve("no.example")
            assert caught.value.absent
            assert caught.value.reason is Reason.RESOLVE_FAILED
        assert sorted(script.asked) == ["a.example", "no.example"]
        monkeypatch.setattr(module, "KEPT", 0.0)
        monkeypatch.setattr(module, "KEPT_ABSENT", 0.0)
        for name in ("a.example", "no.example"):
            resolver.forget(name)
            for _ in range(2):
                await asyncio.gather(resolver.resolve(name), return_exceptions=True)
        assert len(script.asked) == 6

    scene(script, play)


def test_nobody_waits_longer_than_the_limit_and_the_answer_is_not_lost() -> None:
    script = Script("slow.example")

    async def play(resolver: Resolver) -> None:
        for _ in range(2):  # the second joins the look-up that still runs
            with pytest.raises(ResolveError, match=r"did not answer within 0\.05 s") as caught:
                await resolver.resolve("slow.example")
            assert not caught.value.absent
        script.let_go()
        await settled(lambda: bool(resolver._kept))
        assert await resolver.resolve("slow.example") == GOOD
        assert script.asked == ["slow.example"]

    scene(script, play, 0.05)


def test_only_so_many_look_ups_run_at_once() -> None:
    names = [f"n{i}.example" for i in range(module.WORKERS * 3)]
    script = Script(*names)

    async def play(resolver: Resolver) -> None:
        waiting = [asyncio.ensure_future(resolver.resolve(name)) for name in names]
        await settled(lambda: script.at_once >= module.WORKERS)
        await asyncio.sleep(0.05)
        assert len(script.asked) == module.WORKERS
        for task in waiting[-5:]:  # whoever gives up in the queue is never asked for
            task.cancel()
        await asyncio.gather(*waiting[-5:], return_exceptions=True)
        script.let_go()
        await asyncio.gather(*waiting[:-5])
        assert script.most <= module.WORKERS
        assert not set(names[-5:]) & set(script.asked)
        assert not resolver._flights

    scene(script, play)


def test_the_queue_has_an_end() -> None:
    names = [f"n{i}.example" for i in range(module.WAITING)]
    script = Script(*names)

    async def play(resolver: Resolver) -> None:
        waiting = [asyncio.ensure_future(resolver.resolve(name)) for name in names]
        await asyncio.sleep(0.02)
        with pytest.raises(ResolveError, match="wait for the resolver"):
            await resolver.resolve("another.example")
        joined = asyncio.ensure_future(resolver.resolve(names[0]))
        await asyncio.sleep(0)
        script.let_go()
        assert await joined == GOOD
        await asyncio.gather(*waiting)
        assert await resolver.resolve("another.example") == GOOD

    scene(script, play)


def test_the_memory_is_bounded() -> None:
    script = Script()

    async def play(resolver: Resolver) -> None:
        for i in range(module._REMEMBERED + 50):
            resolver._kept[f"n{i}.example"] = (1e18, GOOD)
            if len(resolver._kept) > module._REMEMBERED:
                break
        await resolver.resolve("new.example")
        assert len(resolver._kept) <= module._REMEMBERED + 1
        assert "n0.example" not in resolver._kept

    scene(script, play)


def test_addresses_are_not_asked_for() -> None:
    script = Script()

    async def play(resolver: Resolver) -> None:
        assert await resolver.resolve("11.22.33.10") == Resolved(("11.22.33.10",))
        assert await resolver.resolve("2d00:77::10") == Resolved(("2d00:77::10",))
        assert script.asked == []
        assert await resolver.resolve("host9") == GOOD
        assert script.asked == ["host9"]

    scene(script, play)


def test_a_defect_of_a_look_up_reaches_who_asked() -> None:
    def broken(name: str) -> Resolved:
        raise RuntimeError(name)

    async def play() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        resolver = Resolver(loop, LONG, broken)
        with pytest.raises(RuntimeError):
            await resolver.resolve("a.example")
        assert not resolver._flights
        resolver.close()

    asyncio.run(play())


def test_the_hosts_own_resolver() -> None:
    found = ask_host("localhost")  # /etc/hosts: no packet leaves
    assert isinstance(found, Resolved)
    assert set(found.addresses) <= {"127.0.0.1", "::1"}
    for name in ("a" * 64 + ".example", "é.example"):
        failed = ask_host(name)
        assert isinstance(failed, ResolveError), name
        assert failed.detail


@pytest.mark.parametrize(
    ("rows", "canonical"),
    [
        ([("", "11.22.33.10"), ("", "11.22.33.10"), ("", "2d00:77::10")], ""),
        ([("WWW.Example.com.", "11.22.33.10")], ""),
        ([("edge.example.net", "11.22.33.10"), ("", "2d00:77::10")], "edge.example.net"),
    ],
)
def test_what_getaddrinfo_says(
    monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, str]], canonical: str
) -> None:
    def said(*words: object, **options: object) -> list[object]:
        assert words[0] == b"www.example.com"
        return [(2, 1, 6, name, (address, 0)) for name, address in rows]

    monkeypatch.setattr(socket, "getaddrinfo", said)
    found = ask_host("www.example.com")
    assert isinstance(found, Resolved)
    assert found.canonical == canonical
    assert found.addresses == tuple(dict.fromkeys(address for _, address in rows))


def test_what_it_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for code, absent in ((-2, True), (-5, True), (-3, False), (-4, False)):

        def said(*words: object, code: int = code, **options: object) -> list[object]:
            raise socket.gaierror(code, "said so")

        monkeypatch.setattr(socket, "getaddrinfo", said)
        failed = ask_host("www.example.com")
        assert isinstance(failed, ResolveError)
        assert (failed.absent, failed.detail) == (absent, "said so")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *words, **options: [])
    failed = ask_host("www.example.com")
    assert isinstance(failed, ResolveError)
    assert failed.absent
