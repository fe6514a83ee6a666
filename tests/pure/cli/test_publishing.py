"""`--publish`: what may be written, and what a taken port is told. Loopback alone is used."""

from __future__ import annotations

import socket

import pytest

from interceptor.cli.plan import SetupError
from interceptor.cli.publishing import MOST, listen, parse
from interceptor.serve.messages import Published


@pytest.mark.parametrize(
    ("text", "place", "where"),
    [
        ("3000:8080", Published("127.0.0.1", 3000, 8080), "127.0.0.1:3000"),
        ("0.0.0.0:80:80", Published("0.0.0.0", 80, 80), "0.0.0.0:80"),
        ("[::1]:3000:3000", Published("::1", 3000, 3000), "[::1]:3000"),
        ("[0:0::1]:1:65535", Published("::1", 1, 65535), "[::1]:1"),
    ],
)
def test_values(text: str, place: Published, where: str) -> None:
    assert parse([text]) == (place,)
    assert place.where == where
    assert place.text == f"{where}:{place.jail_port}"


@pytest.mark.parametrize(
    "text",
    [
        *("", "3000", "3000:", ":3000", "a:b", "3000:3000:3000", "1.2.3:1:2", "::1:1:2"),
        *("0:1", "1:0", "65536:1", "1:65536", "-1:1", "1:1:1:1", "localhost:1:2", "[1.2.3.4:1:2"),
        *("1.2.3.4:1:2 ", "[fe80::1%eth0]:1:2", "１:2"),
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"--publish"):
        parse([text])


def test_several() -> None:
    assert len(parse(["1:1", "2:1", "127.0.0.2:1:1"])) == 3
    with pytest.raises(ValueError, match="published twice"):
        parse(["1:1", "127.0.0.1:1:2"])
    with pytest.raises(ValueError, match="more than"):
        parse([f"{port}:1" for port in range(1, MOST + 2)])


def test_a_taken_port_is_named_and_the_others_are_let_go() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port, good = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        places = parse([f"{good}:1", f"{port}:1"])
        with pytest.raises(SetupError, match=f"127.0.0.1:{port}:1: another program listens"):
            listen(places)
        (again,) = listen(places[:1])
        assert again.getsockname() == ("127.0.0.1", good)
        again.close()


def test_an_address_that_is_not_here() -> None:
    with pytest.raises(SetupError, match="no such address"):
        listen(parse(["192.0.2.1:3000:3000"]))
