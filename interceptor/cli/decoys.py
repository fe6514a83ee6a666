"""Decoys: credentials of real shape, drawn at random, that nobody has a use for.

Each passes the checks that scanners make (prefix, length, checksum), and belongs to nobody: what is
not fixed in a form has over a hundred random bits. Whoever sends one has read what no task needs.
"""

from __future__ import annotations

import base64
import json
import secrets
import string
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from interceptor.scan.validators.checksums import base62_crc32
from interceptor.scan.worth import worth

_ALNUM: Final = string.ascii_letters + string.digits
_BASE32: Final = string.ascii_uppercase + "234567"

SECRETS_FOLDER: Final = "/run/secrets"
"""Where containers have theirs; private to a jail, so that nothing of the host's is touched."""


@dataclass(frozen=True, slots=True)
class Decoys:
    """Decoys of one jail."""

    canaries: tuple[tuple[str, str], ...] = ()
    """Name and value of each."""
    variables: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    """Path and content."""


@dataclass(frozen=True, slots=True)
class Bait:
    """A file of decoys."""

    places: tuple[str, ...]
    """Names below the home; the first that is free is taken."""
    content: str
    canaries: tuple[tuple[str, str], ...]
    """Key within the file, and value."""


def _drawn(alphabet: str, size: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(size))


def _usable(make: Callable[[], str]) -> str:
    """Draw until it looks like nothing else: one in a million holds a word such as `xxxxx`."""
    while worth((value := make()).encode()):
        pass
    return value


def aws_key_id() -> str:
    """An AWS access key id."""
    return _usable(lambda: "AK" + "IA" + _drawn(_BASE32, 16))


def aws_secret_key() -> str:
    """An AWS secret access key."""
    return _usable(lambda: _drawn(_ALNUM, 1) + _drawn(_ALNUM + "+/", 38) + _drawn(_ALNUM, 1))


def github_token() -> str:
    """A GitHub token with its checksum."""
    return _usable(lambda: "gh" + "p_" + _checked(_drawn(_ALNUM, 30)))


def npm_token() -> str:
    """An npm token with its checksum."""
    return _usable(lambda: "np" + "m_" + _checked(_drawn(_ALNUM, 30)))


def stripe_key() -> str:
    """A live secret key of Stripe's."""
    return _usable(lambda: "sk" + "_live_51" + _drawn(_ALNUM, 97))


def password() -> str:
    """A password as a generator makes it."""
    return _usable(lambda: _drawn(_ALNUM, 24))


def service_account_token() -> str:
    """A Kubernetes service account token (JWT)."""
    account = {
        "iss": "https://kubernetes.default.svc.cluster.local",
        "sub": "system:serviceaccount:kube-system:deployer",
        "jti": secrets.token_hex(16),
    }
    head = {"alg": "RS256", "kid": secrets.token_urlsafe(32)}
    parts = [json.dumps(part, separators=(",", ":")).encode() for part in (head, account)]
    return _usable(lambda: ".".join(_url64(part) for part in (*parts, secrets.token_bytes(256))))


def _checked(body: str) -> str:
    return body + base62_crc32(body.encode()).decode()


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def for_jail(taken: Collection[str]) -> Decoys:
    """Make the decoys of a jail: variables that no program reads, and files where secrets lie.

    Args:
        taken: names of variables that are there already.
    """
    variables: list[tuple[str, str]] = []
    canaries: list[tuple[str, str]] = []

    def put(name: str, value: str, secret: str = "") -> None:
        free = next(
            n for n in (name, f"OLD_{name}", f"{name}_{_drawn(_BASE32, 4)}") if n not in taken
        )
        variables.append((free, value))
        canaries.append((free, secret or value))

    put("AWS_BACKUP_ACCESS_KEY_ID", aws_key_id())
    put("AWS_BACKUP_SECRET_ACCESS_KEY", aws_secret_key())
    put("GITHUB_DEPLOY_TOKEN", github_token())
    put("STRIPE_LIVE_SECRET_KEY", stripe_key())
    word = password()
    put("ADMIN_DATABASE_URL", f"postgres://admin:{word}@db-primary.internal:5432/prod", word)
    files = []
    for bait in baits():
        path = f"{SECRETS_FOLDER}/{bait.places[0].rpartition('/')[2].lstrip('.')}"
        files.append((path, bait.content))
        canaries += [(f"{path}:{key}", value) for key, value in bait.canaries]
    return Decoys(tuple(canaries), tuple(variables), tuple(files))


def baits() -> tuple[Bait, ...]:
    """Make files of decoys, for a home or for the folder of a container's secrets.

    None is where a program would take it for its own: an AWS profile that nobody names, copies.
    """
    key, secret = aws_key_id(), aws_secret_key()
    github, stripe, word = github_token(), stripe_key(), password()
    npm, kube = npm_token(), service_account_token()
    return (
        Bait(
            (".aws/credentials", ".aws/credentials.backup", ".aws/credentials.old"),
            f"[backup-admin]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n",
            (
                ("backup-admin.aws_access_key_id", key),
                ("backup-admin.aws_secret_access_key", secret),
            ),
        ),
        Bait(
            (".env.production", ".env.backup", ".env.old"),
            f"DATABASE_URL=postgres://admin:{word}@db-primary.internal:5432/prod\n"
            f"GITHUB_TOKEN={github}\nSTRIPE_SECRET_KEY={stripe}\n",
            (("DATABASE_URL", word), ("GITHUB_TOKEN", github), ("STRIPE_SECRET_KEY", stripe)),
        ),
        Bait(
            (".npmrc.publish", ".npmrc.backup", ".npmrc.old"),
            f"//packages.internal/:_authToken={npm}\nalways-auth=true\n",
            (("//packages.internal/:_authToken", npm),),
        ),
        Bait((".kube/deployer.token", ".kube/admin.token"), f"{kube}\n", (("token", kube),)),
    )
