"""Out by asking the kernel for more: devices, routes, namespaces, capabilities, settings."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct

from netns.escapes.programs.calls import LIBC, call, checked
from netns.escapes.task import Task

_NEWNS, _NEWUTS, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x10000000, 0x20000000, 0x40000000


def _ran(*argv: str, text: str = "") -> str:
    """Run a program of the system; raises PermissionError with its complaint."""
    import subprocess  # not at the top: it would make every other attempt slower

    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=3, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout or "refused").strip().splitlines()
        raise PermissionError(1, f"{argv[0]}: {lines[-1] if lines else 'refused'}")
    return done.stdout


def route(task: Task) -> str:
    """Add a route to the outside."""
    _ran("ip", "route", "add", "203.0.113.0/24", "via", task.world["neighbour4"])
    _ran("ip", "route", "del", "203.0.113.0/24")
    return task.gain("added")


def local_route(task: Task) -> str:
    """Delete the route that keeps packets here, then send."""
    _ran("ip", "route", "del", "local", "0.0.0.0/0", "dev", "lo")
    return task.gain("deleted")


def link(task: Task) -> str:
    """Make a network device."""
    _ran("ip", "link", "add", "egx0", "type", "veth", "peer", "name", "egx3")
    _ran("ip", "link", "del", "egx0")
    return task.gain("made")


def move_link(task: Task) -> str:
    """Make a pair of devices whose other end lies in the network of a process outside."""
    pid = str(task.world["victims"][str(os.getuid())]["pid"])
    _ran("ip", "link", "add", "egx1", "type", "veth", "peer", "name", "egx2", "netns", pid)
    _ran("ip", "link", "del", "egx1")
    return task.gain("made")


def address(task: Task) -> str:
    """Add an address to lo, so that answers of others come here."""
    _ran("ip", "addr", "add", "203.0.113.9/32", "dev", "lo")
    _ran("ip", "addr", "del", "203.0.113.9/32", "dev", "lo")
    return task.gain("added")


def rules(task: Task) -> str:
    """Change the packet filter with nft."""
    _ran("nft", "-f", "-", text="add table ip egx\ndelete table ip egx\n")
    return task.gain("changed")


def flush_rules(task: Task) -> str:
    """Flush our own table, as far as it is there, then send to another port."""
    _ran("nft", "flush", "ruleset")
    return task.gain("flushed")


def tables(task: Task) -> str:
    """Change the packet filter with iptables."""
    _ran("iptables", "-N", "EGX")
    _ran("iptables", "-X", "EGX")
    return task.gain("changed")


def raw_netlink(task: Task) -> str:
    """Talk to the packet filter without a program: NETLINK_NETFILTER."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as end:
        end.bind((0, 0))
        # NFNL_MSG_BATCH_BEGIN, NFT_MSG_NEWTABLE of "egx", NFNL_MSG_BATCH_END
        name = struct.pack("=HH", 8, 1) + b"egx\0"
        parts = [(16, b"\0\0\0\x0a"), (0x0A00, b"\x02\0\0\0" + name), (17, b"\0\0\0\x0a")]
        message = b""
        for number, (kind, body) in enumerate(parts):
            flags = 1 | 4 if kind == 0x0A00 else 1
            message += struct.pack("=IHHII", 16 + len(body), kind, flags, number, 0) + body
        end.settimeout(0.5)
        end.send(message)
        answer = end.recv(4096)
    number = struct.unpack_from("=i", answer, 16)[0]
    if number:
        raise OSError(-number, os.strerror(-number))
    with contextlib.suppress(OSError):
        _ran("nft", "delete", "table", "ip", "egx")
    return task.gain("changed")


def netlink(task: Task) -> str:
    """Open a netlink protocol that configures the kernel."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, task.args["protocol"]):
        return task.gain("the kernel gave a socket")


def family(task: Task) -> str:
    """Open a socket family that no namespace holds."""
    with socket.socket(task.args["family"], task.args.get("kind", 3), task.args.get("protocol", 0)):
        return task.gain("the kernel gave a socket")


# --- namespaces -------------------------------------------------------------------------------


def unshare(task: Task) -> str:
    """Make a namespace of some kind."""
    checked(LIBC.unshare(ctypes.c_int(task.args["flags"])), "unshare")
    return task.gain("made")


def clone_user(task: Task) -> str:
    """A user namespace by clone(2)."""
    number = 56 if os.uname().machine == "x86_64" else 220
    child = LIBC.syscall(
        ctypes.c_long(number), ctypes.c_ulong(_NEWUSER | 17), None, None, None, None
    )
    if child == 0:
        os._exit(0)
    os.waitpid(checked(child, "clone"), 0)
    return task.gain("made")


def clone3_user(task: Task) -> str:
    """A user namespace by clone3(2), whose flags no filter can read."""
    arguments = struct.pack("=11Q", _NEWUSER, 0, 0, 0, 17, *([0] * 6))
    child = call("clone3", ctypes.c_char_p(arguments), len(arguments))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return task.gain("made")


def nested(task: Task) -> str:
    """Be root in a user namespace of one's own, with a network, and send raw packets from it."""
    checked(LIBC.unshare(_NEWUSER | _NEWNET | _NEWNS), "unshare")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW):
        return task.gain("root over a network of its own")


# --- privileges -------------------------------------------------------------------------------


def raise_capabilities(task: Task) -> str:
    """Ask for the two capabilities that rule a network."""
    header = struct.pack("=Ii", 0x20080522, 0)
    data = struct.pack("=6I", 0x3000, 0x3000, 0, 0, 0, 0)  # CAP_NET_ADMIN, CAP_NET_RAW
    call("capset", ctypes.c_char_p(header), ctypes.c_char_p(data))
    return task.gain("granted")


