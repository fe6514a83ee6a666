#!/bin/sh
# Make this machine the lab's agent: one card, which leads to the gateway, and no other way anywhere.
# It learns its network by DHCP, whom to trust from the gateway, and gets `escape-suite` over HTTPS: so
# that this ends well is honest work that has succeeded. As root; runs in busybox's shell too.
#
#   LAB_DEVICE      the card towards the gateway
#   LAB_MANAGEMENT  a card that Vagrant logs in by: it answers ssh, and nothing leaves by it otherwise
#   LAB_PYTHON      any Python 3.11, without packages
#   LAB_BUSYBOX     busybox with udhcpc, where there is no DHCP client
#   LAB_OPEN=1      the gateway is a router: see gateway.sh
set -eu

: "${LAB_DEVICE:=eth1}" "${LAB_MANAGEMENT:=}" "${LAB_PYTHON:=/usr/bin/python3}"
: "${LAB_BUSYBOX:=}" "${LAB_OPEN:=}"
place=/srv/egressguard-lab
mkdir -p "$place" /usr/local/bin

if [ -n "$LAB_MANAGEMENT" ]; then
    for needed in nft:nftables python3:python3; do
        command -v "${needed%%:*}" > /dev/null && continue
        # Before the ways out are closed; where the card for management has none, the box must have them.
        apt-get -q -y install --no-install-recommends "${needed#*:}" || {
            echo "this box has no ${needed#*:}, and its management network leads nowhere" >&2
            exit 1
        }
    done
fi
while ip -4 route del default 2> /dev/null; do :; done
while ip -6 route del default 2> /dev/null; do :; done
if [ -n "$LAB_MANAGEMENT" ]; then
    nft -f - <<END
table inet lab_management
delete table inet lab_management
table inet lab_management {
  chain in {
    type filter hook input priority 0; policy accept;
    iifname "$LAB_MANAGEMENT" ct state established,related accept
    iifname "$LAB_MANAGEMENT" tcp dport 22 accept
    iifname "$LAB_MANAGEMENT" udp dport 68 accept
    iifname "$LAB_MANAGEMENT" drop
  }
  chain out {
    type filter hook output priority 0; policy accept;
    oifname "$LAB_MANAGEMENT" ct direction reply accept
    oifname "$LAB_MANAGEMENT" udp sport 68 udp dport 67 accept
    oifname "$LAB_MANAGEMENT" drop
  }
}
END
    # What DHCP says on that card is its address, and neither a route nor a name server.
    if [ -d /etc/dhcp/dhclient-enter-hooks.d ]; then
        cat > /etc/dhcp/dhclient-enter-hooks.d/egressguard-lab <<END
if [ "\$interface" = "$LAB_MANAGEMENT" ]; then
    unset new_routers new_rfc3442_classless_static_routes
    make_resolv_conf() { :; }
fi
END
    fi
fi

cat > "$place/configure" <<'END'
#!/bin/sh
# What udhcpc(8) calls.
case $1 in
bound | renew)
    ip -4 addr flush dev "$interface"
    ip addr add "$ip/$mask" dev "$interface"
    ip route add default via "$router" dev "$interface"
    rm -f /etc/resolv.conf
    echo "nameserver $dns" > /etc/resolv.conf ;;
esac
END
chmod 755 "$place/configure"
ip link set lo up
ip link set "$LAB_DEVICE" up
if [ -n "$LAB_OPEN" ]; then
    ip addr add 198.18.0.10/24 dev "$LAB_DEVICE"
    ip route add default via 198.18.0.1 dev "$LAB_DEVICE"
    ip addr add fd65:6772:6573:7301::a/64 dev "$LAB_DEVICE" nodad 2> /dev/null ||
        ip addr add fd65:6772:6573:7301::a/64 dev "$LAB_DEVICE"
    ip -6 route add default via fd65:6772:6573:7301::1 dev "$LAB_DEVICE"
    rm -f /etc/resolv.conf
    echo nameserver 11.22.33.53 > /etc/resolv.conf
    trust=http://www.example.com/authority.pem
else
    if [ -n "$LAB_BUSYBOX" ]; then
        "$LAB_BUSYBOX" udhcpc -i "$LAB_DEVICE" -q -n -f -t 60 -T 1 -s "$place/configure"
    elif command -v udhcpc > /dev/null; then
        udhcpc -i "$LAB_DEVICE" -q -n -f -t 60 -T 1 -s "$place/configure"
    else
        dhclient -1 "$LAB_DEVICE"
    fi
    # IPv6 comes with a router advertisement, which takes a second or two.
    tries=0
    until ip -6 route | grep -q "^default .*dev $LAB_DEVICE" || [ "$tries" -ge 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    trust=http://egressguard.internal/ca.pem
fi

cat > "$place/fetch" <<'END'
import ssl, sys, time, urllib.request
url, path, authority = sys.argv[1:]
context = ssl.create_default_context(cafile=authority) if authority else None
for attempt in range(60):
    try:
        with urllib.request.urlopen(url, timeout=20, context=context) as answer:
            open(path, "wb").write(answer.read())
        break
    except OSError as error:
        said = error
        time.sleep(0.5)
else:
    raise SystemExit(f"{url}: {said}")
END
"$LAB_PYTHON" -I -S "$place/fetch" "$trust" "$place/authority.pem" ""
if [ -z "$LAB_OPEN" ] && [ -d /usr/local/share/ca-certificates ] &&
    command -v update-ca-certificates > /dev/null; then
    cp "$place/authority.pem" /usr/local/share/ca-certificates/egressguard-lab.crt
    update-ca-certificates > /dev/null 2>&1
fi
"$LAB_PYTHON" -I -S "$place/fetch" https://www.example.com/escape-suite.tar "$place/suite.tar" \
    "$place/authority.pem"
tar -xf "$place/suite.tar" -C "$place"
cat > /usr/local/bin/escape-suite <<END
#!/bin/sh
export LAB_DEVICE=$LAB_DEVICE
exec $LAB_PYTHON -I -S $place/escape-suite $place "\$@"
END
chmod 755 /usr/local/bin/escape-suite
echo "agent: escape-suite is installed"
