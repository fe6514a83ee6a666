"""The exec gate: the last program before the agent, inside the jail, as the agent's user.

It looks at the jail from the inside, reports what it sees, and waits. Only when the supervisor has
judged the report (`netns.selftest`) and sent the command does the agent's program take its place.
If the supervisor goes away first, nothing is run.

It is shown in the jail as a file of its own, run by `python3 -I -S` before the agent could write
anything, and imports nothing but built-in modules: it must take few milliseconds.

Arguments, in order: descriptors of the control socket and of the agent's stdin, stdout and stderr;
1 when the agent has a terminal; addresses to probe, separated by commas; 1 to expect the TCP
listener; name to ask DNS for, or empty; directories to make, separated by colons; the descriptor
of a tap that the program gets, or -1.

Control socket: one line of JSON out; then in, four bytes of length (big endian) and a body
of NUL-separated strings: working directory, count of arguments, arguments, NAME=VALUE. The
socket is close-on-exec: its end without a line means that the agent's program has started.
"""

# ruff: noqa: PTH102, PTH110, PTH115, PTH208, S606
# (importing pathlib takes longer than the whole gate)
from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os
import stat
import sys

_CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_PRIVATE = ("/run", "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
_READ_ONLY = ("/", "/sys", "/proc/sys", "/proc/irq", "/proc/bus", "/proc/sysrq-trigger")
_QUIET_PORT = 9  # discard: nothing ever listens there

_ERRORS = {
    1: "EPERM",
    13: "EACCES",
    97: "EAFNOSUPPORT",
    99: "EADDRNOTAVAIL",
    101: "ENETUNREACH",
    104: "ECONNRESET",
    110: "ETIMEDOUT",
    111: "ECONNREFUSED",
    113: "EHOSTUNREACH",
}


def dumped(value: object) -> str:
    """Return JSON for what reports hold: dict, list, str, int, bool. Importing json costs 8 ms."""
    if isinstance(value, dict):
        return "{" + ",".join(dumped(str(k)) + ":" + dumped(v) for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(dumped, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    plain = str(value).encode("ascii", "backslashreplace").decode("ascii")
    out = ""
    for char in plain:
        if char in '"\\':
            out += "\\" + char
        elif char < " " or char == "\x7f":
            out += f"\\u{ord(char):04x}"
        else:
            out += char
    return f'"{out}"'


def errno_name(number: int | None) -> str:
    """Return the symbol of an errno the probes can meet, or its number as text."""
    return _ERRORS.get(number or 0, str(number))


def status() -> dict[str, str]:
    """Return the lines of /proc/self/status that say what this process may do."""
    wanted = (*_CAPABILITY_SETS, "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups")
    found = {}
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        for line in lines:
            key, _, value = line.partition(":")
            if key in wanted:
                found[key] = " ".join(value.split())
    return found


def descriptor_kind(fd: int) -> str:
    """Return what a descriptor is: file, pipe, terminal, null, socket, directory, other."""
    mode = os.fstat(fd)
    kind = stat.S_IFMT(mode.st_mode)
    if kind == stat.S_IFCHR:
        if os.isatty(fd):
            return "terminal"
        # 1:3 null, 1:5 zero, 1:7 full, 1:8 random, 1:9 urandom (Linux, admin-guide/devices.txt)
        harmless = os.major(mode.st_rdev) == 1 and os.minor(mode.st_rdev) in (3, 5, 7, 8, 9)
        return "null" if harmless else "device"
    names = {
        stat.S_IFREG: "file",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFDIR: "directory",
    }
    return names.get(kind, "other")


def descriptors(own: tuple[int, ...]) -> dict[int, str]:
    """Return the open descriptors above 2 that are not in `own`, with what they are."""
    found = {}
    for text in os.listdir("/proc/self/fd"):
        fd = int(text)
        if fd > 2 and fd not in own:
            try:
                found[fd] = descriptor_kind(fd)
            except OSError:
                continue  # the listing's own descriptor
    return found


def foreign_sockets() -> list[str]:
    """Return the unix sockets in the private directories; there must be none yet."""
    found = []
    for top in _PRIVATE:
        try:
            device = os.lstat(top).st_dev
        except OSError:
            continue
        pending = [top]
        while pending:
            try:
                entries = list(os.scandir(pending.pop()))
            except OSError:
                continue
            for entry in entries:
                try:
                    about = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISSOCK(about.st_mode):
                    found.append(entry.path)
                elif stat.S_ISDIR(about.st_mode) and about.st_dev == device:
                    pending.append(entry.path)
    return found


def interfaces() -> list[str]:
    """Return the names of the network devices of this namespace, from /proc/net/dev."""
    with open("/proc/self/net/dev", encoding="ascii", errors="replace") as lines:
        return [line.split(":")[0].strip() for line in list(lines)[2:]]


def family_of(address: str) -> int:
    """Return the address family of an address literal."""
    return _socket.AF_INET6 if ":" in address else _socket.AF_INET


def udp_outcome(address: str, port: int) -> str:
    """Send a datagram to a port nobody serves; return the errno that refuses it."""
    sock = _socket.socket(family_of(address), _socket.SOCK_DGRAM)
    try:
        sock.settimeout(0.3)
        sock.connect((address, port))
        sock.send(b"egressguard self-test")
        sock.recv(1)
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno_name(error.errno)
    finally:
        sock.close()
    return "answered"


def tcp_outcome(address: str, port: int) -> str:
    """Connect to an address; return `connected`, `timeout` or the errno."""
    sock = _socket.socket(family_of(address), _socket.SOCK_STREAM)
    try:
        sock.settimeout(1.0)
        sock.connect((address, port))
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno_name(error.errno)
    finally:
        sock.close()
    return "connected"


def dns_outcome(address: str, name: str) -> str:
    """Ask `address` for the A record of `name`; return `answered`, `empty`, `timeout`, errno."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    head = os.urandom(2) + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"  # RFC 1035 section 4.1.1
    sock = _socket.socket(family_of(address), _socket.SOCK_DGRAM)
    try:
        sock.settimeout(1.5)
        sock.connect((address, 53))
        sock.send(head + labels + b"\x00\x00\x01\x00\x01")
        answer = sock.recv(4096)
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno_name(error.errno)
    finally:
        sock.close()
    ours = len(answer) >= 12 and answer[:2] == head[:2] and answer[2] & 0x80
    return "answered" if ours and answer[6:8] != b"\0\0" else "empty"


def namespaces() -> dict[str, str]:
    """Return the identity of every namespace this process is in."""
    found = {}
    for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        try:
            found[kind] = os.readlink("/proc/self/ns/" + kind)
        except OSError:
            continue
    return found


def text_of(path: str) -> str:
    """Return the start of a small file, or why it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(4096)
    except OSError as error:
        return "unreadable: " + errno_name(error.errno)


def read_only(path: str) -> bool:
    """Say whether the mount at `path` is read-only, or the path is not there at all."""
    try:
        return bool(os.statvfs(path).f_flag & 1)
    except OSError:
        return True


def controlling_terminal() -> bool:
    """Say whether this session has one. It must not: it would be the operator's."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def observe(
    own: tuple[int, ...], stdio: tuple[int, ...], addresses: list[str], tcp: str, name: str
) -> dict[str, object]:
    """Return the report: what this jail is like from the inside."""
    return {
        "status": status(),
        "ids": {"uid": list(os.getresuid()), "gid": list(os.getresgid())},
        "groups": os.getgroups(),
        "namespaces": namespaces(),
        "pid": os.getpid(),
        "hostname": os.uname().nodename,
        "stdio": [descriptor_kind(fd) for fd in stdio],
        "descriptors": descriptors(own),
        "controlling_terminal": controlling_terminal(),
        "interfaces": interfaces(),
        "resolver": text_of("/etc/resolv.conf"),
        "sockets": foreign_sockets(),
        "read_only": {path: read_only(path) for path in _READ_ONLY},
        "udp": {address: udp_outcome(address, _QUIET_PORT) for address in addresses},
        "tcp": {address: tcp_outcome(address, 443) for address in addresses} if tcp == "1" else {},
        "dns": {address: dns_outcome(address, name) for address in addresses} if name else {},
    }


def received(control: int, size: int) -> bytes:
    """Read exactly `size` bytes, or leave: a closed gate runs nothing."""
    data = b""
    while len(data) < size:
        piece = os.read(control, size - len(data))
        if not piece:
            os._exit(1)
        data += piece
    return data


def candidates(program: str, path: str) -> list[str]:
    """Return the files that `program` may be, as execvp(3) searches them."""
    if "/" in program:
        return [program]
    return [(folder or ".") + "/" + program for folder in path.split(":")] if program else []


def start(argv: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Become the agent's program; return only on failure, with exit code and message.

    126 for a program that is there and cannot be executed, 127 for one that is not: POSIX, Shell
    Command Language, 2.8.2.
    """
    failure = 127, f"{argv[0]}: command not found"
    for path in candidates(argv[0], environment.get("PATH", "/usr/bin:/bin")):
        try:
            try:
                os.execve(path, argv, environment)
            except OSError as error:
                if error.errno != 8:  # ENOEXEC: a script without an interpreter line
                    raise
                os.execve("/bin/sh", ["sh", path, *argv[1:]], environment)
        except FileNotFoundError:
            if os.path.exists(path):
                failure = 126, f"{path}: its interpreter does not exist"
        except NotADirectoryError:
            continue
        except OSError as error:
            if os.path.exists(path):  # not: a folder of PATH that cannot be searched
                failure = 126, f"{path}: cannot be executed: {error.strerror}"
        except ValueError as error:
            failure = 126, f"{path}: {error}"
    return failure


def send(control: int, report: dict[str, object]) -> None:
    """Write one report line whole."""
    data = dumped(report).encode("ascii") + b"\n"
    while data:
        data = data[os.write(control, data) :]


def main(arguments: list[str]) -> None:
    """Observe, report, wait, become the agent."""
    control, *stdio = map(int, arguments[:4])
    terminal, addresses, tcp, name, folders, cable = arguments[4:10]
    for fd in (control, *stdio):
        os.set_inheritable(fd, False)  # noqa: FBT003
    for folder in folders.split(":"):
        if folder:
            os.mkdir(folder, 0o700)
    own = (control, *stdio, int(cable))
    send(control, observe(own, tuple(stdio), addresses.split(","), tcp, name))
    body = received(control, int.from_bytes(received(control, 4), "big"))
    cwd, count, *rest = os.fsdecode(body).split("\0")
    argv, settings = rest[: int(count)], rest[int(count) :]
    os.setsid()
    if terminal == "1":
        import fcntl
        import termios

        fcntl.ioctl(next(fd for fd in stdio if os.isatty(fd)), termios.TIOCSCTTY, 0)
    for number, fd in enumerate(stdio):
        os.dup2(fd, number)
    # Python ignores these two; programs expect the default.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
    try:
        os.chdir(cwd)
    except OSError as error:
        code, message = 126, f"{cwd}: cannot be the working directory: {error.strerror}"
    else:
        code, message = start(argv, dict(item.split("=", 1) for item in settings))
    send(control, {"code": code, "error": message})
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