def have_capabilities(task: Task) -> str:
    """Look at the five sets."""
    with open("/proc/self/status") as file:
        sets = {line.split()[0]: line.split()[1] for line in file if line.startswith("Cap")}
    held = {name for name, value in sets.items() if value.strip("0")}
    return task.gain(f"held: {sorted(held)}") if held else "five empty sets"


def become_root(task: Task) -> str:
    """setuid(2), setgid(2), setgroups(2)."""
    os.setgroups([0, 4242])
    return task.gain("granted")


def mount(task: Task) -> str:
    """Mount a file system."""
    checked(LIBC.unshare(_NEWNS), "unshare")
    LIBC.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
    checked(LIBC.mount(b"none", b"/", None, (1 << 18) | 16384, None), "mount")
    checked(LIBC.mount(b"egx", b"/mnt", b"tmpfs", 0, None), "mount")
    return task.gain("mounted")


def unmask(task: Task) -> str:
    """Take a mask away: unmount what hides the host."""
    LIBC.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
    done = 0
    checked(LIBC.unshare(_NEWNS), "unshare")
    LIBC.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
    checked(LIBC.mount(b"none", b"/", None, (1 << 18) | 16384, None), "mount")
    for place in (b"/tmp", b"/run", b"/dev/shm"):
        done += LIBC.umount2(place, 2) == 0
    return task.gain(f"{done} unmounted") if done else "none"


def new_mount(task: Task) -> str:
    """The younger mount calls: fsopen(2), open_tree(2)."""
    handle = call("open_tree", -100, ctypes.c_char_p(b"/"), 1)  # OPEN_TREE_CLONE
    os.close(handle)
    return task.gain("cloned")


def change_root(task: Task) -> str:
    """chroot(2)."""
    os.chroot("/usr")
    return task.gain("changed")


def by_handle(task: Task) -> str:
    """Open a file past the mounts: open_by_handle_at(2)."""
    buffer = struct.pack("=Ii", 8, 1) + bytes(8)
    root = os.open("/", os.O_RDONLY)
    try:
        call("open_by_handle_at", root, ctypes.c_char_p(buffer), 0)
    except OSError as error:
        if error.errno in {116, 22, 95}:  # ESTALE, EINVAL, EOPNOTSUPP: allowed, and not found
            return task.gain("allowed: any handle may be tried")
        raise
    return task.gain("opened")


def node(task: Task) -> str:
    """Make a device node for the disk and for kernel messages."""
    path = f"{task.args.get('folder', '/tmp')}/egx-{task.nonce.decode()}"  # noqa: S108
    os.mknod(path, 0o20600, os.makedev(1, 11))
    os.unlink(path)
    return task.gain("made")


def device(task: Task) -> str:
    """Open a device node. Nothing is read or written."""
    os.close(os.open(task.args["path"], task.args.get("flags", os.O_RDONLY) | os.O_NONBLOCK))
    return task.gain("opened")


def disks(task: Task) -> str:
    """Open any block device."""
    found = os.listdir("/sys/class/block")
    saw = "no node"
    for name in found:
        try:
            os.close(os.open(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK))
        except OSError as error:
            saw = os.strerror(error.errno or 0)
        else:
            return task.gain(f"{name} opened")
    return saw


# --- settings ---------------------------------------------------------------------------------


def setting(task: Task) -> str:
    """Open a global setting for writing and write what it says already."""
    path = task.args["path"]
    with open(path) as file:
        value = file.read()
    with open(path, "w") as file:
        file.write(value)
    return task.gain("written")


def writable(task: Task) -> str:
    """Open a file of the kernel for writing, and write nothing."""
    os.close(os.open(task.args["path"], os.O_WRONLY))
    return task.gain("opened")


def listing(task: Task) -> str:
    """Read a directory that tells of the machine."""
    found = os.listdir(task.args["path"])
    return task.gain(f"{len(found)} entries") if found else "empty"


def control_group(task: Task) -> str:
    """Put oneself into another control group."""
    for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        path = f"{top}/cgroup.procs"
        if os.path.exists(path):
            os.close(os.open(path, os.O_WRONLY))
            return task.gain("opened")
    raise FileNotFoundError(2, "no cgroup.procs")


def loaded(task: Task) -> str:
    """Ask for a system call that changes or reads the kernel; a fault of the arguments is a yes."""
    name = task.args["call"]
    arguments = {
        "bpf": (5, ctypes.create_string_buffer(128), 128),
        "perf_event_open": (
            ctypes.create_string_buffer(struct.pack("=II", 1, 112), 112),
            0,
            -1,
            -1,
            0,
        ),
        "userfaultfd": (0,),
        "init_module": (ctypes.create_string_buffer(64), 64, ctypes.c_char_p(b"")),
        "syslog": (10, None, 0),
        "fanotify_init": (0, 0),
        "acct": (ctypes.c_char_p(b"/nonexistent-egx"),),
        "quotactl": (0x800007 << 8, None, 0, None),
        "process_madvise": (-1, None, 0, 0, 0),
    }[name]
    try:
        result = call(name, *arguments)
    except OSError as error:
        if error.errno in {1, 13, 38}:  # EPERM, EACCES, ENOSYS
            raise
        return task.gain(f"allowed: {os.strerror(error.errno or 0)}")
    if name in {"bpf", "perf_event_open", "userfaultfd", "fanotify_init"}:
        os.close(result)
    return task.gain("allowed")
