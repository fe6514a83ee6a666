"""A package index with one installable package: /simple/ (PEP 503) and /packages/.

`pip download --index-url https://index.example.com/simple/ lab-demo` works against it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import zipfile

from tests.lab.web_server import Exchange

PACKAGE, VERSION = "lab-demo", "1.0"
WHEEL = "lab_demo-1.0-py3-none-any.whl"


@functools.cache
def wheel() -> bytes:
    """A pure wheel with one module, the same bytes every time."""
    info = "lab_demo-1.0.dist-info"
    files = {
        "lab_demo.py": b'GREETING = "hello from the lab"\n',
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: lab-demo\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{name},{_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data)
    return packed.getvalue()


def _digest(data: bytes) -> str:
    raw = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "sha256=" + raw.decode().rstrip("=")


async def answer(exchange: Exchange) -> None:
    """Index of all packages, of one package, or a file."""
    path = exchange.path
    if path == f"/packages/{WHEEL}":
        await exchange.reply(wheel(), "application/octet-stream")
        return
    if path == "/simple/":
        links = f'<a href="/simple/{PACKAGE}/">{PACKAGE}</a>'
    elif path == f"/simple/{PACKAGE}/":
        digest = hashlib.sha256(wheel()).hexdigest()
        links = f'<a href="/packages/{WHEEL}#sha256={digest}">{WHEEL}</a>'
    else:
        await exchange.reply(b"not in this index\n", status=404)
        return
    page = f"<!doctype html><html><body>{links}</body></html>\n"
    await exchange.reply(page.encode(), "text/html")
