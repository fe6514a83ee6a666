"""Calls that are made side by side."""

from __future__ import annotations

import threading

import pytest

from interceptor.serve.compiling import in_threads


def test_all_are_made_at_once_and_answer_in_their_order() -> None:
    met = threading.Barrier(3, timeout=10)  # none returns before all are there

    def call(number: int) -> int:
        met.wait()
        return number

    assert in_threads([lambda: call(1), lambda: call(2), lambda: call(3)]) == [1, 2, 3]
    assert in_threads([]) == []


@pytest.mark.parametrize("place", [0, 1])
def test_what_one_raises_is_raised_when_all_are_done(place: int) -> None:
    done = []

    def call(number: int) -> None:
        if number == place:
            raise ValueError(number)
        done.append(number)

    with pytest.raises(ValueError, match=str(place)):
        in_threads([lambda: call(0), lambda: call(1)])
    assert done == [1 - place]
