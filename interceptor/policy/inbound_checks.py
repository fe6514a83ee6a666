"""What the types of the section `inbound` cannot say: bands in their order, rules that exist."""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import Any

from interceptor.policy.inbound import Inbound

_ID = re.compile(r'^id = "([a-z0-9-]{1,100})"$', re.MULTILINE)


def check_inbound(inbound: Inbound, source: Any) -> None:
    """Check the bands, and that exemptions name rules that exist and leave something in force.

    Args:
        inbound: as it was written.
        source: of it; makes errors with their places.

    Raises:
        PolicyError: one of them is wrong.
    """
    bands = inbound.thresholds
    if not bands.low <= bands.middle <= bands.high:
        cause = f"low {bands.low}, middle {bands.middle} and high {bands.high} are out of order"
        raise source.error(("inbound", "thresholds"), cause, "write low <= middle <= high")
    for i, entry in enumerate(inbound.exempt):
        if entry.rule == "*" and entry.host in ("", "*"):
            cause = "every rule at every host would switch the search off"
            fix = "name a rule or a host, or write inbound.findings: record"
            raise source.error(("inbound", "exempt", i), cause, fix)
        known = inbound_rules() if entry.rule != "*" else frozenset()
        if entry.rule != "*" and entry.rule not in known:
            import difflib

            close = difflib.get_close_matches(entry.rule, sorted(known), n=1)
            fix = f"did you mean {close[0]}?" if close else "copy the id from a finding"
            cause = f"there is no rule {entry.rule!r} of what comes back"
            raise source.error(("inbound", "exempt", i, "rule"), cause, fix)


@functools.cache
def inbound_rules() -> frozenset[str]:
    """Ids of the rules that look for what steers, as their files say; read when first asked for."""
    folder = resources.files("interceptor.rules") / "inbound" / "intents"
    texts = [file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".toml")]
    return frozenset(found for text in texts for found in _ID.findall(text))
