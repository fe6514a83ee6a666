# shellcheck shell=sh
# What scripts/egressguard and scripts/test install on first use. Sourced in a subshell, with
#   root   the checkout          data    where environments live (one per lock file)
#   cache  bytecode and the compiled rule database
# set by the caller. Everything is said on stderr, so that stdout stays the command's own.
#
# Safe to interrupt and to run several times at once: one lock, and an environment counts only once
# its stamp `.complete` is written; without the stamp it is removed and made anew.

umask 022
log=$data/setup.log

say() { printf 'egressguard: %s\n' "$*" >&2; }

fail() {
    say "$1"
    shift
    for line; do printf '  %s\n' "$line" >&2; done
    exit 125
}

# have NAME: a program on the PATH or of the system, a shared library, or a file by its full path.
have() {
    case $1 in
        /*) [ -e "$1" ] ;;
        lib*.so.*) { ldconfig -p 2> /dev/null || /sbin/ldconfig -p; } | grep -q "$1" ;;
        *) command -v "$1" > /dev/null || [ -x "/usr/sbin/$1" ] ;;
    esac
}

is_root() { [ "$(id -u)" = 0 ]; }

# ---- system packages -------------------------------------------------------------------------

# apt_install PACKAGE...: true when all were installed. Output goes to the log.
apt_install() {
    set -- env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 \
        install --no-install-recommends "$@"
    "$@" >> "$log" 2>&1 < /dev/null && return
    # The package lists may be missing or old: fetch them and try once more.
    say "  fetching the package lists"
    apt-get -q -o Acquire::Retries=2 -o Acquire::http::Timeout=30 update >> "$log" 2>&1 < /dev/null
    "$@" >> "$log" 2>&1 < /dev/null
}

# ensure_packages COMMAND:PACKAGE...: install the packages whose command is missing.
# False when some are still missing, having said why and what to do.
ensure_packages() {
    absent=
    for pair; do
        have "${pair%%:*}" || absent="$absent ${pair#*:}"
    done
    [ -n "$absent" ] || return 0
    if ! command -v apt-get > /dev/null; then
        say "cannot install$absent: this system has no apt-get."
        say "  Fix: install them with your system's package manager (names are Debian's)."
        return 1
    fi
    if ! is_root; then
        say "cannot install$absent: not root.  Fix: sudo apt-get install$absent"
        return 1
    fi
    say "installing$absent (apt)"
    # shellcheck disable=SC2086  # a list of words
    apt_install $absent && return
    say "cannot install$absent: apt-get failed; is this machine offline? Its last lines ($log):"
    tail -n 6 "$log" | sed 's/^/    /' >&2
    return 1
}

# ---- Python ----------------------------------------------------------------------------------

# usable_python PATH: Python >= 3.11 that can make an environment every user can read.
usable_python() {
    [ -x "$1" ] || return 1
    case $(readlink -f -- "$1") in
        /usr/* | /opt/* | /nix/*) ;;
        *) ! is_root || return 1 ;; # such as a private build under /root: the jail's user needs it
    esac
    "$1" -I -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null
}

# find_python: print the interpreter to use. The system's own comes first.
find_python() {
    for candidate in /usr/bin/python3 /usr/bin/python3.13 /usr/bin/python3.12 \
        /usr/bin/python3.11 /usr/local/bin/python3 "$(command -v python3 || true)"; do
        # The versioned name: after an upgrade of the system its absence shows that we must rebuild.
        ! usable_python "$candidate" || { readlink -f -- "$candidate"; return 0; }
    done
    return 1
}

ensure_python() {
    python=$(find_python) && return
    if ! is_root || ! command -v apt-get > /dev/null; then
        fail "needs Python 3.11 or later with the venv module, and found none." \
            "Fix: sudo apt-get install python3-venv   (or your system's equivalent)"
    fi
    for package in python3-venv python3.13-venv python3.12-venv python3.11-venv; do
        say "installing $package (apt)"
        ! apt_install "$package" || ! python=$(find_python) || return 0
    done
    fail "cannot install Python 3.11 or later: apt-get offers none, or this machine is offline." \
        "Log: $log"
}

# complete: the environment $environment is whole. Its interpreter's link dangles when the system's
# Python was replaced by another version.
complete() { [ -f "$environment/.complete" ] && [ -x "$environment/bin/python" ]; }

# ensure_environment NAME LOCKFILE: make $data/NAME-<hash of the lock file>; sets $environment.
ensure_environment() {
    hash=$(sha256sum < "$root/requirements/$2")
    environment=$data/$1-${hash%"${hash#????????????????}"}
    ! complete || return 0
    ensure_python
    say "making the Python environment $environment"
    rm -f -- "$environment/.complete"
    rm -rf -- "$environment"
    "$python" -I -m venv "$environment" >> "$log" 2>&1 ||
        fail "cannot make a Python environment with $python." "Log: $log"
    # Wheels only: no compiler is needed, and nothing of a package is run while it is installed. The
    # one package that has none is left to ensure_guard.
    {
        "$environment/bin/python" -I -m pip --disable-pip-version-check --no-input install \
            --require-hashes --no-deps --only-binary :all: --no-warn-script-location \
            --progress-bar off -r "$root/requirements/$2" 2>&1 || echo failed > "$environment/.failed"
    } | tee -a "$log" | sed -n 's/^Collecting \([^ ;]*\).*/  \1/p' >&2
    if [ -e "$environment/.failed" ]; then
        tail -n 4 "$log" | sed 's/^/    /' >&2
        fail "cannot install the Python packages of requirements/$2: offline, or no package index?" \
            "Log: $log" "Fix: make the index reachable (pip's own settings are used); run this again."
    fi
    sync -f "$environment" 2> /dev/null || true
    : > "$environment/.complete"
}

