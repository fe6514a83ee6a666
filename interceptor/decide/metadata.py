"""What clouds serve to their machines, and to nobody else: addresses and names, as data.

Credentials of the machine, its user data, the platform's own services. From the vendors' pages on
instance metadata, as of 2025; they were not fetched.
"""

from __future__ import annotations

ADDRESSES: tuple[tuple[str, str], ...] = (
    ("169.254.169.254", "instance metadata of AWS, GCP, Azure, Oracle, OpenStack and others"),
    ("169.254.169.253", "resolver of AWS"),
    ("169.254.169.252", "metadata proxy of GKE"),
    ("169.254.169.251", "licence service of AWS"),
    ("169.254.169.250", "licence service of AWS; metadata of Rancher"),
    ("169.254.169.123", "time service of AWS"),
    ("169.254.170.2", "task credentials of AWS ECS"),
    ("169.254.170.23", "pod credentials of AWS EKS"),
    ("169.254.0.23", "instance metadata of Tencent Cloud"),
    ("169.254.42.42", "instance metadata of Scaleway"),
    ("100.100.100.200", "instance metadata of Alibaba Cloud"),
    ("168.63.129.16", "platform address of Azure"),
    ("192.0.0.192", "instance metadata of Oracle Cloud"),
    ("fd00:ec2::254", "instance metadata of AWS"),
    ("fd00:ec2::253", "resolver of AWS"),
    ("fd00:ec2::123", "time service of AWS"),
    ("fd00:ec2::23", "pod credentials of AWS EKS"),
    ("fd00:c1::a9fe:a9fe", "instance metadata of Oracle Cloud"),
    ("fd00:42::42", "instance metadata of Scaleway"),
    ("fd00:a9fe:a9fe::1", "instance metadata of Akamai (Linode)"),
    ("fd20:ce::254", "instance metadata of GCP"),
    ("fe80::a9fe:a9fe", "instance metadata of OpenStack"),
)
"""Address and what answers there. They are refused with a reason of their own."""

_USUAL = ("169.254.169.254",)

NAMES: dict[str, tuple[str, tuple[str, ...]]] = {
    "metadata.google.internal": ("instance metadata of GCP", _USUAL),
    "metadata.goog": ("instance metadata of GCP", _USUAL),
    "metadata": ("instance metadata of GCP, within its search domain", _USUAL),
    "instance-data": ("instance metadata of AWS", _USUAL),
    "instance-data.ec2.internal": ("instance metadata of AWS", _USUAL),
    "metadata.azure.internal": ("instance metadata of Azure", _USUAL),
    "metadata.tencentyun.com": ("instance metadata of Tencent Cloud", ("169.254.0.23",)),
    "api.metadata.cloud.ibm.com": ("instance metadata of IBM Cloud", _USUAL),
    "metadata.exoscale.com": ("instance metadata of Exoscale", _USUAL),
    "metadata.packet.net": ("instance metadata of Equinix Metal", ()),
    "metadata.platformequinix.com": ("instance metadata of Equinix Metal", ()),
    "data-server": ("instance metadata of CloudStack", ()),
    "rancher-metadata": ("metadata of Rancher", ("169.254.169.250",)),
    "rancher-metadata.rancher.internal": ("metadata of Rancher", ("169.254.169.250",)),
    "_api.internal": ("machines API of Fly.io", ()),
    "kubernetes": ("API server of Kubernetes", ()),
    "kubernetes.default": ("API server of Kubernetes", ()),
    "kubernetes.default.svc": ("API server of Kubernetes", ()),
}
"""Lower-case name, what it stands for, and the addresses that it is known to have."""

AROUND: tuple[tuple[str, str, str], ...] = (
    ("kubernetes.default.svc.", "", "kubernetes.default.svc"),
    ("instance-data.", ".compute.internal", "instance-data.ec2.internal"),
)
"""How names of a cluster's or region's own begin and end, and which of `NAMES` they are like."""


def stands_for(name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return what a name of a cloud's own stands for and its known addresses, else None.

    Args:
        name: lower case, without trailing dot.
    """
    found = NAMES.get(name)
    if found is None:
        for start, end, like in AROUND:
            if name.startswith(start) and name.endswith(end) and len(name) > len(start + end):
                return NAMES[like]
    return found
