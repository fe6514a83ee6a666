"""QEMU's command line: our NIC goes in, and nothing that is a network besides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.cli import qemu

MAC = "02:65:67:12:34:56"
PROGRAM = "qemu-system-x86_64"


def line(*words: str, program: str = PROGRAM, seed: str = "") -> tuple[str, ...]:
    return qemu.with_nic([program, *words], MAC, 3, seed=seed)


def test_the_card_is_added() -> None:
    made = line("-m", "1G", "-hda", "disk.img")
    assert made[:5] == (PROGRAM, "-m", "1G", "-hda", "disk.img")
    assert made[5:] == (
        "-netdev",
        "tap,id=egressguard,fd=3,vhost=off",
        "-device",
        f"virtio-net-pci,netdev=egressguard,mac={MAC},romfile=",
    )


@pytest.mark.parametrize(
    ("program", "words", "model"),
    [
        ("/usr/bin/qemu-system-aarch64", ("-M", "virt"), "virtio-net-pci"),
        ("qemu-system-s390x", (), "virtio-net-ccw"),
        (PROGRAM, ("-machine", "microvm,acpi=on"), "virtio-net-device"),
        ("qemu-kvm", (), "virtio-net-pci"),
    ],
)
def test_the_card_fits_the_machine(program: str, words: tuple[str, ...], model: str) -> None:
    assert line(*words, program=program)[-1].startswith(f"{model},netdev=egressguard,")


def test_the_callers_model_is_kept() -> None:
    device = "e1000,netdev=egressguard,mac=02:65:67:12:34:56"
    assert line("-device", device)[-2:] == ("-netdev", "tap,id=egressguard,fd=3,vhost=off")


def test_cloud_init_is_told_where_its_seed_is() -> None:
    made = line(seed="http://egressguard.internal/cloud-init/")
    assert made[-2:] == (
        "-smbios",
        "type=1,serial=ds=nocloud;s=http://egressguard.internal/cloud-init/",
    )
    with pytest.raises(qemu.QemuError, match="serial"):
        line("-smbios", "type=1,serial=x", seed="http://egressguard.internal/")


@pytest.mark.parametrize(
    "words",
    [
        ("-netdev", "user,id=n0"),
        ("--netdev", "user,id=n0"),
        ("-nic", "user"),
        ("-nic",),
        ("-net", "nic"),
        ("-net", "user,hostfwd=tcp::2222-:22"),
        ("-redir", "tcp:2222::22"),
        ("-device", "vhost-vsock-pci,guest-cid=3"),
        ("-device", "vhost-user-vsock-pci"),
        ("-device", "vfio-pci,host=01:00.0"),
        ("-device", "vhost-user-net-pci,chardev=c"),
        ("-device", "vhost-vdpa-device-pci"),
        ("-device", "driver=vhost-vsock-pci,guest-cid=3"),
        ("-device", "usb-host,vendorid=1"),
        ("-device", "ivshmem-doorbell,chardev=c"),
        ("-device", '{"driver":"vhost-vsock-pci"}'),
        ("-device", "e1000,netdev=other"),
        ("-usbdevice", "host:1.2"),
        ("-chardev", "vhost-user,id=x"),
        ("-readconfig", "machine.conf"),
        ("-daemonize",),
        ("-runas", "nobody"),
    ],
)
def test_other_ways_are_refused_by_name(words: tuple[str, ...]) -> None:
    with pytest.raises(qemu.QemuError) as caught:
        line("-m", "1G", *words, "-nographic")
    assert words[0].lstrip("-") in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ("-nic", "none"),
        ("-net", "none"),
        ("-device", "virtio-rng-pci"),
        ("-device", "usb-tablet"),
        ("-drive", "file=netdev.img,if=virtio"),
        ("-append", "console=ttyS0 net.ifnames=0"),
        ("-chardev", "stdio,id=c"),
        ("-virtfs", "local,path=.,mount_tag=work,security_model=none"),
        ("-",),
    ],
)
def test_what_is_no_way_out_is_left_alone(words: tuple[str, ...]) -> None:
    assert line(*words)[1 : 1 + len(words)] == words


@pytest.mark.parametrize("program", ["firecracker", "/usr/bin/cloud-hypervisor", "sh", "qemu-img"])
def test_other_programs_are_refused(program: str) -> None:
    with pytest.raises(qemu.QemuError, match=r"docs/vm\.md"):
        line(program=program)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("-enable-kvm",), True),
        (("-accel", "kvm"), True),
        (("-accel", "kvm:tcg"), True),
        (("-machine", "q35,accel=kvm:tcg"), True),
        (("-M", "accel=tcg"), False),
        (("-accel", "tcg"), False),
        (("-name", "kvm"), False),
        ((), False),
    ],
)
def test_who_wants_the_processor_itself(words: tuple[str, ...], wanted: bool) -> None:
    assert qemu.wants_kvm([PROGRAM, *words]) is wanted


_WORDS = ("-netdev", "--nic", "-device", "-m", "user", "vhost-vsock-pci", "none", "1G",
          "e1000,netdev=egressguard", "")  # fmt: skip


@given(st.lists(st.sampled_from(_WORDS), max_size=8))
def test_whatever_is_let_through_has_one_network(words: list[str]) -> None:
    try:
        made = line(*words)
    except qemu.QemuError:
        return
    backends = [at for at, word in enumerate(made) if word.lstrip("-") in {"netdev", "nic"}]
    assert [made[at + 1] for at in backends if made[at + 1] != "none"] == [
        "tap,id=egressguard,fd=3,vhost=off"
    ]
