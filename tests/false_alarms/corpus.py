"""All items: families of what is made, and what is made of found files."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from interceptor.scan.ruleset import Rule
from tests.false_alarms import found
from tests.false_alarms.items import Item
from tests.false_alarms.made.archives import archive
from tests.false_alarms.made.data import mail, table
from tests.false_alarms.made.documents import page
from tests.false_alarms.made.homes import homes
from tests.false_alarms.made.lockfiles import lockfile
from tests.false_alarms.made.models import model
from tests.false_alarms.made.public_keys import public_key
from tests.false_alarms.made.signed import bearer, login, signed_request, signed_url
from tests.false_alarms.made.web import cookies, graphql, plain_url, remote_call, script, telemetry

FAMILIES: dict[str, tuple[Callable[[random.Random, int], Item], int]] = {
    "lockfile": (lockfile, 152),
    "signed": (signed_url, 156),
    "signed-request": (signed_request, 60),
    "bearer": (bearer, 120),
    "login": (login, 100),
    "model": (model, 350),
    "document": (page, 240),
    "telemetry": (telemetry, 120),
    "graphql": (graphql, 60),
    "cookies": (cookies, 100),
    "url": (plain_url, 280),
    "script": (script, 120),
    "message": (remote_call, 120),
    "data": (table, 192),
    "mail": (mail, 60),
    "public-key": (public_key, 120),
}
"""Maker and number of items in the whole corpus."""
ARCHIVES = 150


def made(share: float = 1.0) -> Iterator[Item]:
    """What is made here; `share` of each family."""
    for family, (maker, count) in FAMILIES.items():
        for number in range(max(1, round(count * share))):
            yield maker(random.Random(f"{family}/{number}"), number)


def at_home(rules: Sequence[Rule], share: float = 1.0) -> Iterator[Item]:
    """Credentials where they belong."""
    step = max(1, round(1 / share))
    for number, item in enumerate(homes(rules)):
        if number % step == 0:
            yield item


def of_files(share: float = 1.0, roots: Sequence[str] = found.ROOTS) -> Iterator[Item]:
    """Files by themselves, and archives of them."""
    chosen = list(found.files(share, roots))
    yield from found.items(chosen)
    small = [file for file in chosen if len(file[1]) < 60_000 and b"PRIVATE KEY" not in file[1]]
    for number in range(round(ARCHIVES * share)):
        yield archive(random.Random(f"archive/{number}"), number, small)
