"""A git repository over smart HTTP: /git/demo.git, served by `git http-backend` as CGI."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from tests.lab.web_server import Exchange
from tests.lab.world import STATE

ROOT = Path(STATE) / "git"
FILES = {"README.md": b"A repository of the lab.\n", "data.bin": bytes(range(256)) * 4096}
_WHO = {
    "GIT_AUTHOR_NAME": "Lab",
    "GIT_AUTHOR_EMAIL": "lab@example.com",
    "GIT_COMMITTER_NAME": "Lab",
    "GIT_COMMITTER_EMAIL": "lab@example.com",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "PATH": os.defpath,
}


def make_repository() -> None:
    """Create /git/demo.git with one commit on `main`, unless it is there."""
    bare = ROOT / "demo.git"
    if bare.exists():
        return
    tree = ROOT / "tree"
    tree.mkdir(parents=True)
    for name, data in FILES.items():
        (tree / name).write_bytes(data)
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["commit", "-q", "-m", "First"],
        ["clone", "-q", "--bare", ".", str(bare)],
    ):
        subprocess.run(["git", *command], cwd=tree, env=_WHO, check=True)


async def answer(exchange: Exchange) -> None:
    """Run the CGI program on one request (RFC 3875) and pass on its answer."""
    make_repository()
    request = exchange.request
    body = bytearray()
    async for piece in exchange.body():
        body += piece
    environment = {
        **_WHO,
        "GIT_PROJECT_ROOT": str(ROOT),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROTOCOL": request.field("git-protocol"),
        "REQUEST_METHOD": request.method,
        "PATH_INFO": exchange.path.removeprefix("/git"),
        "QUERY_STRING": request.target.partition("?")[2],
        "CONTENT_TYPE": request.field("content-type"),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": request.field("content-encoding"),
        "REMOTE_ADDR": request.source,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    program = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    output, _ = await program.communicate(bytes(body))
    head, _, content = output.partition(b"\r\n\r\n")
    fields = [line.partition(": ")[::2] for line in head.decode("latin-1").split("\r\n")]
    status = next((int(value[:3]) for key, value in fields if key == "Status"), 200)
    rest = [(key, value) for key, value in fields if key not in ("Status", "Content-Length")]
    exchange.head(status, [*rest, ("Content-Length", str(len(content)))])
    if request.method != "HEAD":
        await exchange.send(content)
