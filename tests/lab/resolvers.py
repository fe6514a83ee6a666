"""Programs that resolve names, each with a resolver of its own: a table, program by program.

Each entry is a shell command that prints the addresses of `$1`, for both families.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.lab.host import Lab
from tests.lab.programs import search_path
from tests.lab.world import DEV_HOME

BIN = f"{DEV_HOME}/resolvers"
_PLACES = search_path() + ":/usr/local/go/bin"
_MUSL = Path("/var/lib/egressguard/servers/musl-dev/usr")

_GO = """package main

import (
	"context"
	"fmt"
	"net"
	"os"
)

func main() {
	resolver := &net.Resolver{PreferGo: true}
	found, err := resolver.LookupHost(context.Background(), os.Args[1])
	fmt.Println(found, err)
}
"""
_JAVA = """import java.net.InetAddress;

class Resolve {
    public static void main(String[] arguments) {
        try {
            for (InetAddress found : InetAddress.getAllByName(arguments[0])) {
                System.out.println(found.getHostAddress());
            }
        } catch (java.net.UnknownHostException error) {
            System.out.println("unknown");
        }
    }
}
"""
_C = """#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int count, char **words) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int error = count < 2 ? EAI_NONAME : getaddrinfo(words[1], 0, &hints, &found);
    if (error) {
        puts(gai_strerror(error));
        return 0;
    }
    for (; found; found = found->ai_next) {
        char text[64];
        getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST);
        puts(text);
    }
}
"""
_PYTHON = (
    "import socket, sys\\n"
    "try: print({i[4][0] for i in socket.getaddrinfo(sys.argv[1], 443)})\\n"
    "except socket.gaierror as error: print(error)"
)
_LOOKUP = (
    'require("dns").lookup(process.argv[1], {all: true}, (error, found) => '
    "console.log(error ? error.code : found.map(one => one.address)))"
)
_C_ARES = (
    'const dns = require("dns").promises; Promise.allSettled([dns.resolve4(process.argv[1]), '
    "dns.resolve6(process.argv[1])]).then(all => console.log(all.map(one => "
    "one.value || one.reason.code)))"
)

RESOLVERS: Mapping[str, str] = MappingProxyType(
    {
        "dig": 'dig +short +tries=1 "$1" A "$1" AAAA',
        "nslookup": 'nslookup "$1"',
        "glibc": 'getent ahosts "$1"',
        "python": f"printf '{_PYTHON}' | python3 - \"$1\"",
        "node": f"node -e '{_LOOKUP}' \"$1\"",
        "c-ares": f"node -e '{_C_ARES}' \"$1\"",
        "go": f'{BIN}/go "$1"',
        "java": f'java -XX:TieredStopAtLevel=1 -cp {BIN} Resolve "$1"',
        "musl": f'{BIN}/musl "$1"',
    }
)
_NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "glibc": ("getent",),
        "python": ("python3",),
        "c-ares": ("node",),
        "java": ("java", "javac"),
        "musl": ("gcc",),
    }
)


def missing(name: str) -> str:
    """Why a resolver cannot be tried on this machine, or an empty text."""
    for program in _NEEDED.get(name, (name,)):
        if shutil.which(program, path=_PLACES) is None:
            return f"{program} is not installed"
    if name == "musl" and not any(_MUSL.glob("lib/*-linux-musl/libc.a")):
        return f"{_MUSL} is not there: run scripts/test as root"
    return ""


def build(lab: Lab, scratch: Path) -> None:
    """Compile what has to be, outside of the lab and without a network, and put it in.

    :param scratch: an empty directory
    :raises subprocess.CalledProcessError: when a compiler fails
    """
    target = lab.path(BIN)
    target.mkdir(mode=0o755, exist_ok=True)
    if not missing("go"):
        (scratch / "main.go").write_text(_GO, "ascii")
        (scratch / "go.mod").write_text("module resolver\n\ngo 1.18\n", "ascii")
        _run(scratch, "go", "build", "-o", str(target / "go"), ".")
    if not missing("java"):
        (scratch / "Resolve.java").write_text(_JAVA, "ascii")
        _run(scratch, "javac", "-d", str(target), "Resolve.java")
    if not missing("musl"):
        (scratch / "resolve.c").write_text(_C, "ascii")
        (library,) = (place.parent for place in _MUSL.glob("lib/*-linux-musl/libc.a"))
        headers = _MUSL / "include" / library.name
        runtime = subprocess.check_output(["gcc", "-print-libgcc-file-name"], text=True).strip()
        parts = [str(library / part) for part in ("crt1.o", "crti.o")]
        ends = [str(library / "libc.a"), runtime, str(library / "crtn.o")]
        flags = ["-static", "-nostdinc", "-isystem", str(headers), "-nostdlib"]
        _run(scratch, "gcc", *flags, *parts, "resolve.c", *ends, "-o", str(target / "musl"))


def _run(scratch: Path, *words: str) -> None:
    settings = {"CGO_ENABLED": "0", "GOPROXY": "off", "GOFLAGS": "-mod=mod", "PATH": _PLACES}
    environment = {**os.environ, **settings, "GOTOOLCHAIN": "local"}
    program = shutil.which(words[0], path=_PLACES) or words[0]
    subprocess.run([program, *words[1:]], cwd=scratch, env=environment, check=True)
