"""One machine of the lab, made of namespaces, or of QEMU: how it is started, entered and ended."""

from __future__ import annotations

import base64
import shlex
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from netns.processes import Process, kill_process, process, start_time

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SECONDS: Final = 120.0

# A machine's own view: its cards, its /run, and changes to files that nobody else sees.
_DRESS: Final = """
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
for place in etc usr/local var/lib var/log srv; do
    mkdir -p "/run/changes/$place/upper" "/run/changes/$place/work"
    mount -t overlay overlay \
        -o "lowerdir=/$place,upperdir=/run/changes/$place/upper,workdir=/run/changes/$place/work" \
        "/$place"
done
hostname "$1"
ip link set lo up
echo ready
exec sleep infinity
"""


class MachineError(RuntimeError):
    """A machine could not be started or provisioned; the message holds what it said."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine that runs."""

    name: str
    processes: tuple[Process, ...]
    """What to kill for its end: of namespaces, their first process."""
    serial: str = ""
    """Of a QEMU machine: path of the unix socket that its first serial line is."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return all(start_time(each.pid) == each.started for each in self.processes)

    def run(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        seconds: float = _SECONDS,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program on it as root; standard error comes with the output.

        Raises:
            subprocess.TimeoutExpired, OSError: it does not answer.
        """
        variables = {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", **(env or {})}
        if self.serial:
            return self._by_serial(command, variables, seconds)
        return subprocess.run(
            [*self.entered(), *command],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )

    def entered(self, *namespaces: str) -> list[str]:
        """Words that run a program in its namespaces, or in some of them (such as `-n`)."""
        chosen = namespaces or ("-m", "-u", "-i", "-n", "-p")
        return ["nsenter", "-t", str(self.processes[0].pid), *chosen, "--"]

    def close(self) -> None:
        """End it, and all that runs on it."""
        for each in self.processes:
            kill_process(each)

    def _by_serial(
        self, command: Sequence[str], env: Mapping[str, str], seconds: float
    ) -> subprocess.CompletedProcess[bytes]:
        words = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())
        order = base64.b64encode(f"{words}{shlex.join(command)}\n".encode())
        end = time.monotonic() + seconds
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(seconds)
            line.connect(self.serial)
            line.sendall(order + b"\n")
            said = b""
            while b"\nend " not in said or not said.endswith(b"\n"):
                line.settimeout(max(0.1, end - time.monotonic()))
                try:
                    piece = line.recv(65_536)
                except TimeoutError:
                    raise subprocess.TimeoutExpired(list(command), seconds, said) from None
                if not piece:
                    raise OSError(f"{self.name} has ended")
                said += piece
        # What a call before this one has left unread is before its own `begin`.
        text, _, code = said.rpartition(b"begin\n")[2].rpartition(b"\nend ")
        return subprocess.CompletedProcess(list(command), int(code), base64.b64decode(text))


def of_namespaces(name: str) -> Machine:
    """Start a machine of namespaces, without a network card.

    Raises:
        MachineError: see there.
    """
    kinds = ("--mount", "--net", "--pid", "--uts", "--ipc", "--mount-proc", "--fork")
    started = subprocess.Popen(
        ["unshare", *kinds, "sh", "-ec", _DRESS, "sh", name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": PATH},
        cwd="/",
        start_new_session=True,
    )
    assert started.stdout is not None
    said = started.stdout.readline()
    if said != b"ready\n":
        raise MachineError(f"{name}: {(said + started.stdout.read()).decode()}")
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text("ascii").split()
    # Ours to reap, as long as this process lives; then init's.
    return Machine(name=name, processes=(process(name, int(children[0])),))


def of_qemu(
    name: str, command: Sequence[str], beside: Machine, place: Path, mac: str
) -> tuple[Machine, socket.socket]:
    """Start a virtual machine whose card is the tap `eth1` of the machine `beside`.

    Args:
        name: of it.
        command: `tests.lab.guest_image.Image.command`.
        beside: machine of namespaces; gets the tap.
        place: directory for its console and its serial line.
        mac: hardware address of its card.

    Returns:
        The machine, which boots, and its serial line, for `until_ready`.

    Raises:
        MachineError: see there.
    """
    serial = place / "serial"
    words = ["-serial" if word == "-serial" else word for word in command]
    words[words.index("stdio")] = f"unix:{serial},server=on,wait=off"
    words += ["-netdev", "tap,id=n,ifname=eth1,script=no,downscript=no,vhost=off"]
    words += ["-device", f"virtio-net-pci,netdev=n,mac={mac},romfile="]
    done = beside.run(["ip", "tuntap", "add", "dev", "eth1", "mode", "tap"])
    if done.returncode:
        raise MachineError(f"{name}: {done.stdout.decode()}")
    with (place / "qemu.log").open("wb") as log:
        started = subprocess.Popen(
            [*beside.entered("-n"), *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": PATH},
            cwd=place,
            start_new_session=True,
        )
    end = time.monotonic() + 20
    while not serial.exists():
        if started.poll() is not None or time.monotonic() > end:
            raise MachineError(f"{name}: {(place / 'qemu.log').read_text('utf-8', 'replace')}")
        time.sleep(0.02)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.connect(str(serial))
    machine = Machine(name=name, processes=(process(name, started.pid),), serial=str(serial))
    return machine, line


def until_ready(line: socket.socket) -> None:
    """Wait until a virtual machine takes commands, and close the line.

    Raises:
        MachineError: it does not.
    """
    said = b""
    with line:
        line.settimeout(_SECONDS)
        while b"ready\n" not in said:
            try:
                piece = line.recv(4096)
            except TimeoutError:
                piece = b""
            if not piece:
                raise MachineError(f"the virtual machine does not boot: {said!r}")
            said += piece
