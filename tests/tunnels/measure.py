"""Drive the judge with tunnels and with ordinary names, and count."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable
from typing import NamedTuple

from interceptor.decide.judge import Judge
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.names import fault
from interceptor.scan.ruleset import load_rules
from interceptor.verdict import Verdict
from tests.tunnels import families
from tests.tunnels.secrets_of import file, known, secret

MOST = 200
"""Bytes of payload before which a sequence has to be caught."""
KEY = b"k" * 16


class Result(NamedTuple):
    """What became of one tunnel."""

    caught: bool
    named: int
    """Bytes of payload in names that passed."""
    last: str
    reason: str


@functools.cache
def scanner(seed: int) -> Scanner:
    """Return a scanner that knows the secrets of a seed."""
    return Scanner.build(load_rules(), None).with_secrets(known(seed), KEY)


def judge(seed: int, policy: Policy | None = None) -> Judge:
    """Return a judge of a new agent."""
    return Judge(policy or Policy(), scanner(seed), KEY)


def sequence(family: str, number: int, seed: int) -> Result:
    """Run one sequence until a name is refused."""
    rng = random.Random(f"{family}/{number}/{seed}")
    data = file(rng)
    return run(judge(seed), families.SEQUENCES[family](rng, data, rng.choice(families.DOMAINS)))


def run(judged: Judge, steps: Iterable[families.Step]) -> Result:
    """Name one after the other until one is refused."""
    now, named, name = 1000.0, 0, ""
    for name, size, pause in steps:
        now += pause
        judged.tick(now)
        verdict = judged.name(name)
        if not verdict.allowed:
            return Result(named < MOST, named, name, verdict.reason)
        named += size
        if named > 4 * MOST:
            break
    return Result(False, named, name, "")


def single(family: str, number: int, seed: int) -> Result | None:
    """Judge one name that carries a secret; None: it is too long for one name."""
    rng = random.Random(f"{family}/{number}/{seed}")
    domain = rng.choice(families.DOMAINS)
    write: families.Single = families.SINGLES[family]
    for _ in range(50):
        payload = secret(rng, known(seed))
        if not scanner(seed).scan(payload, "body", KEY).findings:
            continue  # too plain to be told from a sample
        name = write(rng, payload, domain)
        if not fault(name):
            verdict = judge(seed).name(name)
            return Result(not verdict.allowed, len(payload), name, verdict.reason)
    return None


def day(
    judged: Judge, names: Iterable[str], start: float, pause: float
) -> list[tuple[str, Verdict]]:
    """Name what an agent names in a day; return what was refused."""
    refused = []
    for number, name in enumerate(names):
        judged.tick(start + number * pause)
        verdict = judged.name(name)
        if not verdict.allowed:
            refused.append((name, verdict))
    return refused
