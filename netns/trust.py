"""Trust in the jail's authority, for every runtime: files mounted in the jail, and variables.

Nothing is installed on the host. Files that programs read by default are covered, in the jail only,
with a bundle that holds the host's roots and the jail's authority; variables serve the runtimes
that bring roots of their own. Where a variable adds, it names the authority alone; where it
replaces, it names the merged bundle.
"""
# ruff: noqa: PTH112, PTH113, PTH115, PTH120, PTH207
# (paths stay text, as the kernel and bwrap take them)

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from netns import trust_formats, trust_nss
from netns.late_sockets import inside
from netns.mounts import Bind, Data, Mount, Sealed, Symlink, Tmpfs

AUTHORITY = "/run/egressguard/authority.pem"
"""The jail's authority alone, inside the jail."""
BUNDLE = "/run/egressguard/ca-bundle.pem"
"""The host's roots and the authority, inside the jail."""
KEY_STORE = "/run/egressguard/cacerts"
"""The same for Java, where no JDK was found whose own store could be covered."""

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",  # Alpine
    "/etc/ssl/certs/ca-bundle.crt",  # NixOS
    "/usr/lib/ssl/cert.pem",
    "/usr/local/ssl/cert.pem",
)
"""Files that programs read by default, and that hold the host's roots."""

HASHED = "/etc/ssl/certs"
"""OpenSSL's directory of certificates under their subject hashes."""

_PYTHON_BUNDLES = ("certifi", "pip/_vendor/certifi", "botocore")
_JAVA = (
    "/etc/ssl/certs/java/cacerts",
    "/etc/pki/java/cacerts",
    "/usr/lib/jvm/*/lib/security/cacerts",
    "/usr/lib/jvm/*/jre/lib/security/cacerts",
    "/opt/*/lib/security/cacerts",
    "~/.sdkman/candidates/java/*/lib/security/cacerts",
    "~/.jdks/*/lib/security/cacerts",
    "~/.gradle/jdks/*/lib/security/cacerts",
)


class Runtime(NamedTuple):
    """How one runtime comes to trust the authority. docs and `doctor` print these rows."""

    name: str
    mount: bool
    """The covered files are enough, also with an empty environment."""
    adds: tuple[str, ...] = ()
    """Variables that add a file to the runtime's own roots."""
    replaces: tuple[str, ...] = ()
    """Variables that replace the roots with a bundle."""
    settings: tuple[tuple[str, str], ...] = ()
    """Further variables and their values."""
    note: str = ""


RUNTIMES: tuple[Runtime, ...] = (
    Runtime("OpenSSL (C, Perl, PHP, Ruby, wget...)", mount=True, replaces=("SSL_CERT_FILE",)),
    Runtime("GnuTLS, wolfSSL", mount=True),
    Runtime("curl", mount=True, replaces=("CURL_CA_BUNDLE",)),
    Runtime("Python ssl, urllib, aiohttp, httpx", mount=True, replaces=("SSL_CERT_FILE",)),
    Runtime(
        "Python requests, pip",
        mount=False,
        replaces=("REQUESTS_CA_BUNDLE", "PIP_CERT"),
        note="certifi's bundle is covered too where the agent cannot write it",
    ),
    Runtime("Python httplib2", mount=False, replaces=("HTTPLIB2_CA_CERTS",)),
    Runtime("Node.js, Bun", mount=False, adds=("NODE_EXTRA_CA_CERTS",)),
    Runtime("npm, yarn", mount=False, replaces=("NPM_CONFIG_CAFILE",)),
    Runtime(
        "Deno",
        mount=False,
        adds=("DENO_CERT",),
        settings=(("DENO_TLS_CA_STORE", "system,mozilla"),),
    ),
    Runtime("Go", mount=True, replaces=("SSL_CERT_FILE",)),
    Runtime("git", mount=True, replaces=("GIT_SSL_CAINFO",)),
    Runtime("Rust (cargo)", mount=True, replaces=("CARGO_HTTP_CAINFO", "SSL_CERT_FILE")),
    Runtime(
        "uv",
        mount=False,
        replaces=("SSL_CERT_FILE",),
        settings=(("UV_NATIVE_TLS", "true"), ("UV_SYSTEM_CERTS", "true")),
    ),
    Runtime(
        "Java",
        mount=True,
        note="the store of every JDK found is covered; JAVA_TOOL_OPTIONS only where none is",
    ),
    Runtime("AWS CLI, botocore", mount=False, replaces=("AWS_CA_BUNDLE",)),
    Runtime("gcloud", mount=False, replaces=("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",)),
    Runtime("gRPC", mount=False, replaces=("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",)),
    Runtime(
        "PostgreSQL (libpq)",
        mount=False,
        settings=(("PGCHANNELBINDING", "disable"),),
        note="PGSSLROOTCERT is replaced where it is set; there is no channel binding to a server",
    ),
    Runtime("Nix", mount=True, replaces=("NIX_SSL_CERT_FILE",)),
    Runtime(
        "NSS (Chromium, Firefox)",
        mount=False,
        note="a private ~/.pki/nssdb, made by certutil",
    ),
)
"""Every runtime that is served, and by which mechanism."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What makes a jail's programs trust its authority."""

    mounts: tuple[Mount, ...]
    environment: Mapping[str, str]
    notes: tuple[str, ...]
    """What could not be arranged, and the fix."""


class TrustError(ValueError):
    """The authority's certificate cannot be used. Ours is at fault, not the operator."""


