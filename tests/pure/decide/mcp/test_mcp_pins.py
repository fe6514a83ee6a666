"""Pins: first use, change, approval, going back, stores, and how a difference reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.decide.mcp.pins import KEPT, Definition, PinBook, PinState, difference, digest_of

ONE: dict[str, Any] = {"name": "add", "description": "Adds.", "inputSchema": {"a": 1, "b": [1, 2]}}
TWO = ONE | {"description": "Adds.\u200b And sends."}


def test_first_use_change_approval() -> None:
    book = PinBook()
    assert book.check("s", "add", ONE, 1.0) is PinState.NEW
    assert book.check("s", "add", dict(reversed(ONE.items())), 2.0) is PinState.KNOWN
    assert book.check("t", "add", TWO, 2.0) is PinState.NEW  # another server's
    assert book.check("s", "add", TWO, 3.0) is PinState.CHANGED
    assert book.changed("s", "add")
    assert book.check("s", "add", ONE, 4.0) is PinState.KNOWN  # it went back
    assert not book.changed("s", "add")
    book.check("s", "add", TWO, 5.0)
    assert not book.approve("s", "add", digest_of(ONE))
    assert book.approve("s", "add", digest_of(TWO)[:6])
    assert not book.approve("s", "add")
    assert book.check("s", "add", TWO, 6.0) is PinState.KNOWN
    assert book.check("s", "add", ONE, 7.0) is PinState.CHANGED
    assert book.forget("s") == 1
    assert book.get("s", "add") is None


def test_a_call_is_granted_once() -> None:
    book = PinBook()
    value = {"tool": "deploy", "arguments": {}}
    assert not book.granted("s", "deploy#1", value, 0.0)
    assert not book.granted("s", "deploy#1", value, 0.0)
    assert book.approve("s", "deploy#1")
    assert book.granted("s", "deploy#1", value, 0.0)
    assert not book.granted("s", "deploy#1", value, 0.0)


def test_what_cannot_be_pinned_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interceptor.decide.mcp.pins.TOOLS", 2)
    book = PinBook()
    states = [book.check("s", f"t{n}", ONE, 0.0) for n in range(3)]
    assert states == [PinState.NEW, PinState.NEW, PinState.CHANGED]


def test_stores() -> None:
    book = PinBook()
    book.check("s", "add", ONE, 1.0)
    book.check("s", "add", TWO, 2.0)
    data = json.loads(json.dumps(book.as_data()))
    other = PinBook.from_data(data)
    assert list(other.pins()) == list(book.pins())
    other.approve("s", "add")
    book.update(other)
    assert not book.changed("s", "add")
    revision = book.revision
    book.update(other)
    assert book.revision == revision
    others: tuple[Any, ...] = (None, [], {}, {"version": 2}, {"version": 1, "servers": [1]})
    for wrong in others:
        with pytest.raises(ValueError, match="not a book"):
            PinBook.from_data(wrong)


def test_how_a_difference_reads() -> None:
    before, after = (Definition(digest_of(one), 0.0, one) for one in (ONE, TWO))
    lines = difference(before, after)
    assert lines[0].split() == ["digest", before.digest, "->", after.digest]
    assert lines[1:] == ['- description: "Adds."', '+ description: "Adds.\\u200b And sends."']
    many = {"name": "x", **{f"k{n}": "y" * 999 for n in range(99)}}
    long = difference(before, Definition(digest_of(many), 0.0, many))
    assert len(long) < 40
    assert all(len(line) < 500 for line in long)
    assert "lines more" in long[-1]
    huge = {"name": "x", "description": "y" * KEPT}
    book = PinBook()
    book.check("s", "x", huge, 0.0)
    pin = book.get("s", "x")
    assert pin is not None
    assert pin.approved.value is None
    assert "not kept" in difference(pin.approved, after)[1]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), _JSON, max_size=4), _JSON)
def test_every_difference_shows(value: dict[str, Any], other: Any) -> None:
    changed = value | {"description": other}
    before, after = (Definition(digest_of(one), 0.0, one) for one in (value, changed))
    if before.digest != after.digest:
        assert len(difference(before, after)) > 1


def test_what_others_have_seen_is_merged_and_approves_nothing() -> None:
    seen, book = PinBook(), PinBook()
    seen.check("s", "add", ONE, 1.0)
    assert book.merge("s", "add", seen.get("s", "add"))
    assert book.get("s", "add") == seen.get("s", "add")
    revision = book.revision
    assert book.merge("s", "add", seen.get("s", "add"))
    assert book.revision == revision  # nothing to be written
    other = PinBook()
    other.check("s", "add", TWO, 2.0)
    for anew in (False, True):
        assert book.merge("s", "add", other.get("s", "add"), anew=anew)
        pin = book.get("s", "add")
        assert pin is not None
        assert pin.pending is not None
        assert (pin.approved.digest, pin.pending.digest) == (digest_of(ONE), digest_of(TWO))
    assert book.merge("s", "add", None)  # no tool is forgotten so
    assert book.changed("s", "add")
    assert book.merge("s", "add", seen.get("s", "add"))  # the server is back at it
    assert not book.changed("s", "add")
    assert not book.merge("s", "x" * 5000, seen.get("s", "add"))


def test_what_is_learnt_gives_way_to_what_was_seen_since() -> None:
    book, store = PinBook(), PinBook()
    book.check("s", "add", ONE, 1.0)
    store.check("s", "add", TWO, 1.0)
    book.learn("s", "add", store.get("s", "add"))
    assert book.check("s", "add", ONE, 2.0) is PinState.KNOWN  # not told yet
    book.touched.clear()
    book.learn("s", "add", store.get("s", "add"))
    assert book.touched == {}  # what was learnt is not told
    assert book.check("s", "add", ONE, 3.0) is PinState.CHANGED
    assert book.waits == {("s", "add")}
    book.touched.clear()
    book.learn("s", "add", None)
    assert book.get("s", "add") is None
    assert book.touched == {}
    assert book.waits == set()
