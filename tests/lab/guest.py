"""A virtual machine in the lab: behind egressguard, or, as a control, beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from netns import nft
from netns.escapes.attempt import Attempt, Event
from netns.escapes.attempts import all_local
from netns.escapes.channel import Channel
from tests.lab.guest_image import PYTHON, RUNNER, Image, build
from tests.lab.host import Lab
from tests.lab.programs import JAIL_ENVIRONMENT
from tests.lab.world import HOST_LINK, RESOLVER_V4

PROGRAMS: Final = Path(__file__).with_name("guest_programs")
PLACE: Final = "/srv/guest"
_BOOT_SECONDS: Final = 120.0

_CONFIGURE: Final = """\
#!/bin/busybox sh
# What udhcpc(8) calls.
case $1 in
bound | renew)
    ip -4 addr flush dev $interface
    ip addr add $ip/$mask dev $interface
    ip route add default via $router
    echo "nameserver $dns" > /etc/resolv.conf ;;
esac
"""
_START: Final = f"""\
cat > /bin/configure <<'END'
{_CONFIGURE}END
chmod 755 /bin/configure
ip link set eth0 up
if grep -q lab=control /proc/cmdline; then
    ip addr add 198.18.0.10/24 dev eth0
    ip route add default via 198.18.0.1
    ip addr add fd65:6772:6573:7301::a/64 dev eth0
    ip -6 route add default via fd65:6772:6573:7301::1
    echo nameserver {RESOLVER_V4} > /etc/resolv.conf
else
    udhcpc -i eth0 -q -n -f -t 20 -T 1 -s /bin/configure > /dev/ttyS1 2>&1
fi
echo ready
exec {PYTHON} -I -S {RUNNER}
"""

_BESIDE: Final = f"""
ip tuntap add dev guest0 mode tap
ip addr add 198.18.0.1/24 dev guest0
ip addr add fd65:6772:6573:7301::1/64 dev guest0 nodad
ip link set guest0 up
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
for name in all guest0 {HOST_LINK}; do sysctl -qw net.ipv4.conf.$name.rp_filter=0; done
nft -f - <<END
table inet beside {{
  chain out {{ type nat hook postrouting priority 100; oifname {HOST_LINK} masquerade; }}
}}
END
"""


def image(lab: Lab) -> Image:
    """Make the machine's files in the lab, once; paths are the lab's."""
    done = lab.run(["sh", "-ec", f"mount -t tmpfs -o mode=755 tmpfs /srv; mkdir {PLACE}"])
    assert done.returncode == 0, done.stderr
    made = build(lab.path(PLACE), _START, PROGRAMS)
    return Image(Path(PLACE, made.kernel.name), Path(PLACE, made.root.name))


MESSAGES: Final = "/run/lab/vm-messages"
"""What `egressguard vm` has said to its operator."""


def behind(lab: Lab, files: Image, evidence: str, *options: str, rootless: bool = False) -> Channel:
    """Start the machine by `egressguard vm`; returns its runner, which waits for the world."""
    start = [sys.executable, "-m", "interceptor.cli.main", "vm"]
    who = ["--rootless"] if rootless else ["--user", "dev"]
    command = [*start, *who, "--evidence", evidence, *options, "--", *files.command()]
    if rootless:  # as most systems have it
        device = "mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200"
        done = lab.run(["sh", "-ec", device])
        assert done.returncode == 0, done.stderr
    with lab.path(MESSAGES).open("wb") as errors:
        program = lab.popen(
            command,
            user="dev" if rootless else None,
            env=JAIL_ENVIRONMENT,
            cwd="/home/dev/work",
            stdin=-1,
            stderr=errors,
        )
    return Channel(program, "the guest", lab.path(MESSAGES))


def beside(lab: Lab, files: Image) -> Channel:
    """Start the machine with a card that leads to the lab's internet."""
    done = lab.run(["sh", "-ec", _BESIDE])
    assert done.returncode == 0, done.stderr
    command = files.command()
    command[-1] += " lab=control"
    command += ["-netdev", "tap,id=n,ifname=guest0,script=no,downscript=no,vhost=off"]
    command += ["-device", "virtio-net-pci,netdev=n,romfile="]
    program = lab.popen(command, cwd="/run/lab", stdin=-1, stderr=None)
    return Channel(program, "the control guest")


def wait_for(channel: Channel, world: Mapping[str, Any]) -> None:
    """Wait until the machine is up, and tell it the world."""
    stdout = channel.process.stdout
    assert stdout is not None
    while line := stdout.readline():
        if line.strip() == b"ready":
            break
    channel.say(world)
    told = channel.hear(_BOOT_SECONDS)
    assert told["uid"] == 0, told


def work(channel: Channel, program: str, nonce: str = "x", **args: Any) -> dict[str, Any]:
    """Have the machine do something."""
    order = {"id": program, "program": program, "args": args, "nonce": nonce, "seconds": 40.0}
    channel.say(order)
    answer = channel.hear(60.0)
    assert answer["id"] == program, json.dumps(answer)
    return answer


def _dns(id: str, title: str, event: Event, **args: Any) -> Attempt:
    args = {"server": "resolver4", **args}
    return Attempt(id=id, row=9, title=title, program="services.dns", args=args, event=event)


def _link(id: str, title: str, program: str, **args: Any) -> Attempt:
    return Attempt(id=id, row=7, title=title, program=f"link.{program}", args=args, rights=True,
                   event=Event.NONE)  # fmt: skip


LISTENERS: Final = (nft.TCP_PORT, nft.DNS_PORT, *nft.QUIC_PORTS.values())

LINK_ATTEMPTS: Final = (
    _dns("dns-name", "a message in a name", Event.NONE),
    _dns("dns-odd-udp", "DNS on another UDP port", Event.PACKET, port=5300),
    _dns("dns-odd-tcp", "DNS on another TCP port", Event.BLOCK, port=5300, tcp=True),
    _link("spoofed-mac", "another hardware address", "spoofed", mac="02:65:67:aa:bb:cc"),
    _link("spoofed-neighbour", "a neighbour's IPv4 address", "spoofed", source="198.18.0.77"),
    _link("spoofed-public", "a public IPv4 address", "spoofed", source="9.9.9.1"),
    _link("spoofed-six", "a neighbour's IPv6 address", "spoofed_six",
          source="2d00:88::7"),
    _link("fragments", "a datagram in fragments", "fragments"),
    _link("extended", "a datagram behind extension headers", "extended"),
    _link("tagged", "a frame of a virtual LAN", "tagged"),
    _link("broadcast-frame", "a frame to everybody", "broadcast_frame"),
)  # fmt: skip
"""Beside those of `all_local`: names, and what takes a network card of one's own."""


def attempts() -> Sequence[Attempt]:
    """The network rows of the escape suite, and those of a network card."""
    rows = [
        attempt
        for attempt in all_local()
        if attempt.program.startswith(("packets.", "services."))
        and not attempt.work
        and attempt.program != "packets.sniff"  # its own card, its own traffic
        and "loopback" not in attempt.args.get("to", "")
    ]
    # Hundreds of kinds at once come last: of so many within a second not each is an event.
    return sorted([*rows, *LINK_ATTEMPTS], key=lambda each: each.id.startswith("every-"))
