"""Attempts against processes, privileges, kernel settings, devices and files."""

from __future__ import annotations

from typing import Any

from netns.escapes.attempt import Attempt, Event, Proof

_SIGNAL, _LOOT, _GRANT = Proof.SIGNAL, Proof.LOOT, Proof.GRANT


def _process(row: int, id: str, title: str, program: str, **more: Any) -> Attempt:
    return Attempt(id=id, row=row, title=title, program=f"processes.{program}", **more)


def _kernel(row: int, id: str, title: str, program: str, *, rights: bool = True, **more: Any,
            ) -> Attempt:  # fmt: skip
    """Something the kernel may grant; mostly to root alone, and then only outside."""
    more.setdefault("proof", _GRANT)
    return Attempt(id=id, row=row, title=title, program=f"kernel.{program}", rights=rights, **more)


def _compat(row: int, id: str, title: str, program: str, **more: Any) -> Attempt:
    """By the 32-bit system calls, which have numbers of their own."""
    more.setdefault("proof", _GRANT)
    return Attempt(id=f"compat-{id}", row=row, title=f"{title}, 32-bit call",
                   program=f"compat.{program}", **more)  # fmt: skip


def _file(row: int, id: str, title: str, at: str, program: str = "write", **more: Any) -> Attempt:
    return Attempt(id=id, row=row, title=title, program=f"files.{program}", args={"at": at}, **more)


def _setting(id: str, path: str, **more: Any) -> Attempt:
    title = path.removeprefix("/proc/sys/").replace("/", ".") + " written"
    return _kernel(32, id, title, "setting", args={"path": path}, **more)


def _device(id: str, path: str, **more: Any) -> Attempt:
    return _kernel(49, id, f"{path} opened", "device", args={"path": path}, root_outside=True,
                   **more)  # fmt: skip


