#!/bin/sh
# Make this machine the lab's gateway: the agent's card leads into a captive namespace of
# `egressguard gateway`, the other one to the lab's internet. As root.
#
#   LAB_ROOT, LAB_PYTHON   as in internet.sh
#   LAB_LAN, LAB_WAN       the cards towards the agent and towards the internet
#   LAB_AGENT_MAC          the agent's hardware address
#   LAB_OPEN=1             no egressguard: a router, as a control that attempts do get out
set -eu

: "${LAB_ROOT:?}" "${LAB_LAN:=eth1}" "${LAB_WAN:=eth2}" "${LAB_AGENT_MAC:?}" "${LAB_OPEN:=}"
. "$LAB_ROOT/scripts/provision/common.sh"
need_python
: "${LAB_EGRESSGUARD:=$LAB_PYTHON -m interceptor.cli.main}"
export PYTHONPATH="$LAB_ROOT" PYTHONDONTWRITEBYTECODE=1
mkdir -p /run/egressguard-lab /etc/egressguard

ip link set "$LAB_WAN" up
ip addr replace 192.168.77.2/24 dev "$LAB_WAN"
ip addr replace 2d00:77:1::2/64 dev "$LAB_WAN" nodad
only_route "$LAB_WAN" 192.168.77.1 2d00:77:1::1
own_names
echo nameserver 11.22.33.53 > /etc/resolv.conf

if [ -n "$LAB_OPEN" ]; then
    ip link set "$LAB_LAN" up
    ip addr replace 198.18.0.1/24 dev "$LAB_LAN"
    ip addr replace fd65:6772:6573:7301::1/64 dev "$LAB_LAN" nodad
    for setting in net/ipv4/ip_forward net/ipv6/conf/all/forwarding; do
        echo 1 > "/proc/sys/$setting"
    done
    for card in all "$LAB_LAN" "$LAB_WAN"; do
        echo 0 > "/proc/sys/net/ipv4/conf/$card/rp_filter"
    done
    nft "add table inet lab_open"
    nft "add chain inet lab_open out { type nat hook postrouting priority 100; }"
    nft "add rule inet lab_open out oifname $LAB_WAN masquerade"
    echo "gateway: OPEN, whatever the agent sends gets out"
    exit 0
fi

# The lab's authority, for what is verified upstream.
"$LAB_PYTHON" - <<'END'
import time
import urllib.request
for attempt in range(300):
    try:
        with urllib.request.urlopen("http://11.22.33.10/authority.pem", timeout=5) as answer:
            open("/etc/egressguard/lab-authority.pem", "wb").write(answer.read())
        break
    except OSError:
        time.sleep(0.2)
else:
    raise SystemExit("the lab's internet does not answer")
END
cat > /etc/egressguard/lab.yaml <<'END'
version: 1
preset: balanced
upstream: {ca_file: /etc/egressguard/lab-authority.pem}
END

# shellcheck disable=SC2086  # a list of words
if [ ! -S /run/egressguard/gateway.sock ] || ! $LAB_EGRESSGUARD gateway status > /dev/null; then
    background egressguard-gateway env PYTHONPATH="$LAB_ROOT" PYTHONDONTWRITEBYTECODE=1 \
        $LAB_EGRESSGUARD gateway run --workers 1
    until_there /run/egressguard/gateway.sock
fi
# A tap is a virtual machine's; any other card is taken in as it is.
kind=--veth
[ ! -e "/sys/class/net/$LAB_LAN/tun_flags" ] || kind=--tap
# shellcheck disable=SC2086
$LAB_EGRESSGUARD gateway add agent "$kind" "$LAB_LAN" --mac "$LAB_AGENT_MAC" \
    --policy /etc/egressguard/lab.yaml --evidence /var/log/egressguard-agent.jsonl
