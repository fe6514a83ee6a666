"""Dialling: addresses in quick succession, the first that stands wins, and nothing is left open."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from interceptor.model import Target
from interceptor.serve import dialler as module
from interceptor.serve.dialler import Dialler, alternating
from interceptor.serve.resolver import Resolved, Resolver
from interceptor.serve.upstream import DialError
from interceptor.tls.authority import Authority
from interceptor.verdict import Reason

GOOD, SILENT, OTHER, REFUSING = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
LONG = 20.0
AUTHORITY = Authority("dial", dt.datetime.now(dt.UTC))
NAME = "api.example.com"


class Server:
    """Accepts; counts who came and who went."""

    def __init__(self) -> None:
        self.came = self.gone = 0
        self.port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        try:
            await reader.read()
        except OSError:
            pass
        finally:
            self.gone += 1
            writer.close()


@asynccontextmanager
async def serving(address: str = GOOD, port: int = 0, name: str = "") -> AsyncIterator[Server]:
    server = Server()
    context = AUTHORITY.server_context(name, ("http/1.1",)) if name else None
    listener = await asyncio.start_server(server, address, port, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


@asynccontextmanager
async def silent(address: str, port: int) -> AsyncIterator[None]:
    """A listener whose queue is full: what comes now is not answered, as by a dead host."""
    with socket.socket() as listener:
        listener.bind((address, port))
        listener.listen(0)
        filling = []
        try:
            for _ in range(4):
                end = socket.socket()
                end.setblocking(False)
                end.connect_ex((address, port))
                filling.append(end)
            await asyncio.sleep(0.05)
            yield
        finally:
            for end in filling:
                end.close()


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(cadata=AUTHORITY.certificate_pem.decode("ascii"))
    return made


def play(scene: Callable[[Dialler], Coroutine[Any, Any, None]], timeout: float = LONG) -> None:
    async def run() -> None:
        dialler = Dialler(asyncio.get_running_loop(), context(), timeout)
        try:
            await asyncio.wait_for(scene(dialler), LONG)
        finally:
            dialler.close()
            await asyncio.sleep(0.05)

    asyncio.run(run())


async def settled(check: Callable[[], bool]) -> None:
    end = asyncio.get_running_loop().time() + LONG
    while not check():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.01)


def plain(port: int) -> Target:
    return Target("http", NAME, port)


def test_a_dead_address_costs_a_quarter_of_a_second() -> None:
    async def scene(dialler: Dialler) -> None:
        loop = asyncio.get_running_loop()
        async with serving() as server, silent(SILENT, server.port):
            begin = loop.time()
            connection = await dialler.dial(plain(server.port), (SILENT, GOOD))
            taken = loop.time() - begin
            assert connection.address == GOOD
            assert module.STAGGER * 0.9 < taken < LONG / 4, taken
            connection.abort()

    play(scene)


def test_a_refusing_address_costs_nothing() -> None:
    async def scene(dialler: Dialler) -> None:
        async with serving() as server:
            connection = await dialler.dial(plain(server.port), (REFUSING, OTHER, GOOD))
            assert connection.address == GOOD
            connection.abort()

    play(scene)


def test_the_first_that_stands_is_used_and_the_second_never_begun() -> None:
    async def scene(dialler: Dialler) -> None:
        async with serving() as server, serving(OTHER, server.port) as other:
            connection = await dialler.dial(plain(server.port), (GOOD, OTHER))
            assert connection.address == GOOD
            await asyncio.sleep(module.STAGGER * 1.5)
            assert (server.came, other.came) == (1, 0)
            connection.abort()

    play(scene)


def test_tls_that_hangs_is_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDSHAKE", 0.5)

    async def scene(dialler: Dialler) -> None:
        async with serving(GOOD, name=NAME) as good, serving(OTHER, good.port) as mute:
            target = Target("https", NAME, good.port)
            connection = await dialler.dial(target, (OTHER, GOOD))
            assert connection.address == GOOD
            await settled(lambda: mute.gone == 1)  # nothing is left open
            assert mute.came == 1
            connection.abort()

    play(scene)


def test_a_bad_certificate_ends_it() -> None:
    async def scene(dialler: Dialler) -> None:
        async with serving(GOOD, name=NAME) as good, serving(OTHER, good.port, "b.example"):
            target = Target("https", NAME, good.port)
            with pytest.raises(DialError) as caught:
                await dialler.dial(target, (OTHER, GOOD))
            assert caught.value.reason is Reason.CERTIFICATE_INVALID
            await asyncio.sleep(module.STAGGER)
            assert good.came == 0

    play(scene)


@pytest.mark.parametrize("addresses", [(REFUSING,), (OTHER, REFUSING)])
def test_nobody_there(addresses: tuple[str, ...]) -> None:
    async def scene(dialler: Dialler) -> None:
        with socket.socket() as free:
            free.bind((GOOD, 0))
            port = free.getsockname()[1]
        with pytest.raises(DialError, match=REFUSING) as caught:
            await dialler.dial(plain(port), addresses)
        assert caught.value.reason is Reason.CONNECT_FAILED

    play(scene)


@pytest.mark.parametrize("addresses", [(SILENT,), (SILENT, OTHER)])
def test_nobody_answers_and_the_name_is_asked_for_again(addresses: tuple[str, ...]) -> None:
    async def scene(dialler: Dialler) -> None:
        async with serving() as server:
            port = server.port
            async with silent(SILENT, port), silent(OTHER, port):
                dialler.resolver._kept[NAME] = (1e18, Resolved(addresses))
                with pytest.raises(DialError, match=r"within 0\.6 s") as caught:
                    await dialler.dial(plain(port), addresses)
                assert caught.value.reason is Reason.CONNECT_FAILED
                assert NAME not in dialler.resolver._kept

    play(scene, timeout=0.6)


def test_giving_up_leaves_nothing_open() -> None:
    async def scene(dialler: Dialler) -> None:
        async with serving(OTHER) as mute, silent(SILENT, mute.port):
            target = Target("https", NAME, mute.port)  # it never says a byte of TLS
            work = asyncio.ensure_future(dialler.dial(target, (SILENT, OTHER)))
            await settled(lambda: mute.came == 1)
            work.cancel()
            await settled(lambda: mute.gone == 1)

    play(scene)


def test_a_named_service_is_dialled_at_its_own_port() -> None:
    async def scene(dialler: Dialler) -> None:
        async with serving() as server:
            target = Target("http", "ollama.internal", 80)
            connection = await dialler.dial(target, (GOOD,), port=server.port)
            await settled(lambda: server.came == 1)
            dialler.keep(connection)
            assert dialler.pooled(target) is connection
            connection.abort()

    play(scene)


def test_the_pool_knows_the_judgement() -> None:
    async def scene(dialler: Dialler) -> None:
        async with serving() as server:
            target = plain(server.port)
            connection = await dialler.dial(target, (GOOD,), judged=7)
            dialler.keep(connection)
            assert dialler.pooled(target, 8) is None
            assert dialler.pooled(target) is None
            assert dialler.pooled(Target("https", NAME, server.port), 7) is None
            assert dialler.pooled(target, 7) is connection  # positive control
            assert dialler.pooled(target, 7) is None
            connection.abort()

    play(scene)


def test_families_take_turns() -> None:
    for given, order in (
        (["a::1", "a::2", "1.1.1.1", "1.1.1.2"], ["a::1", "1.1.1.1", "a::2", "1.1.1.2"]),
        (["1.1.1.1", "a::1", "a::2", "a::3"], ["1.1.1.1", "a::1", "a::2", "a::3"]),
        (["a::1", "a::2"], ["a::1", "a::2"]),
        (["1.1.1.1", "1.1.1.2", "a::1"], ["1.1.1.1", "a::1", "1.1.1.2"]),
    ):
        assert alternating(given) == order


def test_names_are_resolved_by_the_resolver() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        found = Resolved(("11.22.33.10",))
        dialler = Dialler(loop, context(), 1.0, Resolver(loop, 1.0, lambda name: found))
        assert await dialler.resolve(plain(80)) == found
        dialler.close()

    asyncio.run(run())
