"""Agent2Agent: what is asked for, every text and address, and what a card's digest stands on."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.model import Setting
from interceptor.wire.a2a import (
    METHODS,
    Operation,
    card,
    is_card,
    is_message,
    looks_like_card,
    operation,
    operation_at,
    texts,
    urls,
)
from interceptor.wire.jsonrpc import JsonRpcError, Message, read

SAID = {"role": "user", "messageId": "m1", "parts": [{"kind": "text", "text": "Translate this"}]}
CARD: dict[str, Any] = {
    "protocolVersion": "0.3.0",
    "name": "Weather",
    "description": "Forecasts",
    "url": "https://weather.example.com/a2a",
    "capabilities": {"streaming": True},
    "provider": {"organization": "Example", "url": "https://example.com/"},
    "skills": [{"id": "now", "name": "Now", "description": "The weather now", "tags": ["sky"]}],
}


def asked(method: str, params: Any) -> Message:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return read(json.dumps(body).encode()).messages[0]


def test_operations_of_json_rpc() -> None:
    sent = {Operation.SEND, Operation.STREAM}
    for method, wanted in METHODS.items():
        params: Any = {"message": SAID} if wanted in sent else {"id": "t1"}
        assert operation(asked(method, params)) is wanted, method
        if wanted in sent:
            assert operation(asked(method, {"message": "hello"})) is None  # somebody else's
            with pytest.raises(JsonRpcError):
                operation(asked(method, {"message": SAID, "Message": SAID}))
    others: list[tuple[str, Any]] = [
        ("tasks/get", {"taskId": "t1"}),  # MCP's
        ("tools/call", {"name": "x"}),
        ("eth_call", [{}, "latest"]),
        ("GetTask", ["positional"]),
    ]
    for method, params in others:
        assert operation(asked(method, params)) is None, method


def test_operations_of_http() -> None:
    for method, path, wanted in (
        ("POST", "/v1/message:send", Operation.SEND),
        ("POST", "/message:send?x=1", Operation.SEND),
        ("POST", "/tenant/a/message:stream", Operation.STREAM),
        ("POST", "/v1/tasks/7/pushNotificationConfigs", Operation.SET_PUSH),
        ("GET", "/v1/tasks/7/pushNotificationConfigs", Operation.LIST_PUSH),
        ("GET", "/v1/tasks/7/pushNotificationConfigs/c1", Operation.GET_PUSH),
        ("DELETE", "/tasks/7/pushNotificationConfigs/c1", Operation.DELETE_PUSH),
        ("POST", "/v1/tasks/7:cancel", Operation.CANCEL_TASK),
        ("GET", "/v1/tasks/7:subscribe", Operation.SUBSCRIBE),
        ("GET", "/v1/message:send", None),
        ("GET", "/tasks/7", None),
        ("POST", "/tasks/7", None),
        ("POST", "/tasks/7:cancelled", None),
        ("POST", "/message:sender", None),
        ("GET", "/tasks/" + "a" * 400 + ":subscribe", None),
        ("POST", "/search?q=/message:send", None),
    ):
        assert operation_at(method, path) is wanted, path


def test_paths_of_cards() -> None:
    for path in ("/.well-known/agent-card.json", "/a/.well-known/agent.json?x=1"):
        assert is_card(path)
    for path in (
        "/.well-known/oauth-protected-resource",
        "/agent.json",
        "/?/.well-known/agent.json",
    ):
        assert not is_card(path)


def test_a_card_is_told_from_other_json_and_its_digest_from_its_signature() -> None:
    found = card(CARD)
    assert (found.name, found.skills) == ("Weather", ("Now",))
    turned = dict(reversed(CARD.items()))
    assert card(turned).digest == found.digest
    assert card({**CARD, "signatures": [{"protected": "a"}]}).digest == found.digest
    changed = json.loads(json.dumps(CARD))
    changed["skills"][0]["description"] = "The weather now, and more"
    assert card(changed).digest != found.digest
    faulty: list[Any] = [
        [],
        {},
        {"name": "package", "version": "1.0"},
        {"name": "", **{key: CARD[key] for key in ("skills", "url")}},
        {**CARD, "name": "a\u200bb"},
        {**CARD, "Description": "another"},
    ]
    for value in faulty:
        with pytest.raises(JsonRpcError):
            card(value)
    assert not looks_like_card({"name": "left-pad", "url": "https://example.com/"})
    assert looks_like_card({"name": "a", "supportedInterfaces": [], "skills": []})


def test_every_text_is_given_but_no_picture() -> None:
    params = {
        "message": {
            "role": "user",
            "parts": [
                {"kind": "text", "text": "one", "metadata": {"two": "three"}},
                {"kind": "data", "data": {"four": ["five", {"six": 7}]}},
                {"kind": "file", "file": {"bytes": "ZWlnaHQ=", "mimeType": "image/png"}},
                {"kind": "file", "file": {"bytes": "bmluZQ==", "mimeType": "text/plain"}},
                {"kind": "file", "file": {"bytes": "not base64!", "mimeType": "image/png"}},
                {"raw": "dGVu", "mediaType": "image/png", "filename": "eleven"},
                {"kind": "file", "file": {"uri": "https://files.example.com/twelve"}},
            ],
        }
    }
    found = list(texts(params, "params"))
    said = {text.text for text in found}
    assert said >= {"one", "two", "three", "four", "five", "six", "eleven", "bmluZQ=="}
    assert said >= {"not base64!", "https://files.example.com/twelve"}
    assert not said & {"ZWlnaHQ=", "dGVu"}
    by_text = {text.text: text for text in found}
    assert by_text["five"].where == "params.message.parts.1.data.four.0"
    assert by_text["https://files.example.com/twelve"].setting is Setting.LINK
    assert by_text["two"].key
    described = {text.text: text.setting for text in texts(CARD, schema=True)}
    assert described["The weather now"] is Setting.ATTRIBUTE


def test_addresses_and_what_they_are_for() -> None:
    params = {
        "message": {"role": "user", "parts": [{"file": {"uri": "https://a.example.com/f"}}]},
        "configuration": {
            "pushNotificationConfig": {"url": "https://b.example.com/hook", "token": "t"},
            "task_push_notification_config": {"url": "https://c.example.com/hook"},
        },
    }
    roles = {found.url: found.role for found in urls(params, "params")}
    assert roles == {
        "https://a.example.com/f": "file",
        "https://b.example.com/hook": "push",
        "https://c.example.com/hook": "push",
    }
    # Release 1.0 has the configuration itself as the parameters, and files as parts with `url`.
    (found,) = urls({"taskId": "t", "url": "https://d.example.com/", "token": "x"})
    assert found.role == "push"
    (found,) = urls({"parts": [{"url": "https://e.example.com/f", "mediaType": "text/plain"}]})
    assert (found.role, found.where) == ("file", "parts.0.url")
    roles = {found.url: found.role for found in urls({**CARD, "iconUrl": "https://i.example.com/"})}
    assert roles == {
        "https://weather.example.com/a2a": "endpoint",
        "https://example.com/": "link",
        "https://i.example.com/": "link",
    }


def test_messages() -> None:
    assert is_message(SAID)
    assert is_message({"role": "ROLE_USER", "content": []})
    others: list[Any] = [{"role": "user", "content": "hello"}, {"parts": []}, [], None, "x"]
    for value in others:
        assert not is_message(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["url", "parts", "file", "raw", "mimeType", "token", "x", "message"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=24,
    )
)
def test_any_value_is_walked_as_a_whole(value: Any) -> None:
    def leaves(found: Any) -> list[str]:
        if isinstance(found, str):
            return [found]
        if isinstance(found, dict):
            below = [leaf for item in found.values() for leaf in leaves(item)]
            return [*found, *below]
        return [leaf for item in found for leaf in leaves(item)] if isinstance(found, list) else []

    assert sorted(text.text for text in texts(value)) == sorted(leaves(value))
    for found in urls(value):
        assert found.role in {"push", "file", "endpoint", "login", "link"}
    with contextlib.suppress(JsonRpcError):
        card(value)
