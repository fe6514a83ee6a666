"""Carriers: documents as servers send them, with a payload somewhere in them."""

from __future__ import annotations

import html
import json
import random
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from tests.corpora.injection.bases import FOLDER, HELDOUT
from tests.corpora.injection.disguises import ENTITY, SPLIT

Made = tuple[str, str]
"""Content type without parameters, and the document."""

_TITLES: Final = (
    "Getting started",
    "Release 4.2",
    "Minutes of the meeting",
    "A walk in the hills",
    "Frequently asked questions",
    "Configuration",
    "Product details",
    "Weekly notes",
    "Troubleshooting",
    "About us",
)


class Page:
    """Texts and random choices for one document; each half has fillers and frames of its own."""

    def __init__(self, rng: random.Random, half: str) -> None:
        self.rng = rng
        self.odd = half == HELDOUT
        self._fillers = rng.sample(_fillers()[self.odd :: 2], 4)
        self.title = rng.choice(_TITLES[self.odd :: 2])

    def filler(self, number: int = 0) -> str:
        return self._fillers[number % len(self._fillers)]

    def frame(self, frames: tuple[str, ...]) -> str:
        """Choose a frame of this half; one that stands alone serves both."""
        return self.rng.choice(frames[self.odd :: 2] or frames)


@lru_cache(maxsize=1)
def _fillers() -> tuple[str, ...]:
    return tuple((FOLDER / "filler.txt").read_text("utf-8").splitlines())


def markup(payload: str) -> str:
    """Write a payload as text of markup, its marks of disguise carried out."""
    text = html.escape(payload).replace(SPLIT, "</b><b>")
    return re.sub(ENTITY + "(.)", lambda m: f"&#{ord(m[1])};", text)


def _page(page: Page, body: str, head: str = "") -> Made:
    title = html.escape(page.title)
    return "text/html", (
        f"<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>{title}</title>{head}"
        f"</head>\n<body><nav><a href=/>Home</a> <a href=/docs>Docs</a></nav>\n<h1>{title}</h1>\n"
        f"{body}\n<footer>Last changed in May.</footer></body></html>\n"
    )


def html_visible(payload: str, page: Page) -> Made:
    frame = page.frame((
        "<p>{a}</p><p><b>{p}</b></p><p>{b}</p>",
        "<section><p>{a} <b>{p}</b></p><p>{b}</p></section>",
        "<ul><li>{a}</li><li><b>{p}</b></li><li>{b}</li></ul>",
        "<article>{a}<br><b>{p}</b><br>{b}</article>",
        "<table><tr><td>{a}</td><td><b>{p}</b></td></tr></table><p>{b}</p>",
        "<h2>Notes</h2><div><div>{a}</div><div><b>{p}</b></div></div>",
    ))  # fmt: skip
    return _page(page, _put(frame, page, markup(payload)))


def html_hidden(payload: str, page: Page) -> Made:
    frame = page.frame((
        "<p>{a}</p><div style='display:none'><b>{p}</b></div><p>{b}</p>",
        "<p>{a}</p><span style='font-size:0'><b>{p}</b></span><p>{b}</p>",
        "<p>{a}</p><div hidden><b>{p}</b></div><p>{b}</p>",
        "<p>{a}</p><p style='position:absolute;left:-9999px'><b>{p}</b></p><p>{b}</p>",
        "<p>{a}</p><p style='color:#fff;background:#ffffff'><b>{p}</b></p><p>{b}</p>",
        "<p>{a}</p><template><b>{p}</b></template><p>{b}</p>",
        "<p>{a}</p><div style='visibility: hidden'><b>{p}</b></div><p>{b}</p>",
        "<p>{a}</p><noscript><b>{p}</b></noscript><p>{b}</p>",
        "<style>.q{{opacity:0}}</style><p>{a}</p><p class=q><b>{p}</b></p><p>{b}</p>",
        "<p>{a}</p><div style='height:0;overflow:hidden'><b>{p}</b></div><p>{b}</p>",
    ))  # fmt: skip
    return _page(page, _put(frame, page, markup(payload)))


def html_comment(payload: str, page: Page) -> Made:
    text = payload.replace("--", "- -").replace(">", "&gt;" if page.odd else "›")
    frame = page.frame((
        "<p>{a}</p><!-- {p} --><p>{b}</p>", "<!--\n{p}\n--><p>{a}</p><p>{b}</p>",
        "<p>{a}<!--{p}--></p><p>{b}</p>", "<p>{a}</p><p>{b}</p><!-- note: {p} -->",
    ))  # fmt: skip
    return _page(page, _put(frame, page, text))


