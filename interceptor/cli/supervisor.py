"""The supervisor: makes the captive namespace, the interceptor and the enclosure, and cleans up.

It parses no byte of the agent's. The order is what makes a start race impossible: namespace,
listeners, interceptor serving, self-test inside the jail, and only then the agent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from interceptor.cli.interceptor_process import Interceptor
from interceptor.cli.plan import Plan, SetupError
from interceptor.cli.time_limit import EXIT_TIMED_OUT, TimeLimit
from interceptor.model import SELF_TEST_NAME

if TYPE_CHECKING:
    from netns.captive import Captive
    from netns.enclosure import Enclosure
    from netns.guard import Guard
    from netns.limits import Group
    from netns.registry import Registration
    from netns.startup_files import Snapshot
    from netns.trust import Trust

_CHANGED: Final = 100  # changed files that are named
_DIE: Final = "the interceptor has ended; the agent is offline from here on"


def supervise(plan: Plan, evidence: int, entry: Registration, told: Callable[[str], None]) -> int:
    """Run the agent of `plan` in a jail and return its exit code.

    Args:
        plan: what to run, and how.
        evidence: descriptor of the evidence file; closed here.
        entry: the jail in the registry.
        told: called with lines for the operator.

    Raises:
        SetupError, CaptiveError, EnclosureError and others: nothing is left behind.
    """
    from netns import captive, processes, startup_files, witness
    from netns.enclosure import LaunchError
    from netns.guard import GuardError

    with contextlib.ExitStack() as undo:
        # Both children import what they need while the other works.
        host_listeners = _listen(plan, undo)
        preparation = captive.Preparation(rootless=plan.rootless, nic=plan.nic)
        undo.callback(preparation.abandon)
        interceptor_process = Interceptor(plan, evidence)
        undo.callback(interceptor_process.kill)
        os.close(evidence)
        entry.update([processes.process("interceptor", interceptor_process.pid)])
        installed = _trust(plan, interceptor_process.certificate())
        namespace = preparation.finish()
        undo.callback(namespace.close)
        guard = _guard(plan, namespace)
        undo.callback(guard.close)
        asking, answering = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        undo.callback(answering.close)
        channels = {"guard": guard.channel, "witness": asking, **namespace.channels}
        way_in = _way_in(host_listeners, namespace, entry, undo)
        interceptor_process.start(plan, namespace, channels, way_in)
        limits = _limits(plan, entry, undo)
        agent = _enclosure(plan, namespace, installed, limits.descriptors if limits else ())
        undo.callback(agent.close)
        undo.callback(namespace.close_tap)
        guarded = interceptor_process.ready()
        agent.start()
        namespace.close_tap()  # the link ends with the machine that holds it
        seer = witness.Witness(
            answering,
            namespace.namespace_fd,
            namespace.user_namespace_fd,
            plan.identity,
            agent.monitor,
        )
        undo.callback(seer.close)
        try:
            guard.ready()
        except GuardError as error:
            told(f"packets of other protocols are refused without a name: {error}")
        trust = () if plan.nic is not None else installed.notes
        for note in (*agent.notes, *trust, *(() if plan.quiet else guarded)):
            told(note)
        for place in () if plan.quiet else plan.published:
            told(f"published: {place.where} leads to port {place.jail_port} in the jail")
        entry.update([*entry.jail.processes, processes.process("agent", agent.pid)])
        interceptor_process.open()
        before = _startup_files(plan)
        begin = time.monotonic()
        try:
            agent.open_gate()
        except LaunchError as error:
            interceptor_process.stop(error.exit_code, 0.0)
            raise
        died: list[bool] = []

        def offline() -> None:
            died.append(True)
            told(_DIE)

        with TimeLimit(agent, plan.timeout, told) as limit:
            code = agent.wait(
                {
                    interceptor_process.pidfd: offline,
                    interceptor_process.control_fd: interceptor_process.listen,
                }
            )
        agent.close()
        for note in limits.notes() if limits else ():
            told(note)
        for path in agent.late_sockets():
            told(f"{path}: bound outside while the jail ran; the agent could reach it")
        if limit.passed:
            code = EXIT_TIMED_OUT
        seconds = time.monotonic() - begin
        differ = startup_files.changed(before, _startup_files(plan))[:_CHANGED]
        if differ:
            told(f"files that run outside the jail were changed in it: {', '.join(differ)}")
        fault = interceptor_process.stop(code, seconds, differ)
        if fault and not died:
            told(f"the evidence may be incomplete: {fault}")
        if interceptor_process.unkept:
            told(f"pins of tools could not be kept: {interceptor_process.unkept}")
        return code


def _startup_files(plan: Plan) -> Snapshot:
    from netns import startup_files

    home = plan.identity.home if plan.home == "rw" else ""
    return startup_files.snapshot(home, plan.cwd, plan.environ.get("PATH", ""))


def _guard(plan: Plan, namespace: Captive) -> Guard:
    from netns.confine import unprivileged_uid
    from netns.guard import Guard

    uid = None if plan.rootless else unprivileged_uid(os.getpid() + 1)
    return Guard(namespace.namespace_fd, namespace.user_namespace_fd, uid, plan.nic)


def _listen(plan: Plan, undo: contextlib.ExitStack) -> list[socket.socket]:
    """Take the ports to publish before anything else is made: they may be taken."""
    if not plan.published:
        return []
    from interceptor.cli import publishing

    listeners = publishing.listen(plan.published)
    for listener in listeners:
        undo.callback(listener.close)
    return listeners


def _way_in(
    listeners: list[socket.socket],
    namespace: Captive,
    entry: Registration,
    undo: contextlib.ExitStack,
) -> list[socket.socket]:
    """Add the channel to a process that makes sockets in the namespace."""
    if not listeners:
        return []
    from netns import processes
    from netns.socket_maker import SocketMaker

    maker = SocketMaker(namespace.namespace_fd, namespace.user_namespace_fd)
    undo.callback(maker.close)
    entry.update([*entry.jail.processes, processes.process("socket maker", maker.pid)])
    return [*listeners, maker.channel]


def _trust(plan: Plan, certificate: bytes) -> Trust:
    from netns import trust

    home = plan.identity.home if plan.home != "private" else ""
    return trust.prepare(certificate, plan.environ, home, plan.writable)


def _limits(plan: Plan, entry: Registration, undo: contextlib.ExitStack) -> Group | None:
    if not plan.limits.controllers:
        return None
    from netns import limits

    try:
        group = limits.limited(plan.limits, plan.jail)
    except limits.LimitError as error:
        raise SetupError(str(error)) from error
    undo.callback(group.close)
    entry.update(groups=group.paths)
    return group


def _enclosure(
    plan: Plan, namespace: Captive, installed: Trust, groups: tuple[int, ...]
) -> Enclosure:
    from netns import enclosure, environment, launch
    from netns.mounts import Bind, Data

    decoys = plan.decoys
    files = [Data(path, text.encode(), 0o444) for path, text in decoys.files] if decoys else []
    return enclosure.Enclosure(
        enclosure.EnclosureSpec(
            argv=plan.command,
            cwd=plan.cwd,
            identity=plan.identity,
            environment=environment.build(
                plan.environ,
                plan.identity,
                cwd=plan.cwd,
                home=plan.identity.home,
                trust=installed.environment,
                env=plan.env,
            )
            | dict(decoys.variables if decoys else ()),
            network_fd=namespace.namespace_fd,
            user_fd=namespace.user_namespace_fd,
            trust=(
                *installed.mounts,
                *files,
                *(Bind(path, path, device=True) for path in plan.devices),
            ),
            home_access=plan.home,
            cwd_access=plan.workdir,
            writable=plan.writable,
            readable=plan.readable,
            masks=plan.masks,
            protected=plan.protected,
            user_namespaces=plan.nested_sandboxes,
            cable=namespace.tap_fd,
            ptrace=plan.ptrace,
            unix_sockets=plan.unix_sockets,
            groups=groups,
            dns_name=SELF_TEST_NAME,
            probes=launch.PROBES[: len(namespace.tcp)],
        )
    )
