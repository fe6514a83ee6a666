"""The table: forms by carriers, and what is wrong with what came of a row."""

from __future__ import annotations

from collections.abc import Iterator

from tests.ssrf.carriers import CARRIERS, Carrier, Seen
from tests.ssrf.forms import TWINS, Form, refused


def rows() -> Iterator[tuple[Carrier, Form]]:
    """Every row that must be refused."""
    forms = [*refused()]
    for carrier in CARRIERS:
        for form in forms:
            if carrier.fits(form):
                yield carrier, form


def twins() -> Iterator[tuple[Carrier, Form]]:
    """Every row that must pass."""
    for carrier in CARRIERS:
        if carrier.twins:
            for form in TWINS:
                if carrier.fits(form):
                    yield carrier, form


def fault(carrier: Carrier, form: Form, seen: Seen) -> str:
    """Say what is wrong with a row that must be refused; empty if it was, for the right reason."""
    if seen.dialled or seen.sent:
        return f"dialled {seen.dialled}"
    if seen.resolved and not carrier.resolves:
        return "resolved"
    if not seen.blocks:
        return "not refused"
    right = {form.reason.value, *(reason.value for reason in carrier.others)}
    if not form.on_the_wire and carrier.unreadable is not None:
        right = {carrier.unreadable.value}
    wrong = [reason for reason in seen.blocks if reason not in right]
    return f"refused as {wrong[0]}, not {sorted(right)}" if wrong else ""


def twin_fault(carrier: Carrier, form: Form, seen: Seen) -> str:
    """Say what is wrong with a row that must pass."""
    if seen.blocks:
        return f"refused as {seen.blocks[0]}"
    if not seen.dialled:
        return "not dialled"
    if form.address and not carrier.resolves and form.address not in seen.dialled:
        return f"dialled {seen.dialled}"
    return ""
