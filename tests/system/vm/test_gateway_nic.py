"""`gateway add --veth` and `--tap`: a link of the host's is taken in, and its guest is served."""

from __future__ import annotations

import json

import pytest

from tests.lab import Lab, gateways, guest_image
from tests.lab.host_files import BUNDLE

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_POLICY = "/etc/gateway-nic.yaml"
_MAC = "02:65:67:01:02:03"

# Another machine, as far as its network goes: what comes of DHCP, trust and work, line by line.
_GUEST = """
mount -t tmpfs tmpfs /mnt
cat > /mnt/configure <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev $interface
ip route add default via $router
echo "nameserver $dns" > /mnt/resolv.conf
END
chmod 755 /mnt/configure
ip link set lo up
ip link set eth0 up
@BUSYBOX@ udhcpc -i eth0 -q -n -f -t 20 -T 1 -s /mnt/configure 2>&1
mount --bind /mnt/resolv.conf /etc/resolv.conf
curl -sS --max-time 20 -o /mnt/ca.pem http://egressguard.internal/ca.pem
curl -sS --max-time 20 --cacert /mnt/ca.pem https://www.example.com/get?n=by-dhcp > /dev/null
echo fetched $?
ping -c 1 -W 1 9.9.9.9 2>&1 | grep -c "Packet filtered"
"""


def test_a_veth_of_the_hosts_is_a_guests_network(clean_lab: Lab) -> None:
    lab = clean_lab
    busybox = guest_image.busybox()
    assert busybox is not None, "no busybox with udhcpc: apt-get install busybox-static"
    script = _GUEST.replace("@BUSYBOX@", str(busybox))
    lab.path(_POLICY).write_text(f"version: 1\nupstream: {{ca_file: {BUNDLE}}}\n")
    with (
        gateways.running(lab, "/run/gateway-nic") as run,
        lab.popen(["unshare", "-m", "-n", "sh", "-c", "echo $$; exec sleep 120"]) as machine,
    ):
        try:
            assert machine.stdout is not None
            pid = machine.stdout.readline().decode().strip()
            link = f"link add host7 type veth peer name eth0 address {_MAC} netns {pid}"
            done = lab.run(["ip", *link.split()])
            assert done.returncode == 0, done.stderr
            said = gateways.do(lab, "gateway", "add", "guest-7", "--veth", "host7", "--mac", _MAC,
                               "--policy", _POLICY, "--run", run)  # fmt: skip
            assert "host7" not in lab.run(["ip", "-br", "link"]).stdout.decode()
            shown = lab.run(
                ["nsenter", "-t", pid, "-n", "-m", "sh", "-c", script], timeout=90
            ).stdout.decode()
            assert "lease of 198.18.0.10 obtained" in shown
            assert "fetched 0" in shown, shown
            assert "/get?n=by-dhcp" in [request.target for request in lab.requests()]
            assert not lab.oracle.records()
            evidence = said.strip().rpartition(" ")[2]
            events = [json.loads(line) for line in lab.path(evidence).read_text().splitlines()]
            assert {event["jail"] for event in events} == {"guest-7"}
            assert "/ca.pem" in {event.get("path") for event in events}
            assert "www.example.com" in {event.get("host") for event in events}
        finally:
            machine.kill()
