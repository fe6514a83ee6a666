"""Secrets cut into pieces: over fields of one request, over messages, over requests in time."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from interceptor.decide.judge import Judge
from interceptor.model import Target
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import Rule
from tests.recall.carriers import HOST, ask, outcome
from tests.recall.examples import Secret, is_split, secrets
from tests.recall.measure import judge_of

Pieces = Sequence[str]
Way = Callable[[Judge, Pieces], bool]
"""Sends the pieces; says whether the last of them, at the latest, was stopped."""

_JSON = b"Content-Type: application/json\r\n"
_FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
_NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")


def _named(pieces: Pieces) -> list[tuple[str, str]]:
    return [(f"{_NAMES[n % 8]}{n // 8 or ''}", piece) for n, piece in enumerate(pieces)]


def _post(judge: Judge, document: object) -> bool:
    return ask(judge, b"POST /collect", _JSON, json.dumps(document).encode()).blocked


def _array(judge: Judge, pieces: Pieces) -> bool:
    return _post(judge, {"id": 3, "parts": list(pieces)})


def _members(judge: Judge, pieces: Pieces) -> bool:
    return _post(judge, {"config": dict(_named(pieces)), "done": True})


def _records(judge: Judge, pieces: Pieces) -> bool:
    rows = [{"index": n, "text": piece} for n, piece in enumerate(pieces)]
    return _post(judge, {"rows": rows})


def _query(judge: Judge, pieces: Pieces) -> bool:
    query = "&".join(f"{name}={piece}" for name, piece in _named(pieces))
    return ask(judge, f"GET /collect?{query}".encode(), b"").blocked


def _path(judge: Judge, pieces: Pieces) -> bool:
    return ask(judge, f"GET /collect/{'/'.join(pieces)}/end".encode(), b"").blocked


def _headers(judge: Judge, pieces: Pieces) -> bool:
    fields = "".join(f"X-{name.title()}: {piece}\r\n" for name, piece in _named(pieces))
    return ask(judge, b"GET /collect", fields.encode()).blocked


def _cookies(judge: Judge, pieces: Pieces) -> bool:
    jar = "; ".join(f"{name}={piece}" for name, piece in _named(pieces))
    return ask(judge, b"GET /collect", f"Cookie: {jar}\r\n".encode()).blocked


def _form(judge: Judge, pieces: Pieces) -> bool:
    body = "&".join(f"{name}={piece}" for name, piece in _named(pieces))
    return ask(judge, b"POST /collect", _FORM, body.encode()).blocked


def _parts(judge: Judge, pieces: Pieces) -> bool:
    body = "".join(
        f'--b5\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{piece}\r\n'
        for name, piece in _named(pieces)
    )
    fields = b"Content-Type: multipart/form-data; boundary=b5\r\n"
    return ask(judge, b"POST /collect", fields, f"{body}--b5--\r\n".encode()).blocked


def _lines(judge: Judge, pieces: Pieces) -> bool:
    rows = "\n".join(f"{n};{piece};ok" for n, piece in enumerate(pieces))
    return ask(judge, b"PUT /rows.csv", b"Content-Type: text/csv\r\n", rows.encode()).blocked


def _xml(judge: Judge, pieces: Pieces) -> bool:
    rows = "".join(f"<row><value>{piece}</value></row>" for piece in pieces)
    body = f"<rows>{rows}</rows>".encode()
    return ask(judge, b"POST /collect", b"Content-Type: application/xml\r\n", body).blocked


def _messages(judge: Judge, pieces: Pieces) -> bool:
    window = judge.message_window(Target("https", HOST, 443, "GET", "/s"), "ws_message")
    return any(outcome(window.judge(piece.encode())).blocked for piece in pieces)


def _wrapped_messages(judge: Judge, pieces: Pieces) -> bool:
    window = judge.message_window(Target("https", HOST, 443, "GET", "/s"), "ws_message")
    return any(
        outcome(window.judge(json.dumps({"type": "delta", "text": piece}).encode())).blocked
        for piece in pieces
    )


def _in_time_query(judge: Judge, pieces: Pieces) -> bool:
    return any(
        ask(judge, f"GET /collect?part={n}&text={piece}".encode(), b"").blocked
        for n, piece in enumerate(pieces)
    )


def _in_time_json(judge: Judge, pieces: Pieces) -> bool:
    return any(_post(judge, {"seq": n, "note": piece}) for n, piece in enumerate(pieces))


WAYS: dict[str, Way] = {
    "JSON array": _array,
    "JSON members": _members,
    "JSON records": _records,
    "query": _query,
    "path": _path,
    "headers": _headers,
    "cookies": _cookies,
    "form": _form,
    "multipart": _parts,
    "CSV": _lines,
    "XML": _xml,
    "messages": _messages,
    "JSON messages": _wrapped_messages,
    "requests, query": _in_time_query,
    "requests, JSON": _in_time_json,
}
"""Ways to send pieces."""
SOME = 60
"""About so many secrets are cut."""
LONGEST = 120
"""Characters of a secret that is cut: each may become a header field, of which there are limits."""


def cut(secret: Secret, number: int) -> list[str]:
    """Cut into `number` pieces at places drawn by the secret; 0: into single characters."""
    text = secret.text.decode()
    if not number:
        return list(text)
    draw = random.Random(f"cut/{secret.rule.id}/{secret.number}/{secret.salt}/{number}")
    at = sorted(draw.sample(range(3, len(text) - 2), number - 1))
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]


def plain_secrets(rules: Sequence[Rule], salts: int) -> Iterator[Secret]:
    """Those that a client need not escape in any of the ways, of rules that look for pieces."""
    for secret in secrets([rule for rule in rules if is_split(rule)], salts):
        text = secret.text.decode("latin-1")
        if all(char.isalnum() or char in "-_.~" for char in text) and 12 <= len(text) <= LONGEST:
            yield secret


def whole(scanner: Scanner, rules: Sequence[Rule]) -> tuple[int, list[str]]:
    """Every way, two to four pieces and single characters. See `cuts.whole`."""
    count: Counter[tuple[str, int]] = Counter()
    missed: Counter[tuple[str, int]] = Counter()
    names: dict[tuple[str, int], list[str]] = {}
    some = list(plain_secrets(rules, 1))
    for secret in some[:: max(1, len(some) // SOME)]:
        for way, send in WAYS.items():
            for number in (2, 3, 4, 0):
                judge = judge_of(scanner)
                count[way, number] += 1
                if not send(judge, cut(secret, number)):
                    missed[way, number] += 1
                    names.setdefault((way, number), []).append(secret.rule.id)
    lines = []
    for (way, number), total in count.items():
        if lost := missed[way, number]:
            pieces = f"{number} pieces" if number else "single characters"
            who = ", ".join(dict.fromkeys(names[way, number][:4]))
            lines.append(f"{way}, {pieces}: {lost} of {total} missed ({who})")
    return sum(count.values()), lines
