"""Collecting what may be secret: the agent's environment as it will be in the jail, and files.

`collect` runs as the agent's user (`interceptor.cli.as_user`), in a child of the interceptor: what
it finds goes to that process through a pipe and nowhere else. The worker, which knows the rules,
decides (`interceptor.scan.candidates`).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from interceptor.cli import canary_store, package_registries
from interceptor.cli.secret_files import Reader, key_file, reader_for, token
from interceptor.cli.secret_values import from_value, home_at
from interceptor.policy.schema import Secrets
from interceptor.scan.collected import Candidate, Collected
from interceptor.scan.ruleset import Home
from interceptor.scan.vendors import HEADERS
from interceptor.scan.worth import LONGEST, SHORTEST, says_secret

BIGGEST: Final = 1024 * 1024
"""Bytes of a file; credentials are short."""
MOST_FILES: Final = 64
MOST: Final = 2000
"""Candidates of one file or environment."""

WELL_KNOWN: Final[tuple[tuple[str, Reader | None], ...]] = (
    ("~/.env", None),
    ("~/.netrc", None),
    ("~/.git-credentials", None),
    ("~/.config/git/credentials", None),
    ("~/.config/gh/hosts.yml", None),
    ("~/.config/glab-cli/config.yml", None),
    ("~/.aws/credentials", None),
    ("~/.config/gcloud/application_default_credentials.json", None),
    ("~/.azure/msal_token_cache.json", None),
    ("~/.azure/service_principal_entries.json", None),
    ("~/.docker/config.json", None),
    ("~/.config/containers/auth.json", None),
    ("~/.kube/config", None),
    ("~/.npmrc", None),
    ("~/.yarnrc.yml", None),
    ("~/.pypirc", None),
    ("~/.config/pip/pip.conf", None),
    ("~/.pip/pip.conf", None),
    ("~/.cargo/credentials.toml", None),
    ("~/.cargo/credentials", None),
    ("~/.gem/credentials", None),
    ("~/.composer/auth.json", None),
    ("~/.terraform.d/credentials.tfrc.json", None),
    ("~/.vault-token", token),
    ("~/.pgpass", None),
    ("~/.my.cnf", None),
    ("~/.cache/huggingface/token", token),
    ("~/.huggingface/token", token),
    ("~/.claude/.credentials.json", None),
    ("~/.codex/auth.json", None),
    ("~/.ssh/id_rsa", key_file),
    ("~/.ssh/id_ecdsa", key_file),
    ("~/.ssh/id_ed25519", key_file),
)
"""The usual places, and their reader where the name does not say it."""

_BESIDE: Final = (
    *("BASE_URL", "API_URL", "URL", "API_BASE", "ENDPOINT", "API_ENDPOINT", "HOST", "ADDR"),
    *("SERVER", "SERVER_URL", "API_HOST", "INSTANCE", "INSTANCE_URL"),
)
_SECRET_END: Final = re.compile(
    r"(?:_?(?:API|ACCESS|AUTH|SECRET|PRIVATE|PERSONAL|BOT|ADMIN|ROOT|USER|CLIENT|BEARER|DB))*"
    r"_?(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASS|PWD|PAT|CREDENTIALS?)\Z"
)
_SERVICES: Final = {
    "PG": "postgres",
    "POSTGRES": "postgres",
    "MYSQL": "mysql",
    "MARIADB": "mysql",
    "REDIS": "redis",
    "MONGO": "mongodb",
    "MONGODB": "mongodb",
    "SMTP": "smtp",
}
_UNPRINTABLE: Final = re.compile(r"[^\x21-\x7e]")


class FileError(Exception):
    """A file that the policy names cannot be read; the message names it and the cause."""


def collect(
    policy: Secrets,
    environ: Mapping[str, str],
    home: str,
    *,
    folder: str = "",
    visible: bool = True,
    canaries: Iterable[tuple[str, str]] = (),
) -> Collected:
    """Collect candidates; touches the file system as whoever runs it.

    Args:
        policy: what is to be registered.
        environ: the agent's environment.
        home: the agent's home directory; empty if it has none.
        folder: where relative names of files begin.
        visible: the jail shows that home; otherwise the usual places in it are not looked at.
        canaries: names and values of decoys, besides those that are planted in that home.
    """
    skipped: list[tuple[str, str]] = []
    decoys = dict(canaries)
    try:
        decoys.update(canary_store.canaries(canary_store.load(home) if home else ()))
    except canary_store.StoreError:
        skipped.append(("planted canaries", "unreadable"))
    found = [
        Candidate(name, value.encode("utf-8", "surrogateescape"), canary=True)
        for name, value in decoys.items()
    ]
    if policy.environment == "register":
        found += _bounded(environment(environ, decoys))
    try:
        for number, name in enumerate(policy.files):
            try:
                found += _bounded(_named(name, home, folder))
            except FileError as error:
                return Collected(fault=f"secrets.files[{number}]: {error}")
    except RecursionError:
        return Collected(fault=f"secrets.files: {name}: nested too deep")
    usual_home = home if visible else ""
    if policy.well_known == "register" and usual_home:
        for name, reader in WELL_KNOWN:
            text = _text_or_none(_path(name, home, ""))
            try:
                found += _bounded(_read(name, text or "", reader))
            except FileError:  # not what the operator asked for, so it stops nothing
                skipped.append((name, "unreadable"))
    registries = package_registries.hosts_of_registries(environ, usual_home, _text_or_none)
    return Collected(tuple(map(_clean, found)), registries, skipped=tuple(skipped))


def environment(environ: Mapping[str, str], decoys: Mapping[str, str]) -> Iterator[Candidate]:
    """Yield candidates of the environment, with the homes that variables beside them name."""
    for name, value in environ.items():
        if name in decoys or not SHORTEST <= len(value) <= LONGEST:
            if says_secret(name) and 0 < len(value) < SHORTEST:
                yield Candidate(name, value.encode("utf-8", "surrogateescape"))
            continue
        sure = says_secret(name)
        homes = homes_beside(name, environ) if sure else ()
        yield from from_value(name, value, sure=sure, homes=homes)


def homes_beside(name: str, environ: Mapping[str, str]) -> tuple[Home, ...]:
    """Return where other variables say that a secret belongs: JIRA_TOKEN to JIRA_URL's host."""
    if name.startswith("TF_TOKEN_"):  # Terraform's way to write a host name
        host = name.removeprefix("TF_TOKEN_").replace("__", "-").replace("_", ".")
        return home_at(host)
    if name.lower().startswith("npm_config_//"):
        return home_at(name[13:].rpartition(":")[0].strip("/"))
    stem = _SECRET_END.sub("", name.upper())
    if not stem or stem == name.upper():
        return ()
    homes: dict[Home, None] = {}
    service = _SERVICES.get(stem)
    for word in _BESIDE:
        for variable in (f"{stem}_{word}", f"{stem}{word}"):
            value = environ.get(variable, "")
            if not value or "/" in value.partition("://")[0]:
                continue
            if service and "://" not in value:
                port = environ.get(f"{stem}_PORT") or environ.get(f"{stem}PORT") or ""
                value = f"{service}://{value}" + (f":{port}" if port.isdecimal() else "")
            homes.update(dict.fromkeys(home_at(value, HEADERS)))
    return tuple(homes)


