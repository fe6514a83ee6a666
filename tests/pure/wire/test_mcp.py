"""The Model Context Protocol: who says what, calls, definitions, and every text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.model import Setting
from interceptor.wire.jsonrpc import JsonRpcError, Message, read
from interceptor.wire.mcp import FROM_CLIENT, FROM_SERVER, misdirected, texts, tool_call, tools


def message(**members: Any) -> Message:
    return read(json.dumps({"jsonrpc": "2.0", **members}).encode()).messages[0]


def test_each_side_says_its_own() -> None:
    for method, kind in FROM_CLIENT.items():
        found = message(method=method, **({"id": 1} if kind.value == "request" else {}))
        assert misdirected(found, client=True) == ""
        assert bool(misdirected(found, client=False)) == (method not in FROM_SERVER)
    for method, kind in FROM_SERVER.items():
        found = message(method=method, **({"id": 1} if kind.value == "request" else {}))
        assert misdirected(found, client=False) == ""
        assert bool(misdirected(found, client=True)) == (method not in FROM_CLIENT)
    # A call as a notification would be carried out without an answer to judge.
    assert misdirected(message(method="tools/call"), client=True)
    assert misdirected(message(id=1, method="notifications/initialized"), client=True)
    for client in (True, False):
        assert misdirected(message(id=1, method="x-vendor/thing"), client=client) == ""


def test_a_call_has_a_name_and_an_object() -> None:
    call = tool_call(
        message(id=1, method="tools/call", params={"name": "a", "arguments": {"b": 1}})
    )
    assert (call.name, call.arguments) == ("a", {"b": 1})
    assert tool_call(message(id=1, method="tools/call", params={"name": "a"})).arguments == {}
    for params in (
        ["a"],
        {},
        {"name": ""},
        {"name": 3},
        {"name": "a\u200bb"},
        {"name": "a\x1b[0m"},
        {"name": "n" * 300},
        {"name": "a", "arguments": []},
        {"name": "a", "arguments": "x"},
        {"name": "a", "Name": "b"},
        {"name": "a", "arguments": {}, "Arguments": {"x": 1}},
    ):
        with pytest.raises(JsonRpcError) as caught:
            tool_call(message(id="q", method="tools/call", params=params))
        assert (
            "tools/call" in str(caught.value)
            or "key" in str(caught.value)
            or "arg" in str(caught.value)
        )


def test_definitions_and_their_digests() -> None:
    one = {"name": "a", "description": "d", "inputSchema": {"type": "object", "properties": {}}}
    turned = dict(reversed(one.items()))
    first, second = tools({"tools": [one]}), tools({"tools": [turned]})
    assert first[0].digest == second[0].digest
    for change in (
        {"description": "d "},
        {"title": "t"},
        {"annotations": {"readOnlyHint": True}},
        {"inputSchema": {"type": "object", "properties": {"x": {}}}},
        {"_meta": {"k": 1}},
    ):
        assert tools({"tools": [{**one, **change}]})[0].digest != first[0].digest
    bad: tuple[Any, ...] = (
        None,
        {},
        {"tools": {}},
        {"tools": [1]},
        {"tools": [{}]},
        {"tools": [{"name": "a\u202eb"}]},
        {"tools": [one, turned]},
        {"tools": [{"name": str(i)} for i in range(5000)]},
    )
    for wrong in bad:
        with pytest.raises(JsonRpcError):
            tools(wrong)


def test_every_text_is_given_with_its_place() -> None:
    result = {
        "content": [
            {"type": "text", "text": "T1", "annotations": {"audience": ["T2"]}},
            {"type": "image", "data": "aGk=", "mimeType": "T3"},
            {"type": "resource", "resource": {"uri": "T4", "text": "T5", "_meta": {"T6": "T7"}}},
            {"type": "resource_link", "uri": "T8", "name": "T9", "title": "T10"},
        ],
        "structuredContent": {"rows": [["T11", {"deep": {"T12": None}}]]},
    }
    found = {text.text: text for text in texts(result, "result")}
    assert {f"T{i}" for i in range(1, 13)} <= set(found)
    assert "aGk=" not in found
    hidden = {"type": "image", "data": "not base64, but words"}
    assert "not base64, but words" in {text.text for text in texts(hidden)}
    assert found["T1"].where == "result.content.0.text"
    assert found["T7"].where == "result.content.2.resource._meta.T6"
    assert found["T4"].setting is Setting.LINK
    assert found["T12"].key
    schema = {"properties": {"T1": {"enum": ["T2"], "default": "T3", "pattern": "T4"}}}
    found = {text.text: text for text in texts(schema, schema=True)}
    assert {"T1", "T2", "T3", "T4"} <= set(found)
    assert found["T2"].setting is Setting.ATTRIBUTE


def test_they_come_in_the_order_in_which_they_are_read() -> None:
    value = {"a": ["1", {"b": "2"}, "3"], "c": "4"}
    assert [text.text for text in texts(value) if not text.key] == ["1", "2", "3", "4"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *strings(item))]
    return []


@given(JSON)
def test_no_text_is_left_out(value: Any) -> None:
    assert sorted(text.text for text in texts(value)) == sorted(strings(value))


def test_a_schema_may_have_a_property_named_type_and_its_dialect_is_no_text() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"type": {"type": "string", "description": "What kind."}},
    }
    found = [text.text for text in texts(schema, schema=True) if not text.key]
    assert found == ["string", "What kind."]
