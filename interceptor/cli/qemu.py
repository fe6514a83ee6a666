"""A QEMU command line (qemu(1)) with our NIC in it, and no other way out.

What is refused here is refused for clarity: QEMU itself runs enclosed, so that a second network of
its own would end at egressguard as well, and devices of the host are not in its /dev.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

NETDEV: Final = "egressguard"
"""Id of our network back end: a `-device` of the caller's may name it, to choose the model."""

_PROGRAMS: Final = ("qemu-system-", "qemu-kvm", "kvm")

_NETWORKS: Final = ("netdev", "net", "nic", "redir", "bootp", "tftp", "smb")
"""Options that make a network; `none` as their value makes none."""

_HIDDEN: Final = {
    "readconfig": "its file may hold devices that nobody sees here; write them on the command line",
    "daemonize": "the machine would outlive its enclosure; put egressguard into the background",
    "chroot": "it needs rights that the machine's program does not have here",
    "runas": "the machine's program runs as you already (--user)",
    "run-with": "the machine's program is enclosed already",
}

_DEVICES: Final = {
    "vsock": "vsock reaches the host without a network, past every rule",
    "vhost-user": "its other end is a program that may have a network",
    "vhost-vdpa": "it gives the guest a network card of the host's",
    "vfio": "it gives the guest a device of the host's, such as a network card",
    "ivshmem": "it shares memory with other machines",
    "usb-host": "a USB device may be a network card or a telephone",
    "usb-redir": "its other end is a program that may have a network",
    "usb-net": "add no second network card",
    "vhost-scsi": "its other end is the host's kernel",
}
"""Parts of the names of devices that are refused, with the reason."""

_MODELS: Final = {"s390x": "virtio-net-ccw", "microvm": "virtio-net-device"}


class QemuError(ValueError):
    """A command line that is not run; the message says which word, and what to do."""


def with_nic(argv: Sequence[str], mac: str, cable: int, *, seed: str = "") -> tuple[str, ...]:
    """Return the command line with our NIC.

    Args:
        argv: the caller's, its program first.
        mac: the guest's hardware address.
        cable: number that the tap's descriptor will have.
        seed: of cloud-init; the machine's serial number will name it. Empty: it will not.

    Raises:
        QemuError: see there.
    """
    program = Path(argv[0]).name
    if not program.startswith(_PROGRAMS):
        raise QemuError(
            f"{program} is not QEMU: give a command that begins with qemu-system-x86_64 or the "
            "like, or hand your monitor a tap: see docs/vm.md"
        )
    pairs = _options(argv[1:])
    for name, value in pairs:
        _check(name, value)
    if seed and any(name == "smbios" and value.startswith("type=1") for name, value in pairs):
        raise QemuError("--cloud-init writes the machine's serial number, and so does -smbios")
    result = [*argv, "-netdev", f"tap,id={NETDEV},fd={cable},vhost=off"]
    devices = [value for name, value in pairs if name == "device"]
    if not any(f"netdev={NETDEV}" in device.split(",") for device in devices):
        result += ["-device", _device(program, pairs, mac)]
    if seed:
        result += ["-smbios", f"type=1,serial=ds=nocloud;s={seed}"]
    return tuple(result)


def wants_kvm(argv: Sequence[str]) -> bool:
    """Tell whether the machine would run on the processor itself, which needs /dev/kvm."""
    for name, value in _options(argv[1:]):
        if name == "enable-kvm" or (name == "accel" and "kvm" in value.split(",")[0].split(":")):
            return True
        if name in ("machine", "M"):
            kinds = [part for part in value.split(",") if part.startswith("accel=")]
            if any("kvm" in kind.removeprefix("accel=").split(":") for kind in kinds):
                return True
    return Path(argv[0]).name in ("kvm", "qemu-kvm")


def _options(words: Sequence[str]) -> list[tuple[str, str]]:
    """Options without their dashes, each with the word behind it, or an empty one."""
    found = []
    for at, word in enumerate(words):
        if word.startswith("-") and word != "-":
            behind = words[at + 1] if at + 1 < len(words) else ""
            value = "" if behind.startswith("-") else behind
            found.append((word.removeprefix("-").removeprefix("-"), value))
    return found


def _check(name: str, value: str) -> None:
    if name in _NETWORKS and value != "none":
        raise QemuError(
            f"-{name} {value}".rstrip() + ": the machine has one network, and egressguard adds it; "
            f"to choose the model of its card: -device MODEL,netdev={NETDEV}"
        )
    if name in _HIDDEN:
        raise QemuError(f"-{name}: {_HIDDEN[name]}")
    if name in ("device", "usbdevice", "object", "chardev"):
        driver = value.split(",")[0].removeprefix("driver=").lower()
        if name == "device" and value.lstrip().startswith("{"):
            raise QemuError("-device with JSON is not read here: write NAME,KEY=VALUE")
        for part, why in _DEVICES.items():
            if part in driver or (name == "usbdevice" and driver.startswith("host")):
                raise QemuError(f"-{name} {driver}: {why}")
        backend = [part for part in value.split(",") if part.startswith("netdev=")]
        if name == "device" and backend and backend != [f"netdev={NETDEV}"]:
            raise QemuError(f"-device {driver}: its network is {NETDEV}, and there is no other")


def _device(program: str, pairs: Sequence[tuple[str, str]], mac: str) -> str:
    machines = [value.split(",")[0] for name, value in pairs if name in ("machine", "M")]
    kind = "microvm" if "microvm" in machines else program.rpartition("-")[2]
    model = _MODELS.get(kind, "virtio-net-pci")
    # Without a boot ROM: nobody answers it, and its file is a package of its own.
    rom = ",romfile=" if model == "virtio-net-pci" else ""
    return f"{model},netdev={NETDEV},mac={mac}{rom}"