def _named(name: str, home: str, folder: str) -> Iterator[Candidate]:
    """Yield candidates of a file that the policy names."""
    yield from _read(name, _text(_path(name, home, folder)), None)


def _read(name: str, text: str, reader: Reader | None) -> Iterator[Candidate]:
    if not text.strip():
        return
    reader = reader or reader_for(os.path.basename(name), text)  # noqa: PTH119
    try:
        yield from reader(name, text)
    except (ValueError, RecursionError) as error:
        # The type alone: the message may quote the file.
        raise FileError(
            f"{name}: is not what its name says ({type(error).__name__}); "
            "mend it, or name a file of KEY=value lines"
        ) from None


def _path(name: str, home: str, folder: str) -> str:
    if name == "~" or name.startswith("~/"):
        if not home:
            raise FileError(f"{name}: the agent's user has no home directory")
        return home + name[1:]
    return os.path.join(folder, name)  # noqa: PTH118


def _text(path: str) -> str:
    """Read a file as text.

    Raises:
        FileError: there is none, it may not be read, is too large or no ordinary file.
    """
    try:
        # Not to wait for the writer of a FIFO, nor to become a terminal's.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileError(f"{path}: is not an ordinary file")
            data = b""
            while len(data) <= BIGGEST and (part := os.read(descriptor, BIGGEST + 1 - len(data))):
                data += part
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        cause = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "?"
        if isinstance(error, OSError) and error.errno == errno.EACCES:
            cause = "the agent's user may not read it"
        raise FileError(f"{path}: {cause}") from None
    if len(data) > BIGGEST:
        raise FileError(f"{path}: is larger than {BIGGEST} bytes")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _text_or_none(path: str) -> str | None:
    try:
        return _text(path)
    except FileError:
        return None


def _bounded(candidates: Iterator[Candidate]) -> Iterator[Candidate]:
    for number, candidate in enumerate(candidates):
        if number == MOST:
            return
        yield candidate


def _clean(candidate: Candidate) -> Candidate:
    """Names go to a terminal and to the evidence."""
    name = _UNPRINTABLE.sub("?", candidate.name)[:80]
    return candidate if name == candidate.name else msgspec.structs.replace(candidate, name=name)
