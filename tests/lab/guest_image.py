"""The root of a virtual machine: Debian's cloud kernel, busybox, and this machine's Python.

Made of what is installed here: an interpreter is asked which files it has loaded, and ldd(1) which
libraries those need. It is the machine's first and only file system, in memory.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from netns.escapes import furniture
from tests.lab.daemon import unpacked

PYTHON: Final = "/usr/bin/python3"
RUNNER: Final = "/srv/bundle/netns/escapes/runner.py"

_MODULES: Final = ("virtio_pci", "virtio_net", "sctp", "dccp_ipv4", "dccp_ipv6")
_DEPENDS: Final = re.compile(rb"\0depends=([a-z0-9_,-]*)\0")
_IMPORTS: Final = "ssl, urllib.request, http.client, encodings.idna, json, ctypes, socket, hashlib"

# Imports what the guest runs; compiles it to files that are not checked against their sources,
# which takes a second less than compiling them in an emulated processor.
_LIST: Final = """
import importlib, json, os, py_compile, sys
sys.path.insert(0, {bundle!r})
import {imports}
names = [name[:-3] for name in os.listdir({programs!r}) if name.endswith(".py")]
for name in names:
    importlib.import_module("netns.escapes.programs." + name)
import netns.escapes.task
found = []
for module in list(sys.modules.values()):
    path = getattr(module, "__file__", None)
    if path and os.path.isfile(path):
        found.append(path)
cached = {{}}
for path in found:
    if path.endswith(".py"):
        made = os.path.join({cache!r}, str(len(cached)))
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(path, made, invalidation_mode=mode)
        cached[importlib.util.cache_from_source(path)] = made
print(json.dumps([found, cached, os.path.realpath(sys.executable)]))
"""

_INIT: Final = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in $(cat /lib/modules/order); do insmod /lib/modules/$module.ko; done
ip link set lo up
stty -F /dev/ttyS0 raw -echo
exec /bin/busybox setsid sh /start < /dev/ttyS0 > /dev/ttyS0 2> /dev/ttyS1
"""


class Image(NamedTuple):
    """What QEMU starts."""

    kernel: Path
    root: Path

    def command(self, memory: int = 256) -> list[str]:
        """QEMU without a network: the machine's first serial line is stdin and stdout."""
        return [
            *("qemu-system-x86_64", "-accel", "tcg", "-m", str(memory)),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-serial", "stdio", "-serial", "file:console.log"),
            *("-kernel", str(self.kernel), "-initrd", str(self.root)),
            *("-append", "console=ttyS1 quiet panic=-1 tsc=reliable no_timer_check"),
        ]


def missing() -> str:
    """Why there can be no virtual machine here, or an empty text."""
    if os.uname().machine != "x86_64":
        return "the machine's kernel and QEMU are x86-64's here"
    if shutil.which("qemu-system-x86_64", path="/usr/local/bin:/usr/bin:/bin") is None:
        return "QEMU is not installed: apt-get install qemu-system-x86"
    if busybox() is None:
        return "no busybox with udhcpc: apt-get install busybox-static"
    return "" if _kernels() else "no kernel for it: scripts/test unpacks one"


def busybox() -> Path | None:
    """The static busybox, unpacked or installed; Debian's other one has no udhcpc."""
    places = [unpacked("busybox-static"), Path("/")]
    for path in (place / folder / "busybox" for place in places for folder in ("bin", "usr/bin")):
        if path.exists():
            listed = subprocess.run([path, "--list"], stdout=subprocess.PIPE, check=False)
            if b"udhcpc" in listed.stdout.split():
                return path
    return None


def build(folder: Path, start: str, programs: Path | None = None) -> Image:
    """Make the root below `folder`, with `start` as what the machine does.

    Args:
        folder: an empty directory; kernel and root stay there.
        start: shell script; the first serial line is its stdin and stdout.
        programs: further modules for `netns.escapes.programs`.
    """
    kernel = _kernels()[-1]
    root = Archive()
    for name in ("bin", "dev", "proc", "sys", "tmp", "etc", "srv", "lib/modules", "root", "run"):
        root.directory(name)
    program = busybox()
    assert program is not None
    root.add("bin/busybox", program.read_bytes(), 0o755)
    root.add("init", _INIT.encode(), 0o755)
    root.add("start", start.encode(), 0o755)
    root.add("etc/nsswitch.conf", b"hosts: files dns\n")
    root.add("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")
    version = kernel.name.removeprefix("vmlinuz-")
    order = _modules(kernel.parents[1] / "lib" / "modules" / version)
    for name, content in order.items():
        root.add(f"lib/modules/{name}.ko", content)
    root.add("lib/modules/order", " ".join(order).encode())
    furniture.bundle(folder / "bundle")
    if programs is not None:
        for file in programs.glob("*.py"):
            shutil.copy(file, folder / "bundle" / "netns" / "escapes" / "programs")
    _python(root, folder)
    image = Image(folder / "vmlinuz", folder / "root.cpio")
    shutil.copy(kernel, image.kernel)
    image.root.write_bytes(root.finish())
    return image


