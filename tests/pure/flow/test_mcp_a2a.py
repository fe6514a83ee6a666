"""A2A over HTTP: both bindings, streams, and the cards of agents."""

from __future__ import annotations

import json
from typing import Any

from interceptor.flow.steps import Record
from interceptor.model import Kind
from tests.conversation import get
from tests.mcp_http_talk import Seen, World, document, encoded, request, result, stream
from tests.scan_samples import ACME, STEERS

CARD: dict[str, Any] = {
    "protocolVersion": "0.3.0",
    "name": "Weather",
    "description": "Forecasts",
    "url": "https://api.example.com/a2a",
    "capabilities": {"streaming": True},
    "skills": [{"id": "now", "name": "Now", "description": "The weather now"}],
}
WELL_KNOWN = "/.well-known/agent-card.json"


def said(text: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "messageId": "m", "parts": [{"kind": "text", "text": text}]}


def send(text: str, method: str = "message/send", ident: Any = 1) -> dict[str, Any]:
    return request(method, {"message": said(text)}, ident)


def fetch(world: World, card: Any, path: str = WELL_KNOWN) -> Seen:
    return Seen(world.connect().say(get(path)).reply(document(card)))


def test_messages_of_json_rpc_go_on_or_are_refused_in_their_own_terms() -> None:
    for method in ("message/send", "SendMessage"):
        world = World()
        seen = world.ask(send("Translate this", method), document(result(said("Done", "agent"))))
        assert seen.message == result(said("Done", "agent"))
        assert seen.blocks == []
        seen = world.ask(send(STEERS, method, "x"), b"")
        assert (seen.status, seen.sent, seen.message["id"]) == (200, b"", "x")
        assert seen.blocks == [seen.message["error"]["data"]["reason"]] == ["injection"]
        record = next(step for step in seen.talk.steps if isinstance(step, Record))
        assert record.kind == Kind.A2A_MESSAGE
    seen = World().ask(send(ACME.decode()), b"")
    assert (seen.sent, seen.message["error"]["data"]["reason"]) == (b"", "secret")
    seen = World().ask(send("Go on"), document(result(said(STEERS, "agent"))))
    assert seen.message["error"]["data"]["reason"] == "injection"
    assert STEERS.encode() not in seen.talk.received


def test_a_stream_of_many_answers_to_one_request() -> None:
    update = {"kind": "status-update", "taskId": "t", "status": {"state": "working"}}
    bad = {**update, "status": {"state": "working", "message": said(STEERS, "agent")}}
    events = [result(update), result(bad), result({**update, "final": True})]
    seen = World().ask(send("Go", "message/stream"), stream(*events))
    assert [event.get("result") for event in seen.events] == [update, None, events[2]["result"]]
    assert seen.blocks == ["injection"]
    assert seen.events[1]["error"]["data"]["reason"] == "injection"


def test_the_binding_to_http() -> None:
    for path in ("/v1/message:send", "/message:send"):
        body = {"message": said("Translate this")}
        seen = World().ask(body, document({"message": said("Done", "agent")}), path=path)
        assert (seen.sent, seen.blocks) == (encoded(body), [])
        seen = World().ask({"message": said(STEERS)}, b"", path=path)
        assert (seen.status, seen.sent, seen.blocks) == (403, b"", ["injection"])
        seen = World().ask(body, document({"message": said(STEERS, "agent")}), path=path)
        assert (seen.status, seen.blocks) == (403, ["injection"])
        twice = b'{"message": {"role": "user", "parts": [], "parts": [{"text": "x"}]}}'
        seen = World().ask(twice, b"", path=path)
        assert (seen.status, seen.sent, seen.blocks) == (403, b"", ["rpc_malformed"])
    update = {"statusUpdate": {"taskId": "t", "status": {"state": "TASK_STATE_WORKING"}}}
    bad = {"message": said(STEERS, "agent")}
    seen = World().ask({"message": said("Go")}, stream(update, bad, update), path="/message:stream")
    assert [event == update for event in seen.events] == [True, False, True]
    assert seen.events[1]["error"]["details"][0]["reason"] == "injection"
    talk = World().connect().say(get("/v1/tasks/7:subscribe"))
    talk.reply(stream(update, bad))
    assert STEERS.encode() not in talk.received
    assert talk.blocks == ["injection"]


def test_where_a_task_is_reported_to_is_judged_as_any_address() -> None:
    config = {"url": "http://169.254.169.254/hook", "token": "t"}
    asked = request(
        "tasks/pushNotificationConfig/set", {"id": "t", "pushNotificationConfig": config}
    )
    seen = World().ask(asked, b"")
    assert (seen.sent, seen.status, len(seen.blocks)) == (b"", 200, 1)
    seen = World().ask(config | {"taskId": "t"}, b"", path="/v1/tasks/t/pushNotificationConfigs")
    assert (seen.sent, seen.status, len(seen.blocks)) == (b"", 403, 1)
    honest = {**config, "url": "https://hooks.example.com/a"}
    asked["params"]["pushNotificationConfig"] = honest
    assert World().ask(asked, document(result(honest))).blocks == []


def test_cards_are_judged_and_pinned() -> None:
    world = World()
    seen = fetch(world, CARD)
    assert (seen.message, seen.blocks) == (CARD, [])
    assert fetch(world, dict(reversed(CARD.items()))).blocks == []
    changed = json.loads(json.dumps(CARD))
    changed["skills"][0]["description"] = "The weather, and all else"
    seen = fetch(world, changed)
    assert (seen.status, seen.blocks) == (403, ["card_changed"])
    poisoned = {**CARD, "description": STEERS}
    for path in (WELL_KNOWN, "/tenant/.well-known/agent.json", "/v1/card"):
        seen = fetch(World(), poisoned, path)
        assert (seen.status, len(seen.blocks)) == (403, 1), path
        assert STEERS.encode() not in seen.talk.received
    # What lies elsewhere, or is no card, is content as any other.
    for path, content in (("/v1/card", {"number": 4}), (WELL_KNOWN, {"error": "none"})):
        assert fetch(World(), content, path).message == content
    talk = (
        World()
        .connect()
        .say(get(WELL_KNOWN))
        .reply(b"HTTP/1.1 404 X\r\nContent-Length: 2\r\n\r\nno")
    )
    assert talk.received.endswith(b"no")


def test_other_services_pass_as_ever() -> None:
    for message, path in (
        (request("tasks/get", ["t1"]), "/rpc"),
        (request("message/send", {"message": "hello"}), "/rpc"),
        (b'{"text": "x", "text": "y"}', "/api/tasks/7"),
        (b'{"text": "x", "text": "y"}', "/a:b"),
    ):
        answer = document(b'{"a":1,"a":2}')
        seen = World().ask(message, answer, path=path)
        assert (seen.sent, seen.talk.received, seen.blocks) == (encoded(message), answer, [])
