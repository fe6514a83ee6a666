"""Conversations with other agents over A2A."""

from __future__ import annotations

from typing import Any

from tests.conversations import Step, ask, key, say, talk
from tests.conversations.attacks import STEER

_KEY = key("agents")


def _message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"message": {"messageId": "m1", "role": "user", "parts": list(parts)}}


def _text(value: str) -> dict[str, Any]:
    return {"kind": "text", "text": value}


def _send(*parts: dict[str, Any], answer: Any = None, **more: Any) -> Step:
    said = {"kind": "message", "messageId": "m2", "role": "agent", "parts": [_text("Fine.")]}
    return ask("message/send", _message(*parts) | more, said if answer is None else answer)


def _task(**more: Any) -> dict[str, Any]:
    return {"kind": "task", "id": "t1", "contextId": "c1", "status": {"state": "completed"}, **more}


_HOOK = {"pushNotificationConfig": {"url": "http://169.254.169.254/x", "token": "t"}}

TALKS = [
    talk("a2a-secret-in-text", _send(_text(f"use {_KEY}")), stopped="secret", protocol="a2a"),
    talk(
        "a2a-secret-in-data",
        _send({"kind": "data", "data": {"config": {"id": _KEY}}}),
        stopped="secret",
        protocol="a2a",
    ),
    talk("a2a-steers-out", _send(_text(STEER)), stopped="injection", protocol="a2a"),
    talk(
        "a2a-steers-back",
        _send(
            _text("Hello"), answer=_task(artifacts=[{"artifactId": "a", "parts": [_text(STEER)]}])
        ),
        stopped="injection",
        protocol="a2a",
    ),
    talk(
        "a2a-steers-in-a-stream",
        ask("message/stream", _message(_text("Hello")), _task(status={"state": "working"})),
        say(
            "server",
            {
                "jsonrpc": "2.0",
                "id": 1,
                "result": _task(history=[_message(_text(STEER))["message"]]),
            },
        ),
        stopped="injection",
        protocol="a2a",
    ),
    talk(
        "a2a-push-to-metadata",
        _send(_text("Hi"), configuration=_HOOK),
        stopped="address_metadata",
        protocol="a2a",
    ),
    talk(
        "a2a-answer-nobody-asked-for",
        say("server", {"jsonrpc": "2.0", "id": 9, "result": _task()}),
        stopped="rpc_unexpected",
        protocol="a2a",
    ),
    talk("a2a-plain", _send(_text("Please translate: the meeting is on Monday.")), protocol="a2a"),
    talk("a2a-data", _send({"kind": "data", "data": {"city": "Oslo", "days": 3}}), protocol="a2a"),
    talk("a2a-task", ask("tasks/get", {"id": "t1"}, _task()), protocol="a2a"),
    talk(
        "a2a-stream",
        ask(
            "message/stream", _message(_text("Count to three")), _task(status={"state": "working"})
        ),
        *[
            say("server", {"jsonrpc": "2.0", "id": 1, "result": _task(metadata={"n": n})})
            for n in (1, 2, 3)
        ],
        protocol="a2a",
    ),
]
