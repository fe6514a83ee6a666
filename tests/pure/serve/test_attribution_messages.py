"""What the witness says is what the interceptor reads: the rooms share no types."""

from __future__ import annotations

import msgspec
import pytest

from interceptor.serve import attribution
from netns import socket_owner, witness


@pytest.mark.parametrize("name", ["Asked", "Process", "Answer"])
def test_messages_are_equal(name: str) -> None:
    ours, theirs = (
        getattr(attribution, name),
        getattr(witness if name == "Answer" else socket_owner, name),
    )
    assert ours.__struct_fields__ == theirs.__struct_fields__
    assert ours.__struct_defaults__ == theirs.__struct_defaults__
    assert ours.__struct_config__.array_like == theirs.__struct_config__.array_like


def test_an_answer_arrives() -> None:
    said = witness.Answer(
        "f1", socket_owner.Process(2, "/usr/bin/curl", ("curl", "-s"), "/", ("sh",))
    )
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(said), type=attribution.Answer)
    assert msgspec.to_builtins(read) == msgspec.to_builtins(said)
