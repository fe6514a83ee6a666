"""Imports point down only. The table of docs/architecture.md, held over every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_CORE = {"verdict", "model", "policy", "scan", "decide", "flow", "wire"}

ROOMS: dict[str, set[str]] = {
    "verdict": set(),
    "model": {"verdict"},
    "policy": {"verdict", "model"},
    "rules": set(),
    "scan": {"verdict", "model", "policy", "rules"},
    "decide": {"verdict", "model", "policy", "scan", "wire"},
    "flow": {"verdict", "model", "policy", "scan", "decide", "wire"},
    "wire": {"verdict", "model"},
    "tls": {"verdict", "model"},
    "evidence": {"verdict", "model", "flow.steps"},
    "serve": _CORE | {"tls", "evidence"},
    "gateway": _CORE | {"tls", "evidence", "serve", "netns"},
    "kubernetes": {"verdict", "netns"},
    "containers": {"verdict", "gateway", "netns"},
    "mcp": _CORE | {"evidence", "netns"},
    "cli": _CORE
    | {"tls", "evidence", "serve", "gateway", "containers", "kubernetes", "mcp", "netns"},
    "netns": {"verdict"},
}
"""Room: what it may import of ours, besides itself. `flow.steps` allows that module alone."""

PURE = ("verdict", "model", "policy", "rules", "scan", "decide", "wire", "flow")
"""Rooms that get bytes, times and random numbers as arguments and touch nothing."""

# fmt: off
FORBIDDEN_IN_PURE = frozenset((
    "_socket", "asyncio", "concurrent", "ctypes", "fcntl", "http.client", "httptools", "logging",
    "multiprocessing", "netfilterqueue", "os", "pathlib", "pyroute2", "random", "scapy",
    "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver", "ssl",
    "subprocess", "tempfile", "threading", "time", "urllib.request", "uuid", "uvloop",
))
# fmt: on

EXCEPTIONS = {
    "interceptor/policy/loading.py": {"pathlib"},  # reads the policy file
    "interceptor/scan/cache.py": {"pathlib"},  # reads and writes the compiled database
    "interceptor/scan/engine.py": {"pathlib"},  # names the type of the folder it hands to cache.py
    "interceptor/scan/database.py": {"pathlib"},  # the same
    "interceptor/scan/injection/rules.py": {"pathlib"},  # the same
    "interceptor/scan/injection/scanner.py": {"pathlib"},  # the same
    "interceptor/scan/plan.py": {"pathlib"},  # the same
    "interceptor/scan/ruleset.py": {"pathlib"},  # the same
}


def modules(tree: Path) -> Iterator[Path]:
    for package in ("interceptor", "netns"):
        yield from sorted((tree / package).rglob("*.py"))


def room_of(name: str) -> str | None:
    """Room of a dotted module name; None when it is not ours, "" for `interceptor` itself."""
    first, _, rest = name.partition(".")
    if first == "netns":
        return "netns"
    if first == "interceptor":
        return rest.partition(".")[0]
    return None


def imports(path: Path, tree: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, those inside functions and by name string included."""
    package = path.relative_to(tree).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package[: len(package) - node.level]
                base = ".".join((*parent, base) if base else parent)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and _name_of(node.func) in {"import_module", "__import__"}:
            argument = node.args[0] if node.args else None
            constant = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            yield node.lineno, str(argument.value) if constant else "(computed)"  # type: ignore[union-attr]


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def within(name: str, allowed: str) -> bool:
    return name == allowed or name.startswith(f"{allowed}.")


def faults(tree: Path) -> list[str]:
    """Every import that the table forbids, as `file:line: what`."""
    found: list[str] = []
    for path in modules(tree):
        file = str(path.relative_to(tree))
        own = room_of(".".join(path.relative_to(tree).with_suffix("").parts)) or ""
        if own in {"__init__", ""}:
            own = ""  # interceptor/__init__.py: may import nothing of ours
        elif own not in ROOMS:
            found.append(f"{file}: room {own!r} is not in the table")
            continue
        for line, name in imports(path, tree):
            fault = _fault(own, file, name)
            if fault:
                found.append(f"{file}:{line}: {fault}")
    return found


