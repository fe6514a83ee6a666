"""Agents of the explicit proxy: their names, and what proves them.

The file has a line for each: a name and the SHA-256 of its token, as `egressguard proxy token`
makes them, or a name and a Kubernetes service account. Lines that begin with # are none.

    builder  sha256:64 hexadecimal digits
    worker   serviceaccount:namespace/name

Tokens are 256 random bits, so a plain digest cannot be turned round, and looking it up in a table
tells nothing by the time it takes. A pod proves its service account by a projected token (a JWT,
RFC 7519), verified with the cluster's published keys (JWKS, RFC 7517): nobody is asked.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from interceptor.serve.proxy_tokens import TokenVerifier
from interceptor.wire.proxy_credentials import Credential

MOST: Final = 4_096
"""Agents of one proxy."""
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_ACCOUNT: Final = re.compile(r"serviceaccount:([a-z0-9-]{1,63}/[a-z0-9.-]{1,253})")


class AgentsError(ValueError):
    """The agents file cannot be used; the message names the line."""


class AgentNames(msgspec.Struct, frozen=True):
    """The content of an agents file."""

    digests: Mapping[bytes, str] = {}
    """SHA-256 of a token: name."""
    accounts: Mapping[str, str] = {}
    """`namespace/name` of a service account: name."""


def parse_agents(text: str, file: str = "agents") -> AgentNames:
    """Read an agents file.

    Raises:
        AgentsError: a line is malformed, a name or a token stands twice, or there are too many.
    """
    digests: dict[bytes, str] = {}
    accounts: dict[str, str] = {}
    names: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{file}:{number}"
        if len(words) != 2:
            raise AgentsError(f"{where}: expected a name and sha256:DIGEST")
        name, proof = words
        if _NAME.fullmatch(name) is None:
            raise AgentsError(f"{where}: a name is a-z, 0-9, dot, hyphen, underscore; 63 at most")
        if name in names:
            raise AgentsError(f"{where}: {name} stands twice")
        names.add(name)
        if (match := _DIGEST.fullmatch(proof)) is not None:
            digest = bytes.fromhex(match[1])
            if digest in digests:
                raise AgentsError(f"{where}: {name} has the token of {digests[digest]}")
            digests[digest] = name
        elif (match := _ACCOUNT.fullmatch(proof)) is not None:
            if match[1] in accounts:
                raise AgentsError(f"{where}: {name} has the account of {accounts[match[1]]}")
            accounts[match[1]] = name
        else:
            raise AgentsError(f"{where}: expected sha256:DIGEST or serviceaccount:NAMESPACE/NAME")
    if not names:
        raise AgentsError(f"{file}: no agent in it; make one by `egressguard proxy token NAME`")
    if len(names) > MOST:
        raise AgentsError(f"{file}: more than {MOST} agents")
    return AgentNames(digests, accounts)


def new_token(
    name: str, randomness: Callable[[int], bytes] = secrets.token_bytes
) -> tuple[str, str]:
    """Make a token for an agent: the token, and the line for the agents file.

    Raises:
        AgentsError: the name cannot be one.
    """
    if _NAME.fullmatch(name) is None:
        raise AgentsError(f"{name}: a name is a-z, 0-9, dot, hyphen, underscore; 63 at most")
    token = randomness(32).hex()
    return token, f"{name} sha256:{hashlib.sha256(token.encode()).hexdigest()}"


class Agents:
    """Finds the agent of a credential."""

    def __init__(self, names: AgentNames, verifier: TokenVerifier | None = None) -> None:
        """Know `names`; those with service accounts need `verifier`.

        Raises:
            AgentsError: there is none.
        """
        if names.accounts and verifier is None:
            raise AgentsError(
                "agents with service accounts need --service-account-keys, --issuer and --audience"
            )
        self._names = names
        self._verifier = verifier

    def find(self, given: Credential | None, now: float) -> str:
        """Name of the agent at `now` (seconds since the epoch); empty: none of ours.

        Of a service account's token the pod is told apart too: `worker/pod-name`.
        """
        if given is None:
            return ""
        name = self._names.digests.get(hashlib.sha256(given.token).digest(), "")
        if not name and self._verifier is not None and given.token.count(b".") == 2:
            proved = self._verifier.verify(given.token, now)
            if proved is not None:
                name = self._names.accounts.get(proved.account, "")
                if name and given.name in ("", name):
                    return f"{name}/{proved.pod}" if proved.pod else name
        return name if given.name in ("", name) else ""
