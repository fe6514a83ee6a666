"""The lab of three machines: gateway, agent, internet (docs/lab.md), as root.

scripts/lab up --with namespaces|qemu [--open]
scripts/lab ssh agent -c escape-suite
scripts/lab status
scripts/lab down
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

from tests.machines import forms
from tests.machines.machine import Machine, MachineError


def main(arguments: Sequence[str]) -> int:
    """Do what was asked; 125 when it could not be done."""
    parser = argparse.ArgumentParser(
        prog="scripts/lab", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--name", default="lab", help="of the lab: there may be several")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="make the machines")
    up.add_argument("--with", dest="form", choices=["namespaces", "qemu"], default="namespaces")
    up.add_argument("--open", action="store_true", help="without egressguard: a control")
    ssh = commands.add_parser("ssh", help="a shell on a machine, or a command")
    ssh.add_argument("machine", choices=forms.NAMES)
    ssh.add_argument("-c", dest="script", help="what the machine's shell runs")
    commands.add_parser("status", help="which machines run")
    commands.add_parser("down", help="end them")
    asked = parser.parse_args(arguments)
    if os.geteuid():
        parser.error("needs root: sudo scripts/lab")
    try:
        return _do(asked)
    except (MachineError, OSError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 125


def _do(asked: argparse.Namespace) -> int:
    if asked.command == "up":
        built = forms.up(asked.name, asked.form, opened=asked.open)
        print(f"lab {asked.name}: {', '.join(each.name for each in built.machines)}")
        print("try: scripts/lab ssh agent -c escape-suite")
        return 0
    if asked.command == "down":
        return 0 if forms.down(asked.name) else _none(asked.name)
    built_before = forms.load(asked.name)
    if built_before is None:
        return _none(asked.name)
    if asked.command == "status":
        how = "open: no egressguard" if built_before.open else "behind egressguard"
        print(f"lab {asked.name}: {built_before.form}, {how}")
        for each in built_before.machines:
            print(f"  {each.name:<10} {'runs' if each.alive else 'has ended'}")
        return 0 if all(each.alive for each in built_before.machines) else 1
    return _ssh(built_before.machine(asked.machine), asked.script)


def _ssh(machine: Machine, script: str | None) -> int:
    if script is None:
        if machine.serial:
            print("lab: a virtual machine runs commands: -c COMMAND", file=sys.stderr)
            return 2
        sys.stdout.flush()
        return subprocess.run([*machine.entered(), "sh", "-i"], check=False).returncode
    done = machine.run(["sh", "-c", script], seconds=600)
    sys.stdout.buffer.write(done.stdout)
    return done.returncode


def _none(name: str) -> int:
    print(f"lab: there is no lab {name}: scripts/lab up", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
