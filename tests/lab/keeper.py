"""The lab's process tree: `python -m tests.lab.keeper`, started by `Lab`.

    Lab (any process of the machine)
     +- keeper      waits on a pidfd of the Lab's process; when either ends, so does everything
         +- first   PID 1 of the lab's PID namespace, host's mount, network, UTS, IPC namespaces
             +- internet process: builds both network namespaces, serves the internet

The kernel kills a PID namespace with its first process, and every process of the lab lives in
that namespace. Namespaces and mounts are anonymous, so nothing of them is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import sys

import msgspec

from netns.namespaces import Namespace, die_with_parent, unshare
from tests.lab import host_files
from tests.lab.certificates import Authority
from tests.lab.internet import Internet, now
from tests.lab.keeper_plan import Plan
from tests.lab.world import NAMES


def main() -> None:
    """Build the lab and wait."""
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    authority = Authority("egressguard lab root", now())
    unshare(Namespace.PID)  # of its children
    child = os.fork()
    if child == 0:
        # The parent is outside this PID namespace: getppid() is 0 and cannot be compared.
        die_with_parent(signal.SIGKILL, 0)
        os.close(plan.parent)
        unshare(Namespace.MOUNT | Namespace.NET | Namespace.UTS | Namespace.IPC)
        _first(plan, authority)
        os._exit(0)
    os.close(plan.control)
    waiter = select.poll()
    waiter.register(plan.parent, select.POLLIN)
    waiter.register(os.pidfd_open(child), select.POLLIN)
    waiter.poll()
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _first(plan: Plan, authority: Authority) -> None:
    """PID 1: dress the host's file system, start the internet, reap orphans."""
    host_files.furnish(authority.root_pem, plan.keep)
    socket.sethostname("lab-host")
    server = os.fork()
    if server == 0:
        die_with_parent(signal.SIGKILL, 1)
        _serve(plan, authority)
        os._exit(0)
    os.close(plan.control)
    while True:
        pid, _ = os.wait()
        if pid == server:
            os._exit(0)


def _serve(plan: Plan, authority: Authority) -> None:
    channel = socket.socket(fileno=plan.control)
    first = os.pidfd_open(1)
    internet = Internet(authority, {**NAMES, **plan.names})
    host_net, internet_net = internet.build()
    descriptors = [first, host_net, internet_net]
    socket.send_fds(channel, [b"built"], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    if not channel.recv(4):
        return  # the Lab found a fault, or is gone
    internet.open()
    channel.setblocking(False)
    asyncio.run(internet.serve(channel))


if __name__ == "__main__":
    main()
