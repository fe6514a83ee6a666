"""JSON-RPC 2.0, read strictly: what two parsers would read differently is refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.wire.jsonrpc import (
    INVALID_REQUEST,
    MAX_BATCH,
    MAX_DEPTH,
    PARSE_ERROR,
    JsonRpcError,
    MessageKind,
    read,
)


def call(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode()


def refused(data: bytes) -> int:
    with pytest.raises(JsonRpcError) as caught:
        read(data)
    return caught.value.code


def test_the_four_kinds() -> None:
    rows: list[tuple[bytes, MessageKind, object]] = [
        (call(id=1, method="tools/call", params={"a": 1}), MessageKind.REQUEST, {"a": 1}),
        (call(id="x", method="ping"), MessageKind.REQUEST, {}),
        (call(method="notifications/initialized"), MessageKind.NOTIFICATION, {}),
        (call(id=1, result={"ok": True}), MessageKind.RESULT, {"ok": True}),
        (
            call(id=None, error={"code": -32700, "message": "m"}),
            MessageKind.ERROR,
            {"code": -32700, "message": "m"},
        ),
    ]
    for data, kind, content in rows:
        batch = read(data)
        (message,) = batch.messages
        assert batch.single
        assert message.kind is kind
        assert message.content == content
        assert json.loads(message.encode()) == json.loads(data)
        assert read(b" \r\n" + data + b"\n").messages == batch.messages


def test_a_batch_is_its_messages() -> None:
    data = b"[" + call(id=1, method="a") + b"," + call(method="b") + b"]"
    batch = read(data)
    assert [message.method for message in batch.messages] == ["a", "b"]
    assert not batch.single
    assert json.loads(batch.encode()) == json.loads(data)
    one = call(id=1, method="a")
    assert refused(b"[]") == INVALID_REQUEST
    assert refused(b"[" + b",".join([one] * (MAX_BATCH + 1)) + b"]") == INVALID_REQUEST
    assert refused(b"[[" + one + b"]]") == INVALID_REQUEST
    assert refused(b"[" + one + b",1]") == INVALID_REQUEST


# fmt: off
NOT_ALIKE = (
    b'{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":{"k":1,"k":2}}}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"k":1,"\\u006b":2}}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1e999}}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":NaN}}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":-Infinity}}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":"\\ud800"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":"\xed\xa0\x80"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":' + b"1" * 5000 + b"}}",
    b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x": 1.' + b"1" * 100 + b"}}",
    b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":01}}',
    b'{"jsonrpc":"2.0","id":1,"method":"a",}',
    b'{"jsonrpc":"2.0","id":1,"method":"a"}{}',
    b'{"jsonrpc":"2.0","id":1,"method":"a"} // comment',
    b"{'jsonrpc':'2.0'}",
    b'{"jsonrpc":"2.0","id":1,"method":"a\x00"}',
    b'{"jsonrpc":"2.0","id":1,"method":"a\n"}',
    b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"a"}',
    b'\xff\xfe{\x00}\x00',
    b"", b" ", b"nul", b'{"jsonrpc":"2.0"', b'"',
)

NO_MESSAGE = (
    b"1", b"null", b'"x"', b"[]", b"{}", b"[null]",
    b'{"jsonrpc":"1.0","id":1,"method":"a"}',
    b'{"jsonrpc":2.0,"id":1,"method":"a"}',
    b'{"id":1,"method":"a"}',
    b'{"jsonrpc":"2.0","id":1.0,"method":"a"}',
    b'{"jsonrpc":"2.0","id":true,"method":"a"}',
    b'{"jsonrpc":"2.0","id":[1],"method":"a"}',
    b'{"jsonrpc":"2.0","id":null,"method":"a"}',
    b'{"jsonrpc":"2.0","id":9007199254740992,"method":"a"}',
    b'{"jsonrpc":"2.0","id":"' + b"i" * 257 + b'","method":"a"}',
    b'{"jsonrpc":"2.0","id":"a\\u0000b","method":"a"}',
    b'{"jsonrpc":"2.0","id":1,"method":""}',
    b'{"jsonrpc":"2.0","id":1,"method":7}',
    b'{"jsonrpc":"2.0","id":1,"method":"a\\u0000"}',
    b'{"jsonrpc":"2.0","id":1,"method":"a\\u200b"}',
    b'{"jsonrpc":"2.0","id":1,"method":"' + b"m" * 300 + b'"}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","params":"x"}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","result":{}}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","error":{"code":1,"message":"m"}}',
    b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"m"}}',
    b'{"jsonrpc":"2.0","id":1,"result":{},"params":{}}',
    b'{"jsonrpc":"2.0","result":{}}',
    b'{"jsonrpc":"2.0","id":1}',
    b'{"jsonrpc":"2.0","id":1,"error":"x"}',
    b'{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"m"}}',
    b'{"jsonrpc":"2.0","id":1,"error":{"code":1}}',
    b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m","Code":2}}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","Method":"b"}',
    b'{"jsonrpc":"2.0","id":1,"method":"a","PARAMS":{}}',
    '{"jsonrpc":"2.0","id":1,"method":"a","param\u017f":{}}'.encode(),
    b'{"jsonrpc":"2.0","id":1,"method":"a"," id":2}',
)
# fmt: on


def test_what_parsers_read_differently_is_not_read() -> None:
    for data in NOT_ALIKE:
        assert refused(data) == PARSE_ERROR, data


def test_what_is_no_message_is_refused() -> None:
    for data in NO_MESSAGE:
        assert refused(data) == INVALID_REQUEST, data


def test_whose_request_was_wrong_is_known_where_it_can_be() -> None:
    with pytest.raises(JsonRpcError) as caught:
        read(call(id="q7", method="a", result={}))
    assert caught.value.id == "q7"


def test_levels_are_counted_and_not_brackets_in_text() -> None:
    text = call(id=1, method="a", params={"x": "[{" * 4000 + '\\"'})
    assert read(text).messages[0].params == {"x": "[{" * 4000 + '\\"'}
    wide = call(id=1, method="a", params={"x": [[1]] * 500})
    assert read(wide).messages[0].method == "a"
    # The message and its parameters are two levels.
    for levels, fits in ((MAX_DEPTH - 2, True), (MAX_DEPTH - 1, False), (5000, False)):
        data = b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":%b%b}}' % (
            b"[" * levels,
            b"]" * levels,
        )
        if fits:
            assert read(data).messages[0].id == 1
        else:
            assert refused(data) == PARSE_ERROR


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_what_is_sent_on_is_what_was_read(value: Any, ascii_only: bool, indent: int | None) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"value": value}}
    data = json.dumps(message, ensure_ascii=ascii_only, indent=indent).encode()
    try:
        batch = read(data)
    except JsonRpcError:
        # Only for numbers of many digits, which `json` writes where hypothesis makes them.
        assert any(len(word) > 40 for word in data.decode().replace(",", " ").split())
        return
    assert json.loads(batch.encode()) == json.loads(data)
    assert read(batch.encode()).messages == batch.messages


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for text in (data, b'{"jsonrpc":"2.0","id":1,"method":"a","params":' + data + b"}"):
        with contextlib.suppress(JsonRpcError):
            read(text)


def test_every_cut_is_refused() -> None:
    data = call(
        id=1, method="tools/call", params={"name": "x", "arguments": {"p": [1, {"q": "é"}]}}
    )
    for cut in range(len(data)):
        assert refused(data[:cut]) in {PARSE_ERROR, INVALID_REQUEST}
    assert refused(data + b"}") == PARSE_ERROR
