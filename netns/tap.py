"""Taps: the network device of a virtual machine, made inside the captive namespace.

Whoever holds the descriptor is the cable, so the monitor (QEMU, Firecracker, Cloud Hypervisor) gets
that and no right over the device, and the device is gone with its last holder. A tap that was made
elsewhere, with a name, is taken in instead (`Nic.existing`).
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final

DEVICE: Final = "/dev/net/tun"

_TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000


def make(name: str) -> int:
    """Make a tap in the network namespace of this process; return its descriptor.

    Frames go without packet information and with a virtio header, as QEMU wants it: segmentation
    and checksums are left to the other side, which makes large transfers several times faster.

    Args:
        name: of the device, at most 15 characters.

    Returns:
        The descriptor, close-on-exec and not blocking.

    Raises:
        OSError: without the driver (`modprobe tun`), or without rights over the namespace.
    """
    try:
        descriptor = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        number = error.errno or 0
        raise OSError(number, f"{DEVICE}: {os.strerror(number)}") from error
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
    try:
        # struct ifreq: 16 bytes of name, then a union of 24 (netdevice(7)).
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    except OSError as error:
        os.close(descriptor)
        number = error.errno or 0
        raise OSError(number, f"{DEVICE}: TUNSETIFF: {os.strerror(number)}") from error
    return descriptor
