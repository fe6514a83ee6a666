"""The lab's three machines in two forms, made by the same provisioning scripts as Vagrant's.

`namespaces`: each machine is a set of namespaces. `qemu`: the agent is a virtual machine (Debian's
cloud kernel, busybox, this machine's Python; QEMU's emulation where there is no KVM); gateway and
internet are namespaces, as a whole Debian takes minutes under emulation.

Packets go between these machines and nowhere else: their cards are made in namespaces that have
nothing else, and none of them was ever the host's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, Literal

import msgspec

from tests.lab import guest_image
from tests.lab.guest import PROGRAMS
from tests.lab.programs import ROOT
from tests.machines.machine import Machine, MachineError, of_namespaces, of_qemu, until_ready

STATE: Final = Path("/run/egressguard-lab")
AGENT_MAC: Final = "02:65:67:0a:0a:0a"
NAMES: Final = ("internet", "gateway", "agent")
_PROVISION: Final = ROOT / "scripts" / "provision"
_PROVISION_SECONDS: Final = 240.0

Form = Literal["namespaces", "qemu"]

_SERIAL: Final = """\
export PATH=/usr/local/bin:/bin
mkdir -p /usr/local/bin
cat > /agent.sh <<'END_OF_AGENT'
@AGENT@
END_OF_AGENT
echo ready
while read -r line; do
    echo "$line" | base64 -d > /tmp/command
    sh /tmp/command > /tmp/said 2>&1 < /dev/null
    code=$?
    echo begin
    base64 /tmp/said
    echo "end $code"
done
"""
"""What the virtual machine does: runs what comes by its serial line."""


class Built(msgspec.Struct, kw_only=True):
    """A lab that runs; what its state file says."""

    form: Form
    open: bool
    """Without egressguard: a control."""
    machines: list[Machine] = []

    def machine(self, name: str) -> Machine:
        """The machine of that name.

        Raises:
            MachineError: there is none.
        """
        for each in self.machines:
            if each.name == name:
                return each
        raise MachineError(f"there is no machine {name}: {', '.join(NAMES)}")

    def close(self) -> None:
        """End all of it."""
        for each in reversed(self.machines):
            each.close()


def state(name: str) -> Path:
    """Directory of a lab's state."""
    return STATE / name


def load(name: str) -> Built | None:
    """The lab of that name, if there is one."""
    try:
        return msgspec.json.decode((state(name) / "state.json").read_bytes(), type=Built)
    except FileNotFoundError:
        return None


def up(name: str, form: Form, *, opened: bool = False) -> Built:
    """Make it; what is half made is ended again.

    Args:
        name: several labs may stand beside each other.
        form: see there.
        opened: a router in egressguard's place, as a control that attempts do get out.

    Raises:
        MachineError: it cannot be made, with what was said; or there is one already.
    """
    if load(name) is not None:
        raise MachineError(f"there is a lab {name} already: scripts/lab down --name {name}")
    place = state(name)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700, parents=True)
    built = Built(form=form, open=opened)
    try:
        _make(built, place)
    except BaseException:
        built.close()
        shutil.rmtree(place, ignore_errors=True)
        raise
    return built


def down(name: str) -> bool:
    """End it; False when there is none."""
    built = load(name)
    if built is None:
        return False
    built.close()
    shutil.rmtree(state(name))
    return True


def _make(built: Built, place: Path) -> None:
    internet, gateway = of_namespaces("internet"), of_namespaces("gateway")
    built.machines += [internet, gateway]
    _cable(gateway, "eth2", internet, "eth1")
    opened = {"LAB_OPEN": "1"} if built.open else {}
    line = None
    if built.form == "qemu":
        agent, line = of_qemu("agent", _image(place).command(), gateway, place, AGENT_MAC)
        script, own = "/agent.sh", {"LAB_DEVICE": "eth0", "LAB_PYTHON": guest_image.PYTHON}
        own["LAB_BUSYBOX"] = "/bin/busybox"
    else:
        agent = of_namespaces("agent")
        _cable(gateway, "eth1", agent, "eth1", AGENT_MAC)
        script, own = str(_PROVISION / "agent.sh"), {"LAB_PYTHON": "/usr/bin/python3"}
        if (busybox := guest_image.busybox()) is not None:
            own["LAB_BUSYBOX"] = str(busybox)
    built.machines.append(agent)
    (place / "state.json").write_bytes(msgspec.json.encode(built))
    common = {"LAB_ROOT": str(ROOT), "LAB_PYTHON": sys.executable, **opened}
    if clients := os.environ.get("EGRESSGUARD_CLIENTS"):
        common["EGRESSGUARD_CLIENTS"] = clients
    provision(internet, str(_PROVISION / "internet.sh"), common)
    provision(gateway, str(_PROVISION / "gateway.sh"), {**common, "LAB_AGENT_MAC": AGENT_MAC})
    if line is not None:
        until_ready(line)
    provision(agent, script, {**own, **opened})


def provision(machine: Machine, script: str, variables: dict[str, str]) -> None:
    """Run a provisioning script on a machine.

    Raises:
        MachineError: with what it said.
    """
    done = machine.run(["sh", script], variables, _PROVISION_SECONDS)
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace")
        raise MachineError(f"{machine.name}: {script} ended with {done.returncode}:\n{said}")


def _cable(near: Machine, card: str, far: Machine, other: str, mac: str = "") -> None:
    """Join two machines of namespaces by a veth pair, which is nobody else's at any time."""
    words = f"link add {card} type veth peer name {other}".split()
    words += ["address", mac] if mac else []
    words += ["netns", str(far.processes[0].pid)]
    # In the network namespace alone: the number is that of the host's own processes.
    done = subprocess.run([*near.entered("-n"), "ip", *words], capture_output=True, check=False)
    if done.returncode:
        raise MachineError(f"{near.name}: {card}: {done.stderr.decode()}")


def _image(place: Path) -> guest_image.Image:
    missing = guest_image.missing()
    if missing:
        raise MachineError(missing)
    agent = (_PROVISION / "agent.sh").read_text("utf-8")
    folder = place / "image"
    folder.mkdir()
    return guest_image.build(folder, _SERIAL.replace("@AGENT@", agent), PROGRAMS)
