"""What is slow is waited for, and what nobody waits for is closed; nothing piles up in between."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from types import SimpleNamespace
from typing import Any, cast

import pytest

from interceptor.flow.context import FlowContext
from interceptor.flow.tcp_flow import TcpFlow
from interceptor.model import Origin
from interceptor.policy.schema import Limits
from interceptor.serve.dialler import Dialler
from interceptor.serve.outbox import Outbox
from interceptor.serve.tcp import AgentConnection
from interceptor.serve.upstream import UpstreamConnection
from tests.conversation import ScriptedJudge


class Transport:
    """Notes whether it is read from."""

    def __init__(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


def test_an_agent_that_does_not_take_its_answers_is_not_heard() -> None:
    transport = Transport()
    connection = AgentConnection(cast("Any", SimpleNamespace()))
    context = FlowContext(
        Origin("jail", "f1", "198.18.1.1", 80, "api.example.com"),
        cast("Any", ScriptedJudge()),
        Limits(),
        lambda text, now: "",
    )
    connection._transport = cast("Any", transport)
    connection._flow = TcpFlow(context, 0.0)
    connection._flow.client_bytes(b"GET /?k=SECRET HTTP/1.1\r\nHost: api.example.com\r\n\r\n", 0.0)
    connection.pause_writing()
    assert connection._flow.wants_client
    reads = [transport.reads]
    connection.resume_writing()
    assert [*reads, transport.reads] == [False, True]


def test_what_is_asked_for_anew_has_its_own_time() -> None:
    # A retry follows from what upstream says, when the timer is set for the answer it gave up.
    timers: list[float] = []

    def call_later(delay: float, tick: Any) -> Any:
        timers.append(delay)
        return SimpleNamespace(cancel=lambda: None)

    def create_task(work: Any) -> Any:
        work.close()
        return SimpleNamespace(add_done_callback=lambda call: None)

    async def work() -> None:
        """Never begun."""

    loop = SimpleNamespace(time=lambda: 5.0, call_later=call_later, create_task=create_task)
    connection = AgentConnection(cast("Any", SimpleNamespace(loop=loop)))
    connection._flow = cast("Any", SimpleNamespace(deadline=35.0))
    connection._timer = cast("Any", call_later(300.0, None))
    connection._timer_at = 305.0
    connection._start(work(), 0)
    assert timers == [300.0, 30.0]


def test_a_connection_that_tls_has_ended_is_not_kept() -> None:
    transport = Transport()
    tls = SimpleNamespace(ended=False)
    connection = UpstreamConnection(
        ("https", "a", 443, 0), "192.0.2.1", cast("Any", tls), Outbox(cast("Any", None))
    )
    connection._transport = cast("Any", transport)
    found = [connection.usable]
    tls.ended = True
    assert [*found, connection.usable] == [True, False]


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_dial_that_is_given_up_as_it_succeeds_leaves_no_connection(
    monkeypatch: pytest.MonkeyPatch, *, cancelled: bool
) -> None:
    made: list[UpstreamConnection] = []

    async def ready(self: UpstreamConnection) -> None:
        made.append(self)
        if cancelled:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    monkeypatch.setattr(UpstreamConnection, "ready", ready)

    async def scene() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        dialler = Dialler(loop, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), 5.0)
        target: Any = SimpleNamespace(scheme="http", host="localhost", port=port)
        dial = loop.create_task(dialler.dial(target, ("127.0.0.1",)))
        await asyncio.wait((dial,))
        assert dial.cancelled() is cancelled
        assert made[0].usable is not cancelled
        made[0].abort()
        server.close()
        await asyncio.sleep(0.1)

    asyncio.run(scene())