SYSTEM = (
    # other processes
    _process(26, "ptrace", "ptrace of a process outside", "trace", args={"slot": 0}),
    _process(26, "vm-write", "process_vm_writev", "write_memory", args={"slot": 1}),
    _process(26, "vm-read", "process_vm_readv", "read_memory", proof=_LOOT),
    _process(26, "proc-mem", "/proc/PID/mem", "memory_file", args={"slot": 2}),
    _process(26, "pidfd-getfd", "pidfd_getfd", "take_descriptor"),
    _process(26, "proc-fd", "/proc/PID/fd/N", "open_descriptor"),
    _process(26, "proc-environ", "/proc/*/environ and cmdline", "read_environment", proof=_LOOT),
    _process(26, "prlimit", "prlimit of a process outside", "limits_of_others", proof=_GRANT),
    _process(26, "signal", "a signal by process number", "send_signal", proof=_SIGNAL),
    _process(26, "signal-pidfd", "a signal through a pidfd", "send_signal_by_handle",
             proof=_SIGNAL),
    _process(26, "signal-group", "a signal to a group outside", "signal_group", proof=_SIGNAL),
    _process(26, "signal-ours", "a signal to processes with our names", "signal_named",
             args={"names": ["eg-standin"]}, proof=_SIGNAL),
    Attempt(id="inherited", row=27, title="a descriptor that was left open",
            program="files.inherited"),
    _process(28, "setns-net", "setns into the host's network", "enter_network", rights=True),
    _process(28, "setns-mnt", "setns into the host's mounts", "enter_mounts", rights=True),
    _process(28, "proc-root", "/proc/PID/root", "through_root"),
    _kernel(28, "by-handle", "open_by_handle_at past the mounts", "by_handle", root_outside=True),
    _kernel(28, "chroot", "chroot", "change_root"),
    # privileges
    _process(29, "setuid", "a set-user-id program", "privileged_helper", proof=_GRANT,
             root_outside=True),
    _process(29, "file-capabilities", "a program with file capabilities", "capable_helper",
             proof=_GRANT, root_outside=True),
    _kernel(30, "capabilities", "any of the five capability sets", "have_capabilities"),
    _kernel(30, "capset", "capset of CAP_NET_ADMIN", "raise_capabilities"),
    _kernel(30, "setgroups", "setgroups", "become_root", root_outside=True),
    _kernel(30, "mount", "mount", "mount"),
    _kernel(30, "umount", "unmount what hides the host", "unmask", root_outside=True),
    _kernel(30, "open-tree", "open_tree, a clone of the mounts", "new_mount"),
    *(_kernel(31, f"unshare-{name}", f"unshare of a {name} namespace", "unshare",
              args={"flags": flags}, rights=name != "user")
      for name, flags in (("user", 0x10000000), ("net", 0x40000000), ("mnt", 0x20000),
                          ("pid", 0x20000000))),
    _kernel(31, "clone-user", "user namespace by clone", "clone_user", rights=False),
    _kernel(31, "clone3-user", "user namespace by clone3", "clone3_user", rights=False),
    _kernel(31, "nested", "root in a user namespace, with raw sockets", "nested", rights=False),
    # network settings, as root inside would
    _kernel(36, "route", "a route to the outside", "route"),
    _kernel(36, "link", "a network device", "link"),
    _kernel(36, "veth", "a pair of devices, one end outside", "move_link"),
    _kernel(36, "address", "an address on lo", "address"),
    _kernel(36, "nft", "nft rules", "rules"),
    _kernel(36, "iptables", "iptables rules", "tables"),
    _kernel(36, "nft-netlink", "nft rules by netlink", "raw_netlink"),
    *(_kernel(7, f"netlink-{name}", f"netlink, {name}", "netlink", args={"protocol": number},
              rights=False, loads=name == "xfrm")
      for number, name in ((6, "xfrm"), (12, "netfilter"), (11, "connector"))),
    _kernel(7, "alg", "AF_ALG, the kernel's crypto", "family", args={"family": 38, "kind": 5},
            rights=False, loads=True),
    _kernel(7, "xdp", "AF_XDP, frames past the stack", "family", args={"family": 44}),
    _kernel(7, "bluetooth", "AF_BLUETOOTH", "family", args={"family": 31, "protocol": 1},
            loads=True),
    _kernel(7, "can", "AF_CAN", "family", args={"family": 29, "protocol": 1}, loads=True),
    _kernel(7, "kcm", "AF_KCM", "family", args={"family": 41, "kind": 5}, rights=False,
            loads=True),
    _compat(3, "uring", "io_uring_setup", "ring"),
    _compat(6, "vsock", "vsock", "family"),
    _compat(6, "socketcall", "vsock by socketcall", "multiplexed"),
    _compat(30, "umount", "umount without flags", "unmount", rights=True),
    *(_compat(31, call, f"user namespace by {call}", "user_namespace", args={"call": call})
      for call in ("unshare", "clone")),
    _compat(38, "tcp", "TCP to any port", "tcp", args={"port": 4444}, proof=Proof.ARRIVAL,
            event=Event.BLOCK),
    _compat(48, "keyring", "the session's keyring", "keyring"),
    # settings of the kernel
    _setting("core-pattern", "/proc/sys/kernel/core_pattern", root_outside=True),
    _setting("ip-forward", "/proc/sys/net/ipv4/ip_forward"),
    _setting("modprobe", "/proc/sys/kernel/modprobe", root_outside=True),
    _setting("overcommit", "/proc/sys/vm/overcommit_memory", root_outside=True),
    _kernel(32, "sysrq", "/proc/sysrq-trigger opened for writing", "writable",
            args={"path": "/proc/sysrq-trigger"}, root_outside=True),
    _kernel(32, "bpf", "bpf", "loaded", args={"call": "bpf"}, root_outside=True),
    _kernel(32, "perf", "perf_event_open", "loaded", args={"call": "perf_event_open"},
            root_outside=True),
    _kernel(32, "userfaultfd", "userfaultfd", "loaded", args={"call": "userfaultfd"},
            root_outside=True),
    _kernel(32, "module", "init_module", "loaded", args={"call": "init_module"}, root_outside=True),
    _kernel(32, "kernel-log", "the kernel's log by syslog(2)", "loaded", args={"call": "syslog"},
            root_outside=True),
    _kernel(32, "fanotify", "fanotify_init", "loaded", args={"call": "fanotify_init"},
            root_outside=True),
    _kernel(32, "acct", "acct", "loaded", args={"call": "acct"}, root_outside=True),
    # delayed execution
    _file(33, "cron", "a crontab", "cron"),
    _file(33, "at", "a job of at", "at"),
    Attempt(id="systemd-user", row=33, title="systemd --user by its private socket",
            program="local.stream", args={"socket": "systemd-user"}),
    Attempt(id="systemd-private", row=33, title="systemd by its private socket",
            program="local.stream", args={"socket": "systemd"}),
    # what is ours
    _file(44, "evidence-read", "the evidence read", "evidence", "read", proof=_LOOT, rights=True),
    _file(44, "evidence-write", "a line added to the evidence", "evidence", rights=True),
    _file(44, "registry", "the registry of jails read", "registry", "read", proof=_LOOT,
          rights=True),
    _file(44, "policy", "the policy file read", "policy", "read", proof=_LOOT, rights=True),
    Attempt(id="product", row=44, title="our own program files changed",
            program="files.change_product", proof=_GRANT, rights=True, root_outside=True),
    # terminals
    Attempt(id="tiocsti", row=47, title="TIOCSTI", program="files.type_ahead", proof=_GRANT,
            rights=True, root_outside=True),
    Attempt(id="tiocsti-wide", row=47, title="TIOCSTI, 64-bit request",
            program="files.type_ahead_wide", proof=_GRANT, rights=True, root_outside=True),
    Attempt(id="tioclinux", row=47, title="TIOCLINUX", program="files.paste", proof=_GRANT),
    Attempt(id="tiocsetd", row=47, title="TIOCSETD", program="files.discipline", proof=_GRANT),
    # IPC
    Attempt(id="sysv-queue", row=48, title="System V message queue", program="local.message_queue"),
    Attempt(id="sysv-memory", row=48, title="System V shared memory",
            program="local.shared_memory"),
    Attempt(id="sysv-semaphore", row=48, title="System V semaphore", program="local.semaphore",
            proof=_GRANT),
    Attempt(id="posix-queue", row=48, title="POSIX message queue", program="local.posix_queue"),
    _file(48, "dev-shm", "a file in /dev/shm", "shm"),
    _file(48, "tmp", "a file in /tmp", "drop-file"),
    Attempt(id="keyring", row=48, title="a key of the user's keyring", program="local.keyring",
            proof=_LOOT),
    Attempt(id="add-key", row=48, title="a key left in the keyring", program="local.add_key",
            proof=_GRANT),
    # devices
    _device("kmsg", "/dev/kmsg"),
    _device("mem", "/dev/mem"),
    _device("tun", "/dev/net/tun"),
    _device("kvm", "/dev/kvm"),
    _device("vsock-device", "/dev/vsock"),
    _device("fuse", "/dev/fuse"),
    _kernel(49, "disks", "any block device opened", "disks", root_outside=True),
    _kernel(49, "mknod", "mknod in /tmp", "node", root_outside=True),
    _kernel(49, "cgroup", "another control group", "control_group", root_outside=True),
    _kernel(49, "debugfs", "debugfs", "listing", args={"path": "/sys/kernel/debug"},
            root_outside=True),
    _kernel(49, "tracefs", "tracefs", "listing", args={"path": "/sys/kernel/tracing"},
            root_outside=True),
    _kernel(49, "net-devices", "the host's devices in /sys", "listing",
            args={"path": "/sys/class/net"}, rights=False),
)  # fmt: skip
