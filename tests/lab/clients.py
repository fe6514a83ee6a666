"""Unmodified HTTP clients as an agent would run them: a table, program by program.

Each entry makes an argument vector that fetches a URL with the client's own defaults and writes the
body to standard output. Nothing in them knows of a proxy or of an authority.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from tests.lab.host import Lab
from tests.lab.programs import search_path
from tests.lab.world import DEV_HOME

SITE = f"{DEV_HOME}/site"
"""Where `install_python_clients` puts requests, httpx and aiohttp for the lab's user."""
GO_CLIENT = f"{DEV_HOME}/bin/go-client"
PYTHON = "/usr/bin/python3"
"""The system's interpreter: what an agent finds, not the project's environment."""

_DISTRIBUTIONS = (
    *("requests", "urllib3", "idna", "certifi", "charset_normalizer"),
    *("httpx", "httpcore", "h11", "anyio", "sniffio", "typing_extensions"),
    *("aiohttp", "aiohappyeyeballs", "aiosignal", "attr", "attrs", "frozenlist"),
    *("multidict", "propcache", "yarl"),
)

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
    """Argument vector of Python code with the client libraries on its path."""
    start = f"import sys; sys.path.insert(0, {SITE!r}); url = sys.argv[1]\n"
    return [PYTHON, "-c", start + code, *arguments]


def _python_client(name: str) -> Callable[[str], list[str]]:
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
    if name in _PYTHON:
        if not Path(PYTHON).exists():
            return f"{PYTHON} is not installed"
        if name != "urllib" and importlib.util.find_spec(name) is None and not _site():
            return f"{name} is not installed: pip install -r requirements/clients.txt"
        return ""
    found = shutil.which(program, path=search_path() + ":/usr/local/go/bin")
    return "" if found else f"{program} is not installed"


def _site() -> Path | None:
    """Site directory of the environment that EGRESSGUARD_CLIENTS names, if it does."""
    root = os.environ.get("EGRESSGUARD_CLIENTS")
    return next(Path(root).glob("lib/python3.*/site-packages"), None) if root else None


def install_python_clients(lab: Lab) -> None:
    """Copy the client libraries where the lab's user can read them.

    They come from the environment EGRESSGUARD_CLIENTS names, or else from the running one.
    """
    target = lab.path(SITE)
    if target.exists():
        return
    target.mkdir(mode=0o755)
    site = _site()
    for name in _DISTRIBUTIONS:
        if site is not None:
            place: Path | None = site / name
        else:
            found = importlib.util.find_spec(name)
            origin = Path(found.origin) if found and found.origin else None
            place = origin.parent if origin and origin.name == "__init__.py" else origin
        if place is None or not (place.exists() or place.with_suffix(".py").exists()):
            continue
        if place.is_dir():
            shutil.copytree(place, target / name)
        else:
            shutil.copy(place.with_suffix(".py"), target)


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
