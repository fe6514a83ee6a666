"""Credentials at home: each rule's own key, in each place of its vendor where it belongs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from interceptor.scan.ruleset import Home, Rule, example
from tests.false_alarms.items import Item

_BODY = b'{"limit": 20, "query": "open tickets"}'


def _host(pattern: str) -> str:
    name = pattern.partition(":")[0]
    return "service.example.com" if name == "*" else name.replace("*.", "eu1.")


def _bare(rule: Rule) -> str | None:
    """The secret by itself, without what stands around it in the rule's examples."""
    import re

    pattern = re.compile(
        rule.pattern.encode("ascii"), re.IGNORECASE if rule.caseless else re.NOFLAG
    )
    for number, parts in enumerate(rule.match):
        found = pattern.search(example(parts, f"home/{rule.id}/{number}"))
        if found and b"\n" not in found.group():
            return found.group(pattern.groups).decode("latin-1")
    return None


def _at(rule: Rule, home: Home, host: str, place: str, secret: str) -> Iterator[Item]:
    name = f"home/{rule.id}-{host}-{place.replace(':', '.')}"
    json_type = ("Content-Type", "application/json")
    where, _, field = place.partition(":")
    if where == "header":
        values = [secret]
        if field == "authorization":
            values = [f"Bearer {secret}", f"token {secret}"]
        elif field == "cookie":
            values = [f"session={secret}; theme=dark"]
        for number, value in enumerate(values):
            fields = ((field.title(), value), json_type)
            yield Item(f"{name}-{number}", _host(host), "/v1/items", "POST", fields, _BODY)
    elif where == "url":
        path = f"/v1/items?page=2&key={quote(secret, safe='')}"
        yield Item(name, _host(host), path, "GET")
    elif where == "body":
        body = f"grant_type=client_credentials&client_secret={quote(secret, safe='')}"
        form = ("Content-Type", "application/x-www-form-urlencoded")
        yield Item(name, _host(host), "/oauth/token", "POST", (form,), body.encode())


def homes(rules: Sequence[Rule]) -> Iterator[Item]:
    """One item or more for every home of every rule. Basic authentication is left to the lab."""
    for rule in rules:
        secret = _bare(rule)
        if secret is None:
            continue
        for home in rule.home:
            for host in home.hosts:
                for place in home.places:
                    yield from _at(rule, home, host, place, secret)


def shuffled(rules: Sequence[Rule], number: int) -> list[Item]:
    """Some of them, the same for the same number."""
    found = list(homes(rules))
    random.Random(number).shuffle(found)
    return found[:number]
