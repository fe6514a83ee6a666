"""Chromium loads a page with fetch, WebSocket, server-sent events and resources of two origins.

It trusts the jail by the NSS database that `netns.trust_nss` shows it. Each test runs outside the
jail too: the positive control. Screenshots are kept in $EGRESSGUARD_ARTIFACTS, or with the files of
pytest.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab, daemons
from tests.lab.agents import Ran, need, node, run, secret
from tests.lab.daemon import Daemon
from tests.lab.host_files import BUNDLE
from tests.lab.programs import search_path
from tests.lab.world import DEV_HOME, DEV_WORK

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

both_ways = pytest.mark.parametrize("jailed", [False, True], ids=["outside", "jailed"])
_PAGE = "https://www.example.com/page/?h2=h2.example.com&ws=ws.example.com"
_DATABASE = f"{DEV_HOME}/.pki/nssdb"


@pytest.fixture
def server(clean_lab: Lab) -> Iterator[Daemon]:
    """The WebSocket server; and a user who has used a browser before, which trusts the lab."""
    for program in ("chromium", "certutil"):
        found = shutil.which(program, path=search_path())
        need("" if found else f"{program} is not installed: run scripts/test")
    need(daemons.missing("websocket"))
    daemon = daemons.websocket(clean_lab)
    daemon.clear()
    trust = (
        f"rm -rf {_DATABASE} && mkdir -p {_DATABASE} && "
        f"certutil -d sql:{_DATABASE} -N --empty-password && "
        f"certutil -d sql:{_DATABASE} -A -n lab -t C,, -a -i {BUNDLE}"
    )
    made = clean_lab.run(["sh", "-c", trust], user="dev")
    assert made.returncode == 0, made.stderr
    yield daemon
    for place in (".pki", ".config", ".cache", ".local", "work/page.png"):
        clean_lab.run(["rm", "-rf", f"{DEV_HOME}/{place}"], user="dev")


def _load(
    lab: Lab, url: str, shot: Path, *, jailed: bool, policy: str = ""
) -> tuple[dict[str, Any], Ran]:
    words = node("browser.cjs", url, f"{DEV_WORK}/page.png")
    ran = run(lab, words, jailed=jailed, policy=policy, timeout=90)
    assert ran.returncode == 0, ran.errors
    kept = Path(os.environ.get("EGRESSGUARD_ARTIFACTS") or shot.parent)
    kept.mkdir(parents=True, exist_ok=True)
    picture = lab.path(f"{DEV_WORK}/page.png").read_bytes()
    (kept / shot.name).write_bytes(picture)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) > 5_000  # not one colour
    found: dict[str, Any] = ran.json()
    return found, ran


@both_ways
@pytest.mark.parametrize("http2", ["auto", "always"])
def test_a_page(clean_lab: Lab, server: Daemon, tmp_path: Path, http2: str, jailed: bool) -> None:
    way = f"jailed-{http2}" if jailed else "outside"
    shot = tmp_path / f"chromium-{way}.png"
    policy = f"http2: {http2}\n"
    for _ in range(3):  # a browser that has no time to read finds all pieces at once
        found, ran = _load(clean_lab, _PAGE, shot, jailed=jailed, policy=policy)
        if found["stream"].get("pieces", 0) > 1:
            break
    assert found["get"]["status"] == 200, found
    assert json.loads(found["get"]["body"])["target"] == "/get?from=browser"
    assert json.loads(found["post"]["body"])["size"] == len("note=from the browser")
    assert found["other"] == {"hello": "from another origin"}
    assert found["stream"]["whole"] == "trickle"
    assert found["stream"]["pieces"] > 1
    assert found["events"] == [0, 1, 2]
    assert found["socket"] == {"seen": ["hello from the browser", "second"], "code": 1005}
    assert found["style"] == "rgb(240, 248, 255)"
    assert found["image"] == "decoded"
    if jailed:
        version = {"auto": "http/1.1", "always": "h2"}[http2]
        assert set(found["protocols"].values()) == {version}, found["protocols"]
        assert clean_lab.oracle.records() == []
    else:  # there the browser asks for Google, and is gone when the answer comes
        assert found["protocols"]["/page/hello"] == "h2"
    assert ran.blocks() == []


@both_ways
@pytest.mark.parametrize("http2", ["auto", "always"])
def test_secret(clean_lab: Lab, server: Daemon, tmp_path: Path, http2: str, jailed: bool) -> None:
    """What a page was told to send is stopped; the rest of the page works."""
    shot = tmp_path / f"chromium-secret-{'jailed' if jailed else 'outside'}-{http2}.png"
    url = f"{_PAGE}#secret={secret()}"
    found, ran = _load(clean_lab, url, shot, jailed=jailed, policy=f"http2: {http2}\n")
    bodies = b"".join(request.body for request in clean_lab.requests())
    if not jailed:
        assert secret().encode() in bodies
        assert secret() in server.log()
        return
    assert found["get"]["status"] == 200
    assert found["post"]["status"] == 403, found
    assert json.loads(found["post"]["body"])["reason"] == "secret"
    assert found["socket"]["code"] == 1008
    assert found["socket"]["seen"] in ([], ["hello from the browser"])  # both were sent at once
    assert secret().encode() not in bodies
    assert secret() not in server.log()
    assert {event["reason"] for event in ran.blocks()} == {"secret"}
    assert clean_lab.oracle.records() == []


def test_an_address_with_a_secret_is_not_loaded(
    clean_lab: Lab, server: Daemon, tmp_path: Path
) -> None:
    """The browser shows the refusal, and nothing of the address arrives."""
    url = f"https://www.example.com/page/?note={secret()}"
    ran = run(clean_lab, node("browser.cjs", url, f"{DEV_WORK}/page.png"), jailed=True, timeout=90)
    assert '"reason":"secret"' in ran.text, ran.errors
    assert clean_lab.requests("www.example.com") == []
    assert {event["reason"] for event in ran.blocks()} == {"secret"}
    assert clean_lab.oracle.records() == []