def _fault(own: str, file: str, name: str) -> str:
    if own in PURE:
        excepted = EXCEPTIONS.get(file, set())
        for banned in FORBIDDEN_IN_PURE - excepted:
            if within(name, banned):
                return f"{own} is pure and imports {name}"
        if name == "(computed)":
            return f"{own} is pure and imports a computed name"
    room = room_of(name)
    if room is None or room == own:
        return ""
    if room == "__version__":
        return ""
    if room == "":
        return "" if own == "cli" else f"{own or 'interceptor'} imports {name}"
    ours = name.removeprefix("interceptor.")
    if any(within(ours, allowed) for allowed in ROOMS.get(own, set())):
        return ""
    return f"{own or 'interceptor'} may not import {name}"


def test_every_import_points_down() -> None:
    assert not faults(ROOT), "\n".join(faults(ROOT))


def test_the_table_has_no_cycle() -> None:
    seen: set[str] = set()
    open_rooms = set(ROOMS)
    while open_rooms:
        free = {
            room
            for room in open_rooms
            if {needed.partition(".")[0] for needed in ROOMS[room]} <= seen
        }
        assert free, f"a cycle among {sorted(open_rooms)}"
        seen |= free
        open_rooms -= free


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("interceptor/wire/dns.py", "from interceptor.decide import judge", "wire may not import"),
        ("interceptor/wire/dns.py", "import interceptor.flow.steps", "wire may not import"),
        ("interceptor/wire/dns.py", "from ..decide import judge", "wire may not import"),
        ("interceptor/verdict.py", "from . import model", "verdict may not import"),
        ("interceptor/flow/a.py", "import socket", "flow is pure and imports socket"),
        ("interceptor/flow/a.py", "import os.path", "flow is pure and imports os.path"),
        ("interceptor/flow/a.py", "from time import monotonic", "imports time.monotonic"),
        ("interceptor/flow/a.py", "def f():\n    import asyncio", "a.py:2: flow is pure"),
        ("interceptor/scan/a.py", "from urllib import request", "imports urllib.request"),
        ("interceptor/scan/window.py", "from pathlib import Path", "scan is pure"),
        ("interceptor/decide/a.py", "__import__('socket')", "imports socket"),
        ("interceptor/decide/a.py", "m = f()\nimport_module(m)", "a computed name"),
        ("interceptor/serve/a.py", "import interceptor.cli.main", "serve may not import"),
        ("interceptor/evidence/a.py", "from interceptor.flow import names", "evidence may not"),
        ("interceptor/evidence/a.py", "from interceptor.serve import tcp", "evidence may not"),
        ("netns/a.py", "from interceptor.model import Origin", "netns may not import"),
        ("interceptor/tls/a.py", "import netns.trust", "tls may not import netns.trust"),
        ("interceptor/__init__.py", "import interceptor.verdict", "may not import"),
        ("interceptor/attic/a.py", "", "'attic' is not in the table"),
        ("interceptor/decide/a.py", "from interceptor import cli", "decide may not import"),
        ("interceptor/flow/a.py", "if TYPE_CHECKING:\n    import ssl", "flow is pure"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, text: str, expected: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    (found,) = faults(tmp_path)
    assert found.startswith(file)
    assert expected in found


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("interceptor/flow/a.py", "from interceptor.wire import http1\nimport re, json, hashlib"),
        ("interceptor/evidence/a.py", "from interceptor.flow.steps import Record\nimport os, time"),
        ("interceptor/policy/loading.py", "from pathlib import Path"),
        (
            "interceptor/cli/a.py",
            "import interceptor, netns.captive\nfrom interceptor import serve",
        ),
        ("netns/a.py", "import os, socket\nfrom interceptor.verdict import Reason\nimport netns.b"),
        ("interceptor/scan/a.py", "import importlib.resources\nimport osteology, timezone"),
    ],
)
def test_what_is_allowed_is_not_reported(tmp_path: Path, file: str, text: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert faults(tmp_path) == []
