"""Packages, packs and archives: made of files that are given, the same bytes each time."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence

from interceptor.scan.ruleset import example
from tests.false_alarms.items import Item

File = tuple[str, bytes]
_WHEN = (2026, 1, 1, 0, 0, 0)
_GIT = {
    **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (
        ("NAME", "Jane"), ("EMAIL", "jane@example.com"), ("DATE", "2026-01-01T00:00:00Z"))},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


def wheel(files: Sequence[File]) -> bytes:
    """A wheel, its RECORD of hashes included."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        record = []
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(f"pkg/{name}", _WHEN), data, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"pkg/{name},sha256={digest},{len(data)}")
        lines = "\n".join(record)
        archive.writestr(zipfile.ZipInfo("pkg-1.0.dist-info/RECORD", _WHEN), lines)
    return out.getvalue()


def tarball(files: Sequence[File], *, packed: bool = True) -> bytes:
    """A tarball, or a layer of a container's image."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files:
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0) if packed else out.getvalue()


def push(files: Sequence[File]) -> bytes:
    """What `git push` sends: a command, then a pack of two commits and all their objects."""
    with tempfile.TemporaryDirectory(prefix="false-alarms-") as folder:

        def git(*words: str, data: bytes = b"") -> bytes:
            environment = {"PATH": os.environ["PATH"], "HOME": folder, **_GIT}
            done = subprocess.run(
                ["git", "-C", folder, *words],
                input=data, capture_output=True, check=True, env=environment,
            )  # fmt: skip
            return done.stdout

        git("init", "-q", "--bare", "--initial-branch=main", ".")
        head = ""
        for part in (files[: len(files) // 2 + 1], files):
            blobs = [(git("hash-object", "-w", "--stdin", data=data), name) for name, data in part]
            names = {name.replace("/", "_"): blob.decode().strip() for blob, name in blobs}
            rows = "".join(f"100644 blob {blob}\t{name}\n" for name, blob in sorted(names.items()))
            tree = git("mktree", data=rows.encode()).decode().strip()
            parents = ["-p", head] if head else []
            head = git("commit-tree", tree, *parents, "-m", "Work").decode().strip()
        pack = git("pack-objects", "--stdout", "--revs", "-q", "--threads=1", data=head.encode())
    line = f"{'0' * 40} {head} refs/heads/main\0 report-status side-band-64k agent=git/2.39.5"
    return b"%04x%b0000" % (len(line) + 4, line.encode()) + pack


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _git(files: Sequence[File], name: str) -> Item:
    token = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], name).decode()
    fields = (
        ("Authorization", _basic("x-access-token", token)),
        ("Content-Type", "application/x-git-receive-pack-request"),
    )
    path = "/example/app.git/git-receive-pack"
    return Item(f"archive/push-{name}", "github.com", path, "POST", fields, push(files))


def _wheel(files: Sequence[File], name: str) -> Item:
    data = wheel(files)
    body = (
        b'--b9\r\nContent-Disposition: form-data; name=":action"\r\n\r\nfile_upload\r\n--b9\r\n'
        b'Content-Disposition: form-data; name="sha256_digest"\r\n\r\n'
        + hashlib.sha256(data).hexdigest().encode()
        + b'\r\n--b9\r\nContent-Disposition: form-data; name="content"; filename="pkg-1.0.whl"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n--b9--\r\n"
    )
    fields = (("Content-Type", "multipart/form-data; boundary=b9"),)
    return Item(f"archive/wheel-{name}", "packages.example.org", "/legacy/", "POST", fields, body)


def _published(files: Sequence[File], name: str) -> Item:
    data = tarball(files)
    attachment = {
        "content_type": "application/octet-stream",
        "data": base64.b64encode(data).decode(),
    }
    dist = {
        "integrity": "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode(),
        "shasum": hashlib.sha1(data).hexdigest(),  # noqa: S324 - as the format has it
    }
    body = json.dumps({"name": "app", "_attachments": {"app.tgz": attachment}, "dist": dist})
    fields = (("Content-Type", "application/json"),)
    return Item(
        f"archive/publish-{name}", "packages.example.org", "/app", "PUT", fields, body.encode()
    )


def _layer(files: Sequence[File], name: str) -> Item:
    data = tarball(files)
    path = f"/v2/app/blobs/uploads/u1?digest=sha256:{hashlib.sha256(data).hexdigest()}"
    fields = (("Content-Type", "application/octet-stream"),)
    return Item(f"archive/layer-{name}", "images.example.org", path, "PUT", fields, data)


def _plain_tar(files: Sequence[File], name: str) -> Item:
    fields = (("Content-Type", "application/x-tar"),)
    data = tarball(files, packed=False)
    return Item(f"archive/tar-{name}", "build.example.org", "/context", "POST", fields, data)


_MAKERS: tuple[Callable[[Sequence[File], str], Item], ...] = (
    *(_git, _wheel, _published, _layer, _plain_tar),
)


def archive(draw: random.Random, number: int, files: Sequence[File]) -> Item:
    """An archive of some of `files`, in the form in which it is published."""
    some = draw.sample(list(files), min(len(files), draw.randint(3, 12)))
    return _MAKERS[number % len(_MAKERS)](some, str(number))
