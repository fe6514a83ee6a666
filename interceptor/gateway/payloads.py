"""What a worker needs of files: read here, by the supervisor, and sent.

What the operator's files hold is looked into in a child that ends with it: secrets that are to be
known, and rules of the operator's own, which are compiled into the cache for the workers.
"""

from __future__ import annotations

import gc
import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from interceptor.decide.findings import digest_key, unknown_rule
from interceptor.gateway.messages import Guest
from interceptor.policy.loading import PolicyError, load, rule_files
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import RulesetError, load_user_rules
from interceptor.serve.gateway_messages import Payload
from interceptor.serve.gateway_worker import Shared
from interceptor.serve.guarding import prepare
from interceptor.serve.guest_site import with_site
from netns import namespaces

FindSecrets = Callable[[Policy, str], bytes]
"""From a policy and its folder to `interceptor.scan.collected.Collected`, MessagePack."""

_SECONDS: Final = 120
_LARGEST_CA: Final = 4 * 1024 * 1024


class PayloadError(ValueError):
    """The policy of a guest cannot be used; the message names the file."""


def read(guest: Guest, shared: Shared, find: FindSecrets) -> Payload:
    """Read the policy of a guest and all that it names.

    Raises:
        PayloadError: see there.
    """
    path = Path(guest.policy) if guest.policy else None
    try:
        policy = load(path, guest.preset or None)
        if guest.nic is not None:
            policy = with_site(policy)
        files = rule_files(policy)
        rules = load_user_rules(files, shared.rules) if files else shared.rules
        wrong = unknown_rule(policy, rules.ids)
        authorities = _authorities(policy)
    except (PolicyError, RulesetError) as error:
        raise PayloadError(str(error)) from None
    except OSError as error:
        raise PayloadError(f"{error.filename}: {error.strerror}") from None
    if wrong:
        raise PayloadError(f"{guest.policy}: {wrong}")
    scanner = shared.scanner
    wanted = policy.secrets.files or policy.secrets.well_known == "register"
    key = prepared = b""
    if wanted:
        key = digest_key(policy) or secrets.token_bytes(32)
    if files or wanted:
        folder = str(path.parent) if path else ""

        def work() -> bytes:
            # With the cache warm, a worker opens these rules in milliseconds.
            own = Scanner.build(rules, shared.cache) if files else scanner
            return prepare(find(policy, folder), rules, own, policy.secrets, key) if wanted else b""

        prepared = in_child(work)
    return Payload(policy, files, authorities, prepared, key)


def same(one: Payload, other: Payload) -> bool:
    """Whether two payloads mean the same; what is known of secrets is never sure to."""
    if one.prepared or other.prepared:
        return False
    return (one.policy, one.rule_files, one.authorities) == (
        *(other.policy, other.rule_files, other.authorities),
    )


def in_child(work: Callable[[], bytes]) -> bytes:
    """Call `work` in a forked child and return its result. The caller must have one thread.

    Raises:
        PayloadError: it raised, with its message; or it took too long.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            gc.disable()  # it would touch, and thereby copy, all that is shared with the parent
            signal.set_wakeup_fd(-1)
            namespaces.close_all_but((0, 1, 2, writing))
            namespaces.die_with_parent(signal.SIGKILL, parent)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_SECONDS)
            try:
                result = b"+" + work()
            except (RulesetError, ValueError) as error:
                result = b"-" + str(error).encode("utf-8", "replace")
            with os.fdopen(writing, "wb") as stream:
                stream.write(result)
            code = 0
        except BaseException as error:  # noqa: BLE001 - a forked child must not unwind
            # The type alone: a message may quote what was read.
            os.write(2, f"egressguard: reading a policy: {type(error).__name__}\n".encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        result = stream.read()
    os.waitpid(pid, 0)
    if not result.startswith(b"+"):
        raise PayloadError(result[1:].decode("utf-8", "replace") or "the policy could not be read")
    return result[1:]


def as_memory(payload: Payload) -> int:
    """A descriptor that holds a payload, for a worker."""
    descriptor = os.memfd_create("payload", os.MFD_CLOEXEC)
    data = memoryview(msgspec.json.encode(payload))
    while data:
        data = data[os.write(descriptor, data) :]
    return descriptor


def _authorities(policy: Policy) -> str:
    if not policy.upstream.ca_file:
        return ""
    with Path(policy.upstream.ca_file).open("rb") as file:
        return file.read(_LARGEST_CA).decode("utf-8", "replace")
