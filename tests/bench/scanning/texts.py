"""Ordinary texts of a given size, drawn by seed: no two are the same, and none holds a secret."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Callable

_WORDS = """
the a of and to in is that for it as was with be by on not he his but at are this have from
or had an they which one you were all her she there would their we him been has when who
will no more if out so up said what its about than into them can only other time new some
could these two may first then do any like my now over such our man me even most made after
also did many off before must well back through years much where your way down should
because long each just state people those too mr how little good world make very year still
see own work men day get here old life both between being under three never know same last
another while us might great go come since against right came take used himself few house
american use place during high without again home around small however found mrs part school
thought went say general once server request response header cookie session token value key
field record table column query index cache memory thread process socket stream buffer
parser encoder decoder handler module function returns argument exception error warning
message version release branch commit merge
""".split()  # noqa: SIM905 - a list of two hundred words reads better so
_NAMES = (
    "getUserName",
    "parse_request",
    "HttpClient",
    "max_retries",
    "onClick",
    "__init__",
    "i18n",
)


def prose(draw: random.Random, size: int) -> bytes:
    """Sentences, with numbers, names and links among the words."""
    parts: list[str] = []
    length = 0
    while length < size:
        words = draw.choices(_WORDS, k=draw.randint(6, 22))
        if draw.random() < 0.15:
            words[draw.randrange(len(words))] = draw.choice(_NAMES) + "()"
        if draw.random() < 0.15:
            words[draw.randrange(len(words))] = str(draw.randint(1, 99_999))
        if draw.random() < 0.03:
            words.append(f"(see https://docs.example.com/guide/{draw.choice(_WORDS)}.html#a1)")
        sentence = " ".join(words).capitalize() + draw.choice((". ", ". ", "? ", ".\n\n", ": "))
        parts.append(sentence)
        length += len(sentence)
    return "".join(parts).encode()[:size]


def code(draw: random.Random, size: int) -> bytes:
    """Source code of no language in particular."""
    parts: list[str] = []
    length = 0
    while length < size:
        a, b, c = draw.choices(_WORDS, k=3)
        line = draw.choice(
            (
                f"    if ({a} != null && {b}.{c}Count > {draw.randint(0, 99)}) {{\n",
                f"    const {a}_{b} = await this.{c}.fetch(`/api/${{{a}}}/{b}`);\n",
                f"def {a}_{b}({c}: int = {draw.randint(0, 9)}) -> None:  # {b} of {c}\n",
                f'        "{a}": {{"{b}": [{draw.randint(0, 9)}, {draw.randint(0, 9)}]}},\n',
                f"    return {a}[{draw.randint(0, 99)}] + self._{b}[{c!r}]\n",
                "    }\n",
            )
        )
        parts.append(line)
        length += len(line)
    return "".join(parts).encode()[:size]


def document(draw: random.Random, size: int) -> bytes:
    """JSON as agents send it to a language model: messages, tool calls, ids, code."""
    messages: list[dict[str, object]] = []
    length = 0
    while length < size:
        kind = draw.random()
        if kind < 0.5:
            text = prose(draw, draw.randint(80, 600)).decode()
            message: dict[str, object] = {
                "role": draw.choice(("user", "assistant")),
                "content": text,
            }
        elif kind < 0.8:
            text = code(draw, draw.randint(200, 900)).decode()
            call = {"id": f"call_{draw.getrandbits(60):x}", "name": "write_file", "content": text}
            message = {"role": "assistant", "tool_calls": [call]}
        else:
            rows = [
                {
                    "id": str(uuid.UUID(int=draw.getrandbits(128), version=4)),
                    "created": f"2026-0{draw.randint(1, 9)}-1{draw.randint(0, 9)}T12:00:00Z",
                    "score": round(draw.random(), 6),
                    "active": draw.random() < 0.5,
                }
                for _ in range(draw.randint(1, 5))
            ]
            message = {"role": "tool", "content": json.dumps(rows)}
        messages.append(message)
        length += len(json.dumps(message)) + 2
    return json.dumps({"model": "m-1", "messages": messages, "stream": True}).encode()[:size]


def base64_heavy(draw: random.Random, size: int) -> bytes:
    """JSON most of which is base64: images, embeddings, signatures."""
    parts = []
    length = 0
    while length < size:
        blob = base64.b64encode(draw.randbytes(draw.choice((48, 300, 1200, 6000)))).decode()
        part = json.dumps({"type": "image", "name": draw.choice(_WORDS), "data": blob})
        parts.append(part)
        length += len(part) + 2
    return ("[" + ", ".join(parts)).encode()[:size]


def binary(draw: random.Random, size: int) -> bytes:
    """Compressed data, an image or a pack: bytes without meaning."""
    return draw.randbytes(size)


def chinese(draw: random.Random, size: int) -> bytes:
    """Text outside ASCII."""
    chars = "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你"
    return "".join(draw.choices(chars + "，。", k=size // 3)).encode()[:size]


def short(draw: random.Random, size: int) -> bytes:
    """A request line or a tool's argument."""
    text = f"GET /v1/{draw.choice(_WORDS)}/{draw.randint(1, 9999)}?page={draw.randint(1, 9)}&sort="
    text += (
        f"{draw.choice(_WORDS)}&fields={draw.choice(_WORDS)},{draw.choice(_WORDS)} HTTP/1.1 ok ok"
    )
    return text.encode().ljust(size, b".")[:size]


KINDS: dict[str, Callable[[random.Random, int], bytes]] = {
    "short": short,
    "prose": prose,
    "code": code,
    "JSON": document,
    "base64-heavy": base64_heavy,
    "binary": binary,
    "Chinese": chinese,
}
"""Makers by name."""


def texts(kind: str, size: int, number: int, seed: int = 0) -> list[bytes]:
    """`number` different texts of `size` bytes."""
    return [KINDS[kind](random.Random(f"{kind}/{seed}/{i}"), size) for i in range(number)]
