"""Run a program inside the lab: a shim between the caller's `Popen` and the program.

    python -I -S enter.py PLAN-AS-JSON PROGRAM ARGUMENTS...

Joins the lab's namespaces (pidfd_open(2), setns(2)), forks into its PID namespace, changes user and
executes. The shim passes on signals and ends the way the program ended, so that the caller's
`Popen` looks like the program itself; when the shim is killed the program is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import signal
import sys
import termios
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from netns.namespaces import Namespace, die_with_parent, setns

_FORWARDED = frozenset(
    {
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGCONT,
    }
)


def main() -> None:
    """Enter, run, wait."""
    plan: dict[str, Any] = json.loads(sys.argv[1])
    command = sys.argv[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED | {signal.SIGCHLD})
    null = os.open("/dev/null", os.O_RDWR)
    setns(plan["first"], Namespace.MOUNT | Namespace.PID | Namespace.UTS | Namespace.IPC)
    child = os.fork()
    if child == 0:
        # The child alone: this shim lives outside the lab and must not be seen in its network.
        setns(plan["network"], Namespace.NET)
        _run(plan, command)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    _leave(_wait(child))


def _run(plan: dict[str, Any], command: list[str]) -> NoReturn:
    try:
        if plan["tty"]:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if plan["cpu"] is not None:
            os.sched_setaffinity(0, {plan["cpu"]})
        if plan["uid"]:
            os.setgroups([])
            os.setresgid(plan["gid"], plan["gid"], plan["gid"])
            os.setresuid(plan["uid"], plan["uid"], plan["uid"])
        die_with_parent(signal.SIGKILL, 0)  # after setuid, which clears it
        os.chdir(plan["cwd"])
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        print(f"lab: {command[0]}: {error}", file=sys.stderr, flush=True)
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _wait(child: int) -> int:
    while True:
        info = signal.sigwaitinfo(_FORWARDED | {signal.SIGCHLD})
        if info.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return status
        elif info.si_pid:  # 0: the terminal sent it, to the child as well
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, info.si_signo)


def _leave(status: int) -> NoReturn:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
