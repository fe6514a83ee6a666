"""What steers, in every disguise, as responses through the jail: refused before its first byte.

Each has a benign twin of the same form, which arrives byte for byte.
"""

from __future__ import annotations

import gzip
import json
from typing import NamedTuple

import pytest

from tests.disguises import BAD, GOOD, Form, forms
from tests.lab import Lab
from tests.lab.agents import Ran, run
from tests.lab.world import DEV_WORK

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

SITES = {"1.1": "https://docs.example.com", "2": "https://h2only.example.com"}
SPOKEN = {"1.1": "http1.1", "2": "http2-prior-knowledge"}
"""By version of HTTP: a site, and what curl is told."""


class Got(NamedTuple):
    """What the client got."""

    status: str
    version: str
    content: bytes


def fetch(
    lab: Lab, asked: dict[str, Form], version: str, *, jailed: bool
) -> tuple[dict[str, Got], Ran]:
    """Let one client, over one connection, have each form sent back by a site."""
    transfers = []
    for number, (name, form) in enumerate(asked.items()):
        file = f"{DEV_WORK}/form{number}"
        lab.path(file).write_bytes(form.content)
        lab.path(f"{file}.out").unlink(missing_ok=True)
        query = f"kind={form.kind.replace(' ', '')}&cut={form.cut}{'&coding=gzip' * form.coded}"
        transfers.append(
            f'url = "{SITES[version]}/mirror?{query}"\ndata-binary = "@{file}"\n'
            f'output = "{file}.out"\nmax-time = 30\nsilent\n{SPOKEN[version]}\n'
            'header = "Content-Type: application/octet-stream"\n'
            f'write-out = "{name} %{{http_code}} %{{http_version}}\\n"\n'
        )
    plan = f"{DEV_WORK}/forms.curl"
    lab.path(plan).write_text("next\n".join(transfers), "utf-8")
    policy = f"http2: {'always' if version == '2' else 'never'}\n"
    ran = run(lab, ["curl", "-K", plan], jailed=jailed, policy=policy)
    rows = [line.split(" ") for line in ran.text.splitlines()]
    found = {}
    for number, (name, status, spoken) in enumerate(rows):
        out = lab.path(f"{DEV_WORK}/form{number}.out")
        found[name] = Got(status, spoken, out.read_bytes() if out.exists() else b"")
    assert list(found) == list(asked), ran.errors
    return found, ran


def same(form: Form, content: bytes) -> bool:
    """Tell whether that is the form, as the site has sent it."""
    return (gzip.decompress(content) if form.coded else content) == form.content


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_each_disguise_is_refused_and_its_twin_passes(clean_lab: Lab, version: str) -> None:
    bad, good = forms(BAD), forms(GOOD)
    control, _ = fetch(clean_lab, bad, version, jailed=False)
    for name, got in control.items():
        assert got.status == "200", name
        assert same(bad[name], got.content), name
    wrong = []
    answers, ran = fetch(clean_lab, good, version, jailed=True)
    for name, got in answers.items():
        if got.status != "200" or got.version != version or not same(good[name], got.content):
            wrong.append(f"benign {name}: {got}")
    assert ran.blocks() == []
    assert [event for event in ran.events() if "inbound" in event] == []
    answers, ran = fetch(clean_lab, bad, version, jailed=True)
    for name, got in answers.items():
        if got.status != "403" or json.loads(got.content)["reason"] != "injection":
            wrong.append(f"steering {name}: {got}")
    assert wrong == [], "\n".join(wrong)
    assert [event["reason"] for event in ran.blocks()] == ["injection"] * len(bad)