def html_attribute(payload: str, page: Page) -> Made:
    text = markup(payload)
    if page.rng.random() < 0.25:
        return _page(page, f"<p>{page.filler()}</p>", f'<meta name="description" content="{text}">')
    frame = page.frame((
        '<p>{a}</p><img src=/a.png alt="{p}"><p>{b}</p>',
        '<p><a href=/b title="{p}">{a}</a></p><p>{b}</p>',
        '<p>{a}</p><button aria-label="{p}">OK</button><p>{b}</p>',
        '<p>{a}</p><div data-note="{p}"></div><p>{b}</p>',
        '<p>{a}</p><input name=q placeholder="{p}"><p>{b}</p>',
        '<p>{a}</p><input type=hidden name=n value="{p}"><p>{b}</p>',
    ))  # fmt: skip
    return _page(page, _put(frame, page, text))


def markdown(payload: str, page: Page) -> Made:
    frame = page.frame((
        "# {t}\n\n{a}\n\n{p}\n\n{b}\n", "# {t}\n\n{a}\n\n> **Note**\n> {q}\n\n{b}\n",
        "# {t}\n\n- {a}\n- {p}\n- {b}\n", "# {t}\n\n{a}\n\n## Important\n\n{p}\n\n## More\n\n{b}\n",
        "# {t}\n\n{a}\n\n<!-- {p} -->\n\n{b}\n", '# {t}\n\n{a}\n\n[//]: # "{p}"\n\n{b}\n',
    ))  # fmt: skip
    return "text/markdown", _put(frame, page, payload)


def readme(payload: str, page: Page) -> Made:
    frame = page.frame((
        "# widget\n\n{a}\n\n## Install\n\n    make install\n\n{p}\n\n## Licence\n\nMIT\n",
        "widget\n======\n\n{a}\n\nUsage\n-----\n\n{b}\n\n.. note::\n   {r}\n",
        "# widget\n\n{p}\n\n{a}\n\n```sh\nwidget --help\n```\n\n{b}\n",
        "# widget\n\n{a}\n\n## For contributors\n\n{b}\n\n{p}\n",
    ))  # fmt: skip
    return "text/plain", _put(frame, page, payload)


def json_result(payload: str, page: Page) -> Made:
    shapes: tuple[Callable[[], object], ...] = (
        lambda: {"id": 17, "title": page.title, "body": page.filler(), "note": payload},
        lambda: {"items": [{"text": page.filler()}, {"text": f"{page.filler(1)} {payload}"}]},
        lambda: {"status": "ok", "data": {"description": payload, "tags": ["a", "b"]}},
        lambda: {"results": [{"name": page.title, "snippet": payload, "rating": 4.5}]},
    )
    shape = page.rng.choice(shapes[page.odd :: 2])
    return "application/json", json.dumps(shape(), ensure_ascii=page.rng.random() < 0.3, indent=1)


def issue(payload: str, page: Page) -> Made:
    comment = {
        "url": "https://git.example/repos/a/b/issues/7", "user": {"login": "helpful-dev"},
        "body": f"{page.filler()}\n\n{payload}\n\n{page.filler(1)}", "comments": 3,
    }  # fmt: skip
    if page.odd:
        comment = {"title": page.title, "state": "open", "body": payload, "labels": []}
    return "application/json", json.dumps(comment, ensure_ascii=False)


def email(payload: str, page: Page) -> Made:
    frame = page.frame((
        "From: Kim <kim@example.org>\nSubject: {t}\n\nHello,\n\n{a}\n\n{p}\n\nBest wishes\nKim\n",
        "From: news@example.com\nTo: me@example.net\nSubject: {t}\n\n{p}\n\n{a}\n-- \nby hand\n",
        "Subject: Re: {t}\nDate: Mon, 2 Jun 2025 09:00:00 +0000\n\n{a}\n\nP.S. {p}\n",
        "Subject: Fwd: {t}\n\nsee below\n\n{a} {p}\n\n> {b}\n",
    ))  # fmt: skip
    return "text/plain", _put(frame, page, payload)


