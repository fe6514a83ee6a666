"""From what was collected to a matcher, in a process that ends with the values it has seen."""

from __future__ import annotations

import msgspec

from interceptor.policy.schema import Secrets
from interceptor.scan.collected import Collected, Guarded, with_registries
from interceptor.scan.engine import Scanner
from interceptor.scan.known_matcher import KnownMatcher, compile_matcher
from interceptor.scan.ruleset import Ruleset
from interceptor.wire.body.stream import preload


class CollectError(Exception):
    """The agent's secrets cannot be known as the policy asks; the message names the file."""


class Prepared(msgspec.Struct, frozen=True):
    """Everything that is left of the agent's secrets."""

    matcher: KnownMatcher | None = None
    registries: dict[str, tuple[str, ...]] = {}
    guarded: Guarded = Guarded()
    fault: str = ""


def warm() -> None:
    """Import what `prepare` needs, which may then be called where no file of ours is readable."""
    import hyperscan

    from interceptor.scan import candidates, known

    preload()
    assert all((hyperscan, candidates, known))  # noqa: S101


def prepare(found: bytes, rules: Ruleset, scanner: Scanner, policy: Secrets, key: bytes) -> bytes:
    """Decide about candidates and compile the matcher, in a child process.

    Args:
        found: `interceptor.scan.collected.Collected`, MessagePack.
        rules: those of `scanner`.
        scanner: without known secrets.
        policy: names to ignore, and homes.
        key: key of digests.

    Returns:
        `Prepared`, MessagePack.
    """
    from interceptor.scan.candidates import known_secrets

    collected = msgspec.msgpack.decode(found, type=Collected)
    if collected.fault:
        return msgspec.msgpack.encode(Prepared(fault=collected.fault))
    scanner = scanner.with_matcher(None, with_registries(rules, collected.registries))
    known, guarded = known_secrets(collected, scanner, policy)
    registries = collected.registries.items()
    guarded = msgspec.structs.replace(
        guarded, registries=tuple(f"{word} {host}" for word, hosts in registries for host in hosts)
    )
    matcher = compile_matcher(known, key)
    return msgspec.msgpack.encode(Prepared(matcher, collected.registries, guarded))


def guard(prepared: bytes, rules: Ruleset, scanner: Scanner) -> tuple[Scanner, Guarded]:
    """Return a scanner that knows what was prepared.

    Raises:
        CollectError: the jail may not start.
    """
    done = msgspec.msgpack.decode(prepared, type=Prepared)
    if done.fault:
        raise CollectError(done.fault)
    return scanner.with_matcher(done.matcher, with_registries(rules, done.registries)), done.guarded
