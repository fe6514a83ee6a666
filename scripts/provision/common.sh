# shellcheck shell=sh
# What the provisioning of the lab's machines shares. Sourced.

# need_python: LAB_PYTHON, an interpreter with the packages that the tests need.
need_python() {
    [ -z "${LAB_PYTHON:-}" ] || return 0
    LAB_PYTHON=$(sh "$LAB_ROOT/scripts/provision/python.sh")
}

# background NAME WORDS...: run a service of this machine, which outlives this script.
background() {
    name=$1
    shift
    if [ -d /run/systemd/system ]; then
        systemctl reset-failed "$name" 2> /dev/null || true
        systemctl stop "$name" 2> /dev/null || true
        systemd-run --quiet --unit="$name" --working-directory="$LAB_ROOT" -- "$@"
    else
        (cd -- "$LAB_ROOT" && setsid "$@" > "/run/egressguard-lab/$name.log" 2>&1 < /dev/null &)
    fi
}

# until_there PATH: wait for what a service makes when it serves.
until_there() {
    tries=0
    until [ -e "$1" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 600 ]; then
            echo "no $1 after a minute" >&2
            cat /run/egressguard-lab/*.log >&2 || true
            exit 1
        fi
        sleep 0.1
    done
}

# only_route DEVICE GATEWAY4 GATEWAY6: the one way out of this machine. A card that Vagrant logs in by
# keeps the network that it is in, and leads nowhere else.
only_route() {
    while ip -4 route del default 2> /dev/null; do :; done
    while ip -6 route del default 2> /dev/null; do :; done
    ip -4 route add default via "$2" dev "$1"
    ip -6 route add default via "$3" dev "$1"
}

# own_names: resolv.conf is ours from here on, whatever a DHCP client hears.
own_names() {
    if [ -d /etc/dhcp/dhclient-enter-hooks.d ]; then
        echo 'make_resolv_conf() { :; }' > /etc/dhcp/dhclient-enter-hooks.d/egressguard-lab
    fi
    [ ! -L /etc/resolv.conf ] || rm -f /etc/resolv.conf
}