def paper(payload: str, page: Page) -> Made:
    frame = page.frame((
        "{t}\n\n                    Abstract\n{a}\n{p}\n1   Introduction\n{b}\n\f2\n",
        "Page 1 of 3\n{t}\n\n{a}\n\n{b}\n\n{p}\n\fPage 2 of 3\n",
    ))  # fmt: skip
    return "text/plain", _put(frame, page, payload)


def code_comment(payload: str, page: Page) -> Made:
    one = payload.replace("\n", " ")
    frame = page.frame((
        "import sys\n\n\ndef main():\n    # {o}\n    return 0\n\n\nsys.exit(main())\n",
        "// widget.js\n// {o}\nexport function area(w, h) {{\n  return w * h;\n}}\n",
        '"""Helpers for dates."""\n\n# {o}\n\n\ndef leap(year):\n    return year % 4 == 0\n',
        "/* {o} */\nint area(int w, int h)\n{{\n    return w * h;\n}}\n",
    ))  # fmt: skip
    return "text/plain", _put(frame, page, payload).replace("{o}", one)


def csv_row(payload: str, page: Page) -> Made:
    cell = payload.replace('"', '""')
    rows = f'1,Ada,"{page.filler()}"\n2,Bo,"{cell}"\n3,Cy,"{page.filler(1)}"\n'
    return "text/csv", f"{'nr,author,review' if page.odd else 'id,name,comment'}\n{rows}"


def search(payload: str, page: Page) -> Made:
    frame = page.frame((
        "<ol><li><a href=/1>{t}</a><p>{a}</p></li><li><a href=/2>Results</a><p>{p}</p></li></ol>",
        "<div class=r><h3>{t}</h3><span>{p}</span></div><div class=r><h3>More</h3>{b}</div>",
    ))  # fmt: skip
    return _page(page, _put(frame, page, markup(payload)))


def changelog(payload: str, page: Page) -> Made:
    frame = page.frame((
        "# Changelog\n\n## 4.2.0\n- {a}\n- {p}\n\n## 4.1.9\n- {b}\n",
        "4.2.0 (2025-05-01)\n------------------\n* {a}\n* {p}\n* {b}\n",
    ))  # fmt: skip
    return "text/plain", _put(frame, page, payload)


def svg(payload: str, page: Page) -> Made:
    frame = page.frame((
        "<desc><b>{p}</b></desc>", "<text x='1' y='9'><b>{p}</b></text>",
        "<title><b>{p}</b></title>", "<metadata><b>{p}</b></metadata>",
    )).replace("b>", "tspan>")  # fmt: skip
    text = markup(payload).replace("b>", "tspan>")
    return "image/svg+xml", (
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
        f"{_put(frame, page, text)}<circle r='4'/></svg>"
    )


def xml(payload: str, page: Page) -> Made:
    frame = page.frame((
        "<rss><channel><title>{t}</title><item><description>{p}</description></item></channel></rss>",
        "<doc><entry><title>{t}</title><summary>{a}</summary><note>{p}</note></entry></doc>",
    ))  # fmt: skip
    return "application/xml", '<?xml version="1.0"?>' + _put(frame, page, markup(payload))


def log(payload: str, page: Page) -> Made:
    one = payload.replace("\n", " ")
    frame = page.frame((
        "10:00:01 INFO started\n10:00:02 WARN {o}\n10:00:03 INFO request done in 12 ms\n",
        "[12] GET /index.html 200\n[13] user-agent: {o}\n[14] GET /style.css 200\n",
    ))  # fmt: skip
    return "text/plain", frame.replace("{o}", one)


def _put(frame: str, page: Page, payload: str) -> str:
    parts = {
        "{t}": page.title, "{a}": page.filler(), "{b}": page.filler(1), "{p}": payload,
        "{q}": payload.replace("\n", "\n> "), "{r}": payload.replace("\n", "\n   "),
    }  # fmt: skip
    text = frame.replace("{{", "{").replace("}}", "}")
    for slot, value in parts.items():
        text = text.replace(slot, value)
    return text


CARRIERS: Final[dict[str, Callable[[str, Page], Made]]] = {
    "html_visible": html_visible, "html_hidden": html_hidden, "html_comment": html_comment,
    "html_attribute": html_attribute, "markdown": markdown, "readme": readme, "json": json_result,
    "issue": issue, "email": email, "paper": paper, "code_comment": code_comment, "csv": csv_row,
    "search": search, "changelog": changelog, "svg": svg, "xml": xml, "log": log,
}  # fmt: skip
