"""A glance spares only what reads as it is written: words that markup splits are found."""

from __future__ import annotations

import json

from interceptor.decide.judge import Judge
from interceptor.model import Target
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from tests.scan_samples import STEERS, sample_injections, sample_rules

JUDGE = Judge(Policy(), Scanner.build(sample_rules(), None), b"k" * 16, sample_injections())


def split(before: str, behind: str) -> str:
    return "".join(f"{before}{STEERS[at : at + 3]}{behind}" for at in range(0, len(STEERS), 3))


def judged(kind: str, content: bytes, path: str, step: int) -> tuple[bool, bool]:
    """Whether it is found when it is there at once, and in pieces."""
    target = Target("https", "www.example.com", 443, "GET", path)
    at_once = not JUDGE.finds_nothing(target, kind.encode(), content)
    document = JUDGE.inbound_document(target, kind.encode(), content[: max(step, 1024)])
    if document is None:
        return at_once, False
    for at in range(0, len(content), step):
        document.feed(content[at : at + step])
    document.finish()
    return at_once, document.verdict() is not None


def test_words_that_markup_splits_are_found() -> None:
    elements, escaped = split("<b>", "</b>"), "".join(f"\\u{ord(c):04x}" for c in STEERS)
    cases = (
        ("text/html", f"<p>{elements}</p>", "/"),
        ("application/json", json.dumps({"body_html": f"<p>{elements}</p>"}), "/"),
        ("text/plain", json.dumps({"body_html": f"<p>{elements}</p>"}), "/data.json"),
        ("application/json", json.dumps({"body_html": STEERS.replace(" ", "&nbsp;")}), "/"),
        ("application/json", f'{{"a": "{escaped}"}}', "/"),
        ("text/markdown", split("", "<!-- -->"), "/"),
        ("text/plain", split("", "<!-- -->"), "/README.md?raw=1"),
    )
    for kind, text, path in cases:
        for step in (7, 4096):
            content = b"\n" * 20 + text.encode()
            assert judged(kind, content, path, step) == (True, True), (kind, text, path, step)


def test_what_holds_nothing_is_spared() -> None:
    cases = (
        ("application/json", b'{"next": "https://x.example/?a=1&b=2", "title": "a > b"}'),
        ("text/plain", b"if a < b && c: the end"),
        ("text/html", b"<p>nothing in <b>it</b></p>"),
        ("application/octet-stream", bytes(range(256))),
    )
    for kind, content in cases:
        assert judged(kind, content, "/", 5) == (False, False), kind
