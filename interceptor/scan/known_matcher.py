"""The matcher of known secrets, in a form that can be handed from one process to another.

It is compiled in a process that ends right after, so that the values, and the memory that compiling
takes, end with it. Nothing of it may be written to disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from interceptor.scan.database import Pattern, compile_database
from interceptor.scan.marks import Mark, compile_known
from interceptor.scan.ruleset import KnownSecret, Rule

Meaning = tuple[int, str, int, str]
"""Index of the secret, encoding, length of the literal, digest of the secret."""


class KnownMatcher(msgspec.Struct, frozen=True):
    """Known secrets without their values."""

    database: bytes
    """As Vectorscan serialises it."""
    meanings: tuple[Meaning, ...]
    """What each literal of the database stands for."""
    secrets: tuple[KnownSecret, ...]
    """What findings say of each secret; their values are empty."""
    marks: tuple[bytes, tuple[Mark, ...]] = (b"", ())
    """For `interceptor.scan.marks.Marks.with_known`."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The secrets, as rules: findings and their weighing are the same for both."""
        return tuple(map(_rule_of, self.secrets))


def compile_matcher(secrets: Sequence[KnownSecret], key: bytes) -> KnownMatcher | None:
    """Compile a matcher; None if there is nothing to look for.

    Args:
        secrets: what to look for.
        key: key of the digests in `KnownMatcher.meanings`, at most 64 bytes.
    """
    from interceptor.scan.known import literals

    patterns: list[Pattern] = []
    meanings: list[Meaning] = []
    begins: list[tuple[bytes, bool]] = []
    for number, secret in enumerate(secrets):
        digest = hashlib.blake2b(secret.value, digest_size=8, key=key).hexdigest()
        for literal in literals(secret.value):
            text = b"".join(b"\\x%02x" % byte for byte in literal.data)
            patterns.append(Pattern(text, secret.id, caseless=literal.caseless))
            begins.append((literal.data, literal.caseless))
            meanings.append((number, literal.encoding, len(literal.data), digest))
    if not patterns:
        return None
    import hyperscan

    body = hyperscan.dumpb(compile_database(patterns))
    bare = tuple(msgspec.structs.replace(secret, value=b"") for secret in secrets)
    return KnownMatcher(body, tuple(meanings), bare, compile_known(begins))


def load_matcher(matcher: KnownMatcher) -> Any:
    """Return the database of a matcher, with scratch space for one thread."""
    import hyperscan

    database = hyperscan.loadb(matcher.database, hyperscan.HS_MODE_BLOCK)
    database.scratch = hyperscan.Scratch(database)
    return database


def _rule_of(secret: KnownSecret) -> Rule:
    return Rule(
        id=secret.id,
        title=secret.title,
        pattern=".",
        severity=secret.severity,
        home=secret.home,
        canary=secret.canary,
    )
