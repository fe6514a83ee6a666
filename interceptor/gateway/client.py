"""The gateway's client.

with Gateway() as gateway:
    added = gateway.add(Guest("build-7", policy="/etc/egressguard/build.yaml"))
    os.setns(added.namespace)        # Python 3.12; `netns.namespaces.enter` before
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self, TypeVar

import msgspec

from interceptor.gateway import frames
from interceptor.gateway.messages import (
    LARGEST_ANSWER,
    Add,
    Answer,
    Ask,
    Done,
    Enter,
    Fault,
    Guest,
    Guests,
    GuestState,
    List,
    Reload,
    Reloaded,
    Remove,
    Request,
    Served,
    State,
    Status,
)

SOCKET: Final = Path("/run/egressguard/gateway.sock")
SECONDS: Final = 30.0

_Kind = TypeVar("_Kind", Served, Done, Guests, State, Reloaded)


class GatewayError(RuntimeError):
    """The gateway did not do it, or there is none; the message says why.

    Attributes:
        code: of `messages.Fault`; `absent` where no gateway answers.
    """

    def __init__(self, code: str, cause: str) -> None:
        super().__init__(cause)
        self.code = code


class Added(NamedTuple):
    """A guest that is served. Its descriptors are the caller's to close."""

    name: str
    certificate: str
    """Of the authority that the guest must trust, PEM."""
    evidence: str
    notes: tuple[str, ...]
    namespace: int
    """Descriptor of the captive network namespace."""
    tap: int = -1
    """Descriptor of the tap that was made for the guest, if one was."""

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in (self.namespace, self.tap):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)


class Gateway:
    """A connection to the gateway. Not for use by several threads at once."""

    def __init__(self, path: Path = SOCKET, seconds: float = SECONDS) -> None:
        """Connect; each request may take `seconds`.

        Raises:
            GatewayError: `absent`.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(seconds)
        self._reader = frames.Reader(LARGEST_ANSWER)
        try:
            self._socket.connect(os.fspath(path))
        except OSError as error:
            self._socket.close()
            fix = "start it (`egressguard gateway run`, or its systemd unit), and be root"
            raise GatewayError(
                "absent", f"no gateway answers at {path}: {error.strerror}. Fix: {fix}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; guests stay."""
        self._socket.close()
        self._reader.close()

    def add(self, guest: Guest, peer: int = -1, process: int = -1) -> Added:
        """Make a captive namespace and serve it.

        Args:
            guest: what is asked for.
            peer: with a veth pair that is made: descriptor of the guest's network namespace.
            process: with a guest that is `bound`: pidfd of what it ends with.

        Raises:
            GatewayError: see there.
        """
        return self._served(Add(guest), [each for each in (peer, process) if each >= 0])

    def enter(self, name: str) -> Added:
        """Get the descriptor of a guest's network namespace, and its authority.

        Raises:
            GatewayError: see there.
        """
        return self._served(Enter(name))

    def remove(self, name: str) -> None:
        """Serve a guest no more.

        Raises:
            GatewayError: see there.
        """
        self._ask(Remove(name), Done)

    def guests(self) -> tuple[GuestState, ...]:
        """All guests, by name.

        Raises:
            GatewayError: see there.
        """
        return self._ask(List(), Guests)[0].guests

    def status(self) -> State:
        """How the gateway is.

        Raises:
            GatewayError: see there.
        """
        return self._ask(Status(), State)[0]

    def reload(self, *names: str) -> Reloaded:
        """Read the policies of these guests again, or of all.

        Raises:
            GatewayError: see there.
        """
        return self._ask(Reload(names), Reloaded)[0]

    def _served(self, ask: Ask, descriptors: Sequence[int] = ()) -> Added:
        answer, got = self._ask(ask, Served, descriptors)
        namespace, tap = (*got, -1, -1)[:2]
        return Added(answer.name, answer.certificate, answer.evidence, answer.notes, namespace, tap)

    def _ask(
        self, ask: Ask, kind: type[_Kind], descriptors: Sequence[int] = ()
    ) -> tuple[_Kind, list[int]]:
        try:
            frames.send(self._socket, msgspec.json.encode(Request(ask)), descriptors)
            while (frame := self._reader.frame()) is None:
                if not self._reader.receive(self._socket):
                    raise GatewayError("absent", "the gateway has closed the connection")
            answer: Answer = msgspec.json.decode(frame[0], type=Answer)
        except (OSError, ValueError) as error:
            self.close()
            raise GatewayError("absent", f"the gateway does not answer: {error}") from error
        if isinstance(answer, Fault):
            raise GatewayError(answer.code, answer.cause)
        if not isinstance(answer, kind):
            self.close()
            raise GatewayError("absent", "the gateway answers something else")
        return answer, frame[1]