# install_locked LOCKFILE OPTION...: into $environment; output goes to the log.
install_locked() {
    file=$1
    shift
    "$environment/bin/python" -I -m pip --disable-pip-version-check --no-input install \
        --require-hashes --no-deps --progress-bar off "$@" -r "$root/requirements/$file" \
        >> "$log" 2>&1
}

# ensure_guard: build what the packet guard reads the kernel's queue with; it has no wheels. False
# when it cannot be: packets that no listener takes are then refused without a name, no more.
ensure_guard() {
    [ ! -e "$environment/.guard" ] || return 0
    say "building the packet guard's extension"
    if install_locked build.txt --only-binary :all: &&
        install_locked guard.txt --no-build-isolation --no-binary :all: &&
        "$environment/bin/python" -I -c 'import netfilterqueue' >> "$log" 2>&1; then
        : > "$environment/.guard"
        return 0
    fi
    say "  it cannot be built ($log): refused packets will not be named."
    say "  Fix: sudo apt-get install gcc python3-dev libnetfilter-queue-dev, and remove $environment"
    return 1
}

guard_packages="cc:gcc /usr/include/libnetfilter_queue/libnetfilter_queue.h:libnetfilter-queue-dev
    iptables-nft-restore:iptables"

# ensure_headers: those of the environment's Python.
ensure_headers() {
    headers=$("$environment/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("include"))')
    ensure_packages "$headers/Python.h:lib${headers##*/}-dev"
}

# ---- what the callers use --------------------------------------------------------------------

take_lock() {
    mkdir -p -- "$data" "$cache" || fail "cannot write $data" "Fix: check its owner and the disk."
    exec 9> "$data/lock" || fail "cannot write $data/lock" "Fix: check its owner."
    flock -n 9 || { say "waiting for another set-up to end"; flock 9; }
    : > "$log"
}

# prepare_runtime: everything `egressguard` needs. Missing programs do not end it: `--help` and
# `doctor` work without them, and a jail says itself what it lacks.
prepare_runtime() {
    before=$(date +%s)
    take_lock
    ensure_packages bwrap:bubblewrap nft:nftables libseccomp.so.2:libseccomp2 \
        /etc/protocols:netbase update-ca-certificates:ca-certificates $guard_packages || true
    hash=$(sha256sum < "$root/requirements/runtime.txt")
    environment=$data/venv-${hash%"${hash#????????????????}"}
    ! complete || return 0
    ensure_environment venv runtime.txt
    ensure_headers && ensure_guard || true
    warm_up
    say "ready after $(($(date +%s) - before)) s"
}

# prepare_tests: what the tests need; sets $environment. The agents' side is in clients.sh.
# Go, Java and other large toolchains are left out: tests that need them are skipped by name.
prepare_tests() {
    take_lock
    ensure_packages bwrap:bubblewrap nft:nftables libseccomp.so.2:libseccomp2 ip:iproute2 \
        /etc/protocols:netbase update-ca-certificates:ca-certificates git:git curl:curl wget:wget openssl:openssl \
        dig:bind9-dnsutils $guard_packages || true
    ensure_environment dev dev.txt
    ensure_headers && ensure_guard || true
}

# warm_up: compile what would otherwise be compiled at first use.
warm_up() {
    say "compiling bytecode and rules"
    set -- "$environment/bin/python" -I -X pycache_prefix="$cache/bytecode"
    "$@" -m compileall -q -j 0 "$root/interceptor" "$root/netns" "$environment/lib" \
        > /dev/null 2>&1 || true
    "$@" "$root/scripts/lib/warm_up.py" "$cache" >> "$log" 2>&1 ||
        say "  rules will be compiled at every start: see the end of $log"
}
