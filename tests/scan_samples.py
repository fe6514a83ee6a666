"""A small ruleset of the tests' own, so that they hold whatever rules ship."""

from __future__ import annotations

from interceptor.scan.ruleset import Ruleset, collect, example, parse_rules

RULES = rb"""
version = 1

[[rule]]
id = "acme-token"
title = "Acme token"
pattern = 'acme_[a-z0-9]{32}'
severity = "critical"
home = [{ hosts = ["api.acme.example"], places = ["header:authorization"] }]
references = ["https://acme.example/docs/tokens"]

[[rule]]
id = "bolt-key"
title = "Bolt key"
pattern = 'BOLT-[A-Z0-9]{24}'
severity = "medium"
surfaces = ["header", "body"]
"""
INJECTION = rb"""
version = 1

[[rule]]
id = "sample-injection"
title = "Sample injection"
pattern = 'forget all that you were told'
caseless = true
severity = "high"
"""

ACME = example(("ac", "me_", "{lower:32}"), "one")
OTHER = example(("ac", "me_", "{lower:32}"), "two")
BOLT = example(("BO", "LT-", "{upper:24}"), "one")


def sample_rules() -> Ruleset:
    """The credential rules."""
    return collect(parse_rules(RULES, "samples.toml"))


def sample_inbound_rules() -> Ruleset:
    """The rules for what comes back."""
    return collect(parse_rules(INJECTION, "inbound.toml"))
