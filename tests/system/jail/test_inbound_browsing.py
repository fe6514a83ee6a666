"""Honest browsing through a jail: documentation, indexes and code hosting arrive as they are."""

from __future__ import annotations

import pytest

from tests.honest_pages import KINDS, RECREATED, documents
from tests.lab import Lab
from tests.lab.agents import run
from tests.lab.world import DEV_WORK

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_DOCUMENTS = 150


def test_honest_pages_are_not_refused(clean_lab: Lab) -> None:
    pages = {name: (kind, text.encode()) for name, (kind, text) in RECREATED.items()}
    for path in documents(_DOCUMENTS):
        pages[str(path)] = KINDS[path.suffix], path.read_bytes()
    assert len(pages) > len(RECREATED)
    plan = []
    for number, (kind, content) in enumerate(pages.values()):
        clean_lab.set_page(f"page{number}", kind, content)
        file = f"{DEV_WORK}/page{number}"
        clean_lab.path(file).unlink(missing_ok=True)
        plan.append(
            f'url = "https://docs.example.com/served/page{number}"\noutput = "{file}"\n'
            'silent\nmax-time = 30\nwrite-out = "%{http_code}\\n"\n'
        )
    clean_lab.path(f"{DEV_WORK}/pages.curl").write_text("next\n".join(plan), "utf-8")
    ran = run(clean_lab, ["curl", "-K", f"{DEV_WORK}/pages.curl"], jailed=True, timeout=120)
    statuses = ran.text.split()
    assert len(statuses) == len(pages), ran.errors
    changed = []
    for number, (name, status) in enumerate(zip(pages, statuses, strict=True)):
        assert status == "200", (name, [event["findings"] for event in ran.blocks()])
        if clean_lab.path(f"{DEV_WORK}/page{number}").read_bytes() != pages[name][1]:
            changed.append(name)
    assert ran.blocks() == []
    marked = [event for event in ran.events() if "inbound" in event]
    assert {event["inbound"]["handling"] for event in marked} <= {"annotate", "warn"}
    assert len(changed) <= len(pages) // 50, changed
