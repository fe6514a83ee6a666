"""Reading and writing a user's files, in a child process that has no more rights than the user.

The supervisor is root. What it opened by a name below a user's home could be a link to anywhere;
the child that does it here has become that user first, so the kernel judges every name.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from netns import namespaces
from netns.identity import Identity

PATIENCE: Final = 10
"""Seconds; a home on a network that is gone must not hold a start for ever."""
_MOST: Final = 32 * 1024 * 1024


class UserWorkError(Exception):
    """The child did not finish."""


class Errand(NamedTuple):
    """A child at work."""

    pid: int
    answer: int
    """Descriptor on which its result can be read to the end."""


def send(
    identity: Identity,
    work: Callable[[], bytes],
    keep: Iterable[int] = (),
    first: Callable[[], object] = bool,
) -> Errand:
    """Fork a child that becomes `identity`, calls `work` and hands its result back.

    It is changed into another user only where this process is root. All descriptors but the
    standard ones and those of `keep` are closed in it. `first` is called before it becomes that
    user, who need not be able to read our own modules: it imports them. Where `work` raises,
    nothing comes back.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        gc.disable()  # it would touch, and thereby copy, all that is shared with the parent
        try:
            namespaces.close_all_but((0, 1, 2, writing, *keep))
            first()
            _become(identity)
            namespaces.die_with_parent(signal.SIGKILL, parent)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE)
            # A length first: a result that ends early is none.
            result = work()
            data = len(result).to_bytes(8, "big") + result
            while data:
                data = data[os.write(writing, data) :]
            code = 0
        except BaseException as error:  # noqa: BLE001 - a forked child must not unwind
            # The type alone: a message may quote what was read.
            os.write(2, f"egressguard: as {identity.name}: {type(error).__name__}\n".encode())
        finally:
            os._exit(code)
    os.close(writing)
    return Errand(pid, reading)


def hand_on(
    errand: Errand,
    identity: Identity,
    work: Callable[[bytes], bytes],
    first: Callable[[], object] = bool,
) -> Callable[[], bytes]:
    """Send a second child, which works on the result of the first; neither has what the other has.

    Args:
        errand: the first child.
        identity: what the second one becomes.
        work: called in it with the result of the first.
        first: see `send`.

    Returns:
        What waits for both and gives the second one's result; call it once. It raises
        UserWorkError where there is none.
    """
    second = send(identity, lambda: work(receive(errand.answer)), (errand.answer,), first)
    os.close(errand.answer)

    def wait() -> bytes:
        try:
            return result_of(second)
        finally:
            os.waitpid(errand.pid, 0)

    return wait


def result_of(errand: Errand) -> bytes:
    """Wait for the result of `send`.

    Raises:
        UserWorkError: there is none.
    """
    try:
        return receive(errand.answer)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(errand.pid, signal.SIGKILL)
        os.waitpid(errand.pid, 0)


def receive(descriptor: int) -> bytes:
    """Read a result from its descriptor, and close that.

    Raises:
        UserWorkError: there is none.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    parts: list[bytes] = []
    size = 0
    try:
        while poll.poll(PATIENCE * 1000 + 1000):
            part = os.read(descriptor, 1 << 20)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > _MOST:
                break
    finally:
        os.close(descriptor)
    data = b"".join(parts)
    if len(data) < 8 or len(data) - 8 != int.from_bytes(data[:8], "big"):
        raise UserWorkError("what the agent's user keeps secret could not be read in time")
    return data[8:]


def _become(identity: Identity) -> None:
    os.umask(0o077)
    if os.geteuid() == 0 and identity.uid != 0:
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    with contextlib.suppress(OSError):
        os.chdir("/")