def _kernels() -> list[Path]:
    """Kernels of Debian's cloud images, unpacked or installed, the newest last."""
    places = (Path("/boot"), unpacked("linux-image-cloud-amd64") / "boot")
    return [path for place in places for path in sorted(place.glob("vmlinuz-*-cloud-amd64"))]


def _modules(top: Path) -> dict[str, bytes]:
    """The modules and what they depend on, by name, in the order of loading."""
    files = {path.name.split(".")[0].replace("-", "_"): path for path in top.rglob("*.ko*")}
    order: dict[str, bytes] = {}

    def load(name: str) -> None:
        name = name.replace("-", "_")
        path = files.get(name)
        if path is None or name in order:
            return  # built in, or there already
        content = path.read_bytes()
        if path.suffix == ".xz":
            content = lzma.decompress(content)
        if found := _DEPENDS.search(content):
            for needed in filter(None, found[1].decode().split(",")):
                load(needed)
        order[name] = content

    for name in _MODULES:
        load(name)
    return order


def _python(root: Archive, folder: Path) -> None:
    bundle, cache = folder / "bundle", folder / "compiled"
    cache.mkdir()
    script = _LIST.format(
        bundle=str(bundle),
        imports=_IMPORTS,
        programs=str(bundle / "netns/escapes/programs"),
        cache=str(cache),
    )
    listed = subprocess.run(
        [PYTHON, "-I", "-S", "-B", "-c", script], check=True, stdout=subprocess.PIPE
    )
    found, compiled, interpreter = json.loads(listed.stdout)
    natives = [interpreter, *(path for path in found if path.endswith(".so"))]
    for path in {*found, *natives, *_libraries(natives)}:
        inside = path.removeprefix(str(folder)) if path.startswith(str(folder)) else ""
        mode = 0o755 if path in natives or ".so" in path else 0o644
        root.add(f"srv{inside}" if inside else path, Path(path).read_bytes(), mode)
    root.add(f"srv{RUNNER.removeprefix('/srv')}", (bundle / "netns/escapes/runner.py").read_bytes())
    for path, made in compiled.items():
        inside = path.removeprefix(str(folder)) if path.startswith(str(folder)) else ""
        root.add(f"srv{inside}" if inside else path, Path(made).read_bytes())
    root.link(PYTHON, interpreter)


def _libraries(natives: Iterable[str]) -> set[str]:
    """Shared libraries that programs and modules need, and the loader."""
    shown = subprocess.run(
        ["ldd", *natives, "/bin/true"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    found = set(re.findall(r"^\t(?:\S+ => )?(/\S+) \(0x", shown, re.MULTILINE))
    for name in ("libnss_dns.so.2", "libnss_files.so.2", "libgcc_s.so.1"):
        found |= {str(path) for path in Path("/lib").glob(f"*-linux-gnu/{name}")}
    return found


class Archive:
    """A cpio archive as the kernel unpacks it (its Documentation: initramfs buffer format)."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._made: set[str] = set()

    def directory(self, name: str) -> None:
        """Add a directory, and those above it."""
        for path in [*reversed(Path(name.strip("/")).parents), Path(name.strip("/"))]:
            text = str(path)
            if text != "." and text not in self._made:
                self._entry(text, stat.S_IFDIR | 0o755, b"")

    def add(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """Add a file; once."""
        name = name.strip("/")
        if name not in self._made:
            self.directory(str(Path(name).parent))
            self._entry(name, stat.S_IFREG | mode, content)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link, where there is no file."""
        if name.strip("/") not in self._made:
            self.directory(str(Path(name).parent))
            self._entry(name.strip("/"), stat.S_IFLNK | 0o777, target.encode())

    def finish(self) -> bytes:
        """Return the whole."""
        self._entry("TRAILER!!!", 0, b"")
        return b"".join(self._parts)

    def _entry(self, name: str, mode: int, content: bytes) -> None:
        self._made.add(name)
        path = name.encode() + b"\0"
        numbers = (len(self._made), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % number for number in numbers)
        self._parts += [head + path, bytes(-len(head + path) % 4)]
        self._parts += [content, bytes(-len(content) % 4)]
