"""Unmodified HTTP clients as an agent would run them: a table, program by program.

Each entry makes an argument vector that fetches a URL with the client's own defaults and writes the
body to standard output. Nothing in them knows of a proxy or of an authority. Client libraries come
from an environment of their own, which scripts/test makes; tests/clients use it too.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from tests.lab.host import Lab
from tests.lab.programs import ROOT, LabError, clients_environment, search_path
from tests.lab.world import DEV_HOME

ENVIRONMENT = f"{DEV_HOME}/env"
"""Where the lab's user finds the environment of requirements/clients.txt and requirements/node."""
PROGRAMS = f"{DEV_HOME}/programs"
"""Where he finds tests/clients."""
LIBRARIES = f"{ENVIRONMENT}/bin/python"
"""An interpreter with the client libraries."""
NODE_PACKAGES = f"{ENVIRONMENT}/node/node_modules"
GO_CLIENT = f"{DEV_HOME}/bin/go-client"
PYTHON = "/usr/bin/python3"
"""The system's interpreter: what an agent finds, not the project's environment."""

_PYTHON = {
    "urllib": "import urllib.request; print(urllib.request.urlopen(url).read().decode())",
    "requests": "import requests; print(requests.get(url).text)",
    "httpx": "import httpx; print(httpx.get(url).text)",
    "aiohttp": (
        "import aiohttp, asyncio\n"
        "async def main():\n"
        "    async with aiohttp.ClientSession(trust_env=True) as session:\n"
        "        async with session.get(url) as response:\n"
        "            print(await response.text())\n"
        "asyncio.run(main())"
    ),
}
_NODE = {
    "node-fetch": "fetch(process.argv[1]).then(r => r.text()).then(t => console.log(t))",
    "node-https": (
        "require('https').get(process.argv[1], r => r.pipe(process.stdout))"
        ".on('error', e => { console.error(e); process.exit(1) })"
    ),
}
_GO = """package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	response, err := http.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	io.Copy(os.Stdout, response.Body)
}
"""
_OPENSSL = (
    "host=${1#https://}; path=/${host#*/}; host=${host%%/*}; "
    'printf "GET %s HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n" "$path" "$host" | '
    "openssl s_client -quiet -verify_return_error -verify 5 -ign_eof "
    '-connect "$host:443" -servername "$host"'
)


def python(code: str, *arguments: str) -> list[str]:
    """Argument vector of Python code with the client libraries."""
    return [LIBRARIES, "-c", "import sys; url = sys.argv[1]\n" + code, *arguments]


def _python_client(name: str) -> Callable[[str], list[str]]:
    if name == "urllib":  # the system's own, as an agent finds it
        return lambda url: [PYTHON, "-c", f"import sys; url = sys.argv[1]\n{_PYTHON[name]}", url]
    return lambda url: python(_PYTHON[name], url)


def _node_client(name: str) -> Callable[[str], list[str]]:
    return lambda url: ["node", "-e", _NODE[name], url]


CLIENTS: Mapping[str, Callable[[str], list[str]]] = MappingProxyType(
    {
        "curl": lambda url: ["curl", "-sS", "--fail", url],
        "wget": lambda url: ["wget", "-q", "-O", "-", url],
        **{name: _python_client(name) for name in _PYTHON},
        **{name: _node_client(name) for name in _NODE},
        "go": lambda url: [GO_CLIENT, url],
        "openssl": lambda url: ["sh", "-c", _OPENSSL, "sh", url],
    }
)
"""Name of a client -> function from a URL to its argument vector."""


def missing(name: str) -> str:
    """Why a client cannot run on this machine, or an empty text."""
    program = {"openssl": "openssl", "go": "go"}.get(name, name.partition("-")[0])
    if name == "urllib":
        return "" if Path(PYTHON).exists() else f"{PYTHON} is not installed"
    if name in _PYTHON:
        place = clients_environment()
        return "" if (place / ".complete").exists() else f"{place} is not there: run scripts/test"
    found = shutil.which(program, path=search_path() + ":/usr/local/go/bin")
    return "" if found else f"{program} is not installed"


def no_environment() -> str:
    """Why there are no client libraries, or an empty text."""
    place = clients_environment()
    if not (place / ".complete").exists():
        return f"{place} is not there: run scripts/test"
    return "" if any(place.glob("node/.complete-*")) else f"no Node packages in {place}/node"


def install_python_clients(lab: Lab) -> None:
    """Show the lab's user the clients' environment and tests/clients, read-only, once."""
    place = lab.path(ENVIRONMENT)
    if place.exists() or not (clients_environment() / ".complete").exists():
        return
    place.mkdir(mode=0o755)
    show = f"mount --bind {shlex.quote(str(clients_environment()))} {ENVIRONMENT}"
    shown = lab.run(["sh", "-c", f"{show} && mount -o remount,bind,ro {ENVIRONMENT}"])
    if shown.returncode:
        raise LabError(f"{show}: {shown.stderr.decode()}")
    shutil.copytree(ROOT / "tests" / "clients", lab.path(PROGRAMS))


def build_go_client(lab: Lab, scratch: Path) -> None:
    """Compile the Go client outside the lab (no network: it has no dependency) and put it in.

    :param scratch: an empty directory for the source
    :raises subprocess.CalledProcessError: when the toolchain fails
    """
    target = lab.path(GO_CLIENT)
    if target.exists():
        return
    (scratch / "main.go").write_text(_GO, "ascii")
    (scratch / "go.mod").write_text("module client\n\ngo 1.18\n", "ascii")
    place = search_path() + ":/usr/local/go/bin"
    program = shutil.which("go", path=place) or "go"
    settings = {"CGO_ENABLED": "0", "GOPROXY": "off", "GOFLAGS": "-mod=mod", "PATH": place}
    subprocess.run(
        [program, "build", "-o", str(scratch / "client"), "."],
        cwd=scratch,
        env={**os.environ, **settings, "GOTOOLCHAIN": "local"},
        check=True,
    )
    target.parent.mkdir(mode=0o755, exist_ok=True)
    shutil.copy(scratch / "client", target)
