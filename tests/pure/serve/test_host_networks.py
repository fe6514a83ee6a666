"""What the kernel says about addresses, as bytes: messages of pyroute2's making, and garbage."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from interceptor.decide.addresses import HostNetwork
from interceptor.serve.host_networks import messages, read

OWN, NETWORK = "an address of this host", "a network of this host"


class Kernel:
    """Answers each request with what was prepared for its type and family."""

    def __init__(self, answers: dict[tuple[int, int], Callable[[int], bytes]]) -> None:
        self._answers = answers
        self._reply = b""

    def sendto(self, data: bytes, _where: object) -> None:
        _, kind, _, number, _ = struct.unpack_from("=IHHII", data)
        table = data[16 + 4] if kind == 26 else 0
        answer = self._answers.get((kind, data[16] if table or kind == 22 else -data[16]))
        self._reply = answer(number) if answer is not None else done(number)

    def recv(self, _size: int) -> bytes:
        return self._reply


def done(number: int, flags: int = 2) -> bytes:
    return struct.pack("=IHHIIi", 20, 3, flags, number, 0, 0)


def failed(number: int, code: int) -> bytes:
    return struct.pack("=IHHIIi", 20, 2, 0, number, 0, -code)


def encoded(message: Any, kind: int, number: int) -> bytes:
    message["header"]["type"] = kind
    message["header"]["sequence_number"] = number
    message.encode()
    return bytes(message.data)


def address(own: str, length: int, network: str = "") -> Callable[[int], bytes]:
    def made(number: int) -> bytes:
        message = ifaddrmsg()
        message["family"] = socket.AF_INET6 if ":" in own else socket.AF_INET
        message["prefixlen"] = length
        message["attrs"] = [["IFA_ADDRESS", network or own]]
        if ":" not in own:
            message["attrs"].append(["IFA_LOCAL", own])
        return encoded(message, 20, number)

    return made


def route(destination: str, length: int, kind: int, table: int = 255) -> Callable[[int], bytes]:
    def made(number: int) -> bytes:
        message = rtmsg()
        message["family"] = socket.AF_INET6 if ":" in destination else socket.AF_INET
        message["dst_len"], message["type"] = length, kind
        message["table"] = table if table < 256 else 252
        message["attrs"] = [["RTA_TABLE", table], ["RTA_DST", destination]]
        return encoded(message, 24, number)

    return made


def listed(*parts: Callable[[int], bytes]) -> Callable[[int], bytes]:
    return lambda number: b"".join(part(number) for part in parts) + done(number)


def seen(answers: dict[tuple[int, int], Callable[[int], bytes]]) -> set[tuple[str, str]]:
    found = read(cast("socket.socket", Kernel(answers)))
    assert all(type(entry) is HostNetwork for entry in found)
    return {(entry.network, entry.what) for entry in found}


def test_addresses_and_networks() -> None:
    found = seen(
        {
            (22, 0): listed(
                address("11.1.2.3", 24),
                address("11.9.9.9", 32, network="11.8.8.8"),  # the two ends of a link
                address("11.4.4.4", 0),
                address("11.4.4.5", 7),
                address("11.5.4.5", 8),
                address("2d00:77:1::2", 64),
                address("2d00:78::2", 15),
                address("2d00:79::2", 128),
            )
        }
    )
    assert found == {
        *(("11.1.2.3/32", OWN), ("11.1.2.0/24", NETWORK)),
        *(("11.9.9.9/32", OWN), ("11.8.8.8/32", NETWORK)),
        *(("11.4.4.4/32", OWN), ("11.4.4.5/32", OWN), ("11.5.4.5/32", OWN)),
        *(("11.0.0.0/8", NETWORK), ("2d00:77:1::2/128", OWN), ("2d00:77:1::/64", NETWORK)),
        *(("2d00:78::2/128", OWN), ("2d00:79::2/128", OWN)),
    }


def test_local_routes_and_the_gateway() -> None:
    def gateway(number: int) -> bytes:
        message = rtmsg()
        message["family"] = socket.AF_INET
        message["attrs"] = [["RTA_TABLE", 254], ["RTA_GATEWAY", "11.1.2.1"]]
        return encoded(message, 24, number)

    found = seen(
        {
            (26, 2): listed(
                route("11.5.0.0", 16, 2),
                route("11.6.0.0", 16, 1),  # unicast
                route("11.7.0.0", 16, 2, table=254),
                route("11.8.0.0", 16, 2, table=1000),
                route("0.0.0.0", 0, 2),  # of a captive namespace: everything
            ),
            (26, 10): listed(route("2d00:5::1", 128, 4)),
            (26, -2): gateway,
        }
    )
    assert found == {
        ("11.5.0.0/16", OWN),
        ("2d00:5::1/128", OWN),
        ("11.1.2.1/32", "the gateway of this host"),
    }


def test_a_kernel_without_a_family_or_a_route() -> None:
    refusing = {
        (26, 2): lambda number: failed(number, 2),
        (26, 10): lambda number: failed(number, 95),
        (26, -2): lambda number: failed(number, 101),
    }
    assert seen({(22, 0): listed(address("11.1.2.3", 24)), **refusing}) == {
        ("11.1.2.3/32", OWN),
        ("11.1.2.0/24", NETWORK),
    }
    with pytest.raises(OSError, match="not permitted"):
        seen({(22, 0): lambda number: failed(number, 1)})


def test_what_changes_meanwhile_is_asked_again() -> None:
    asked: list[int] = []

    def changing(number: int) -> bytes:
        asked.append(number)
        whole = len(asked) > 2
        return address(f"11.0.0.{len(asked)}", 32)(number) + done(number, 2 if whole else 0x12)

    assert seen({(22, 0): changing}) == {("11.0.0.3/32", OWN)}
    with pytest.raises(OSError, match="change faster"):
        seen({(22, 0): lambda number: done(number, 0x12)})


def test_answers_of_another_request_are_left_out() -> None:
    def late(number: int) -> bytes:
        return address("11.6.6.6", 32)(number - 1) + address("11.1.1.1", 32)(number) + done(number)

    assert seen({(22, 0): late}) == {("11.1.1.1/32", OWN)}


@given(st.binary(max_size=120), st.sampled_from([20, 24, 2, 3, 77]))
def test_garbage_is_an_error_or_nothing(data: bytes, kind: int) -> None:
    with contextlib.suppress(OSError):
        list(messages(data))

    def garbage(number: int) -> bytes:
        head = struct.pack("=IHHII", 16 + len(data), kind, 0, number, 0)
        return head + data + bytes(-len(data) % 4) + done(number)

    with contextlib.suppress(OSError):
        seen(dict.fromkeys([(22, 0), (26, 2), (26, 10), (26, -2), (26, -10)], garbage))