def prepare(
    certificate_pem: bytes,
    environ: Mapping[str, str],
    home: str,
    writable: Iterable[str] = (),
) -> Trust:
    """Return files and variables for one jail.

    `certificate_pem` is the authority's certificate, `environ` the agent's environment before,
    `home` its home or empty. Below `home` and `writable`, where the agent's package managers
    rename and replace files, none is covered: a mount point there would make them fail.
    """
    try:
        (der,) = trust_formats.certificates(certificate_pem)
        name = trust_formats.subject_hash(der)
    except (ValueError, IndexError) as error:
        raise TrustError(f"the authority's certificate cannot be read: {error}") from error
    found = list(_resolved(BUNDLES))
    roots = _content(found[0]) if found else b""
    bundle = trust_formats.merged(roots, certificate_pem)
    own = tuple(path for path in (home, *writable) if path)

    mounts: list[Mount] = [Data(AUTHORITY, certificate_pem), Data(BUNDLE, bundle)]
    folder = os.path.realpath(HASHED)
    if os.path.isdir(folder):
        mounts += _hashed(folder, name, certificate_pem)
    mounts += [Data(path, bundle) for path in found]
    stores = list(_java(environ, home, der, bundle))
    mounts += stores
    if os.path.isdir(folder):
        mounts.append(Sealed(folder))
    for path in _python(environ.get("PATH", "")):
        if not any(inside(path, place) for place in own) and path not in found:
            mounts.append(Data(path, bundle))

    environment = variables()
    if environ.get("PGSSLROOTCERT"):  # unset, libpq verifies nothing, also not local servers
        environment["PGSSLROOTCERT"] = BUNDLE
    notes = []
    if not stores and shutil.which("java", path=environ.get("PATH", "")):
        mounts.append(Data(KEY_STORE, trust_formats.key_store(trust_formats.certificates(bundle))))
        options = f"{environ.get('JAVA_TOOL_OPTIONS', '')} -Djavax.net.ssl.trustStore={KEY_STORE}"
        environment["JAVA_TOOL_OPTIONS"] = options.strip()
    if not found:
        notes.append("the host has no certificate bundle: apt-get install ca-certificates")
    browser = trust_nss.prepare(certificate_pem, environ.get("PATH", ""), home)
    mounts += browser.mounts
    notes += browser.notes
    return Trust(tuple(mounts), environment, tuple(notes))


def variables() -> dict[str, str]:
    """Return the variables of all runtimes. They are the same in every jail."""
    out: dict[str, str] = {}
    for runtime in RUNTIMES:
        out |= dict.fromkeys(runtime.adds, AUTHORITY) | dict.fromkeys(runtime.replaces, BUNDLE)
        out |= dict(runtime.settings)
    return out


def report() -> list[tuple[str, str]]:
    """Return a row for each runtime: its name, and what makes it trust the authority."""
    rows = []
    for runtime in RUNTIMES:
        parts = ["covered files"] if runtime.mount else []
        parts += [f"{variable} (adds)" for variable in runtime.adds]
        parts += [f"{variable} (merged bundle)" for variable in runtime.replaces]
        parts += [f"{variable}={value}" for variable, value in runtime.settings]
        rows.append((runtime.name, "; ".join([*parts, runtime.note]).strip("; ")))
    return rows


def _hashed(folder: str, name: str, certificate_pem: bytes) -> Iterator[Mount]:
    """Yield a copy of the hashed directory with the authority in it; the rest keeps its place."""
    taken = set()
    yield Tmpfs(folder)
    with os.scandir(folder) as entries:
        for entry in entries:
            taken.add(entry.name)
            if entry.is_symlink():
                yield Symlink(entry.path, os.readlink(entry.path))
            elif entry.is_dir() or entry.path not in BUNDLES:
                yield Bind(entry.path, entry.path)
    yield Data(f"{folder}/egressguard.pem", certificate_pem)
    number = next(each for each in range(len(taken) + 1) if f"{name}.{each}" not in taken)
    yield Symlink(f"{folder}/{name}.{number}", "egressguard.pem")


def _java(environ: Mapping[str, str], home: str, der: bytes, bundle: bytes) -> Iterator[Data]:
    """Yield the trust store of every JDK, with the authority added."""
    patterns = [*_JAVA, f"{environ.get('JAVA_HOME', '')}/lib/security/cacerts"]
    for path in _resolved(_expanded(patterns, home)):
        added = trust_formats.key_store_with(_content(path), der, "egressguard")
        if added is None:  # PKCS #12: replaced by the same roots as everybody's
            added = trust_formats.key_store(trust_formats.certificates(bundle))
        yield Data(path, added)


def _expanded(patterns: Iterable[str], home: str) -> Iterator[str]:
    for pattern in patterns:
        if pattern.startswith("~"):
            if not home:
                continue
            pattern = glob.escape(home) + pattern[1:]
        yield from glob.iglob(pattern) if "*" in pattern else (pattern,)


def _python(path: str) -> Iterator[str]:
    """Yield the bundles that Python packages bring along, next to the interpreters in PATH."""
    prefixes = {os.path.dirname(os.path.realpath(part)) for part in path.split(":") if part}
    patterns = [
        f"{glob.escape(prefix)}/lib/python3*/{packages}/{place}/cacert.pem"
        for prefix in sorted(prefixes | {"/usr", "/usr/local"})
        for packages in ("site-packages", "dist-packages")
        for place in _PYTHON_BUNDLES
    ]
    yield from _resolved(found for pattern in patterns for found in glob.iglob(pattern))


def _resolved(paths: Iterable[str]) -> Iterator[str]:
    """Yield the files behind `paths` that exist, each once."""
    seen = set()
    for path in paths:
        real = os.path.realpath(path)
        if real not in seen and os.path.isfile(real):
            seen.add(real)
            yield real


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
