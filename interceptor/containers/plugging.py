"""A container becomes a guest of the gateway, by a veth pair.

One end is in the container's network namespace, the other in a captive namespace. That one, with
listeners and rules, is not the container's: what its root does with its own links, routes and
settings, it does to its own end.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from interceptor.containers.inspection import GoneError, Process
from interceptor.gateway.client import Gateway, GatewayError
from interceptor.gateway.messages import Guest, Nic

RUN: Final = "/run/egressguard"
INTERFACE: Final = "eth0"

_LONGEST: Final = 48
_ID: Final = re.compile(r"[0-9a-f]{32,128}")
_T = TypeVar("_T")


class PlugError(RuntimeError):
    """The container does not get a network; the message says why, and the fix."""


class Wish(NamedTuple):
    """What the operator wants of a container's guest."""

    name: str
    policy: str = ""
    """Path of a policy file, absolute."""
    preset: str = ""
    evidence: str = ""
    user: str = ""
    """Who the evidence says it is, beside its name."""
    run: str = RUN
    """Directory of the gateway's socket."""


def guest_name(text: str) -> str:
    """A name that a guest may have, for the name or id that an engine has for a container."""
    if _ID.fullmatch(text):
        return f"container-{text[:12]}"
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if name and name == text and len(name) <= _LONGEST:
        return name
    # Two that differ in what was left out remain two.
    tail = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=3).hexdigest()
    return f"{name[: _LONGEST - 7].strip('-')}-{tail}".strip("-")


def plug(process: Process, wish: Wish) -> str:
    """Give a container that has no network its NIC, and bind its guest to the process.

    The guest is gone when the process is. Whether it may be plugged the caller has asked already
    (`Process.faults`).

    Args:
        process: the container's first one.
        wish: see there.

    Returns:
        The certificate of the guest's authority, PEM.

    Raises:
        PlugError: nothing of it remains.
    """
    try:
        network = process.open_network()
    except (GoneError, OSError) as error:
        raise PlugError(str(error)) from error
    guest = Guest(
        wish.name,
        policy=wish.policy,
        preset=wish.preset,
        evidence=wish.evidence,
        user=wish.user,
        nic=Nic("veth", peer_name=INTERFACE),
        bound=True,
    )
    try:

        def add(gateway: Gateway) -> str:
            added = gateway.add(guest, network, process.descriptor)
            added.close()
            return added.certificate

        return ask(wish.run, add)
    finally:
        os.close(network)


def unplug(name: str, run: str = RUN) -> None:
    """Serve a container no more; nothing is done where it is none.

    Raises:
        PlugError: the gateway does not answer.
    """

    def remove(gateway: Gateway) -> None:
        try:
            gateway.remove(name)
        except GatewayError as error:
            if error.code != "name":
                raise

    ask(run, remove)


def ask(run: str, work: Callable[[Gateway], _T]) -> _T:
    """Ask the gateway something.

    Raises:
        PlugError: it did not do it.
    """
    try:
        with Gateway(Path(run, "gateway.sock")) as gateway:
            return work(gateway)
    except GatewayError as error:
        raise PlugError(str(error)) from error


def refuse(faults: Sequence[str]) -> None:
    """Raise where there is a fault.

    Raises:
        PlugError: naming all of them.
    """
    if faults:
        raise PlugError("refused: " + "; ".join(faults))
