"""Secrets in host names: labels joined and decoded, then fed to the rules.

Names are case-insensitive, so the rules run without regard to case, and a secret may be cut into
labels of at most 63 bytes (RFC 1035 section 2.3.4), as it is or in an encoding
(`interceptor.scan.naming.readings`), in an order that the labels themselves say
(`interceptor.scan.naming.orders`), and over several names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

import msgspec

from interceptor.scan.engine import RawFinding, Scanner
from interceptor.scan.naming.orders import orders
from interceptor.scan.naming.ordinary import ordinary
from interceptor.scan.naming.readings import by_length, readings, stretches, turned
from interceptor.scan.naming.words import spells

SHORTEST: Final = 8
"""Characters of the shortest known secret: no shorter name carries one."""
MAX_NAME: Final = 253
TELLING: Final = 60.0
"""Bits that labels must be able to say together before they are decoded: less is no secret."""
DENSE: Final = 3.2
"""Bits for each character, likewise: ordinary words take less, and are looked at as words."""

_BESIDE: Final = 3  # labels after those that carry something

_NAME = re.compile(
    r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
    r"(?:\.[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)*\Z"
)
_LABEL = re.compile(r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\Z")


def fault(name: str) -> str:
    """Return what is wrong with the shape of a host name, or an empty text.

    Letters, digits, hyphens and underscores; labels of 1 to 63, together at most 253 (RFC 1035
    section 2.3.1, RFC 1123 section 2.1; underscores as in RFC 8552).
    """
    if len(name) <= MAX_NAME and _NAME.match(name):
        return ""
    if not name:
        return "the name is empty"
    if len(name) > MAX_NAME:
        return f"the name is longer than {MAX_NAME} characters"
    for label in name.split("."):
        if not _LABEL.match(label):
            if not label:
                return "a label is empty"
            if len(label) > 63:
                return "a label is longer than 63 characters"
            return "a label holds other characters than letters, digits, hyphens and underscores"
    return ""


def scan_name(scanner: Scanner, name: str, key: bytes = b"", domain: str = "") -> list[RawFinding]:
    """Scan a name that has no fault; returns what was found.

    Args:
        scanner: for this thread alone.
        name: in the case it was seen in, without trailing dot.
        key: key of the digests.
        domain: the registrable domain, whose labels carry nothing; empty: any label may.
    """
    if len(name) < SHORTEST:
        return []
    folded = name.lower()
    payload = folded[: -len(domain)] if domain else folded
    # Once with dots, once without: one pass over both.
    text = f"{folded}\n{folded.replace('.', '')}" if "." in payload[:-1] else folded
    found = _folded(scanner, text, folded, key)
    labels = name[: len(payload)].rstrip(".").split(".") if payload else []
    if tells(payload):
        found += _decoded(scanner, chain(_texts(labels), orders(labels)), key)
        found += _read(scanner, by_length(labels), key)
        if name != folded:
            found += _decoded(scanner, [(_of_case(name),)], key, "case")
    return found


def _texts(labels: list[str]) -> Iterator[Sequence[str]]:
    """Yield what of a name's labels may belong together: beside them others may stand."""
    yield labels
    if len(labels) < 2:
        return
    yield labels[::-1]
    for last in range(len(labels) - 1, max(0, len(labels) - 1 - _BESIDE), -1):
        yield labels[:last]
        yield labels[last - 1 :: -1]
        yield labels[1:last]
    yield labels[1:]
    for label in labels:
        yield [label]
    yield from stretches(labels)


def tells(payload: str) -> bool:
    """Say whether lower-case labels could hold a secret in an encoding, however it is called.

    Args:
        payload: labels and the dots between them.
    """
    cost = ordinary().cost
    bits = sum([cost(label) for label in payload.split(".") if label])
    if bits < TELLING:
        return False
    return bits >= DENSE * len(payload) or spells(payload)


def scan_sequence(
    scanner: Scanner, names: Sequence[Sequence[str]], key: bytes = b""
) -> list[RawFinding]:
    """Scan what several names hold together, in the order in which they came.

    Args:
        scanner: for this thread alone.
        names: for each the labels that carry something, in the case they were seen in.
        key: key of the digests.

    Returns:
        Findings whose encoding begins with `requests`, whether or not one name holds them whole.
    """
    pieces = ["-".join(labels) for labels in names]
    every = [label for labels in names for label in labels]
    texts = [every, every[::-1], pieces[::-1], *orders(pieces)]
    found: list[RawFinding] = []
    for text in texts:
        joined = "".join(text).lower()
        found += _folded(scanner, joined, "", key)
        bare = joined.replace("-", "").replace("_", "")
        if bare != joined:
            found += _folded(scanner, bare, "", key)
    found += _decoded(scanner, texts, key)
    found += _read(scanner, by_length(every), key)
    return [msgspec.structs.replace(f, encoding=_chain("requests", f.encoding)) for f in found]


def _folded(scanner: Scanner, text: str, dotted: str, key: bytes) -> list[RawFinding]:
    """Scan without regard to case. `text` begins with `dotted`, or has no dots at all."""
    found = []
    for raw in scanner.scan_folded(text.encode("ascii"), "", key):
        if not _plausible(text, dotted, raw):
            continue
        whole = raw.start < len(dotted)
        found.append(raw if whole else msgspec.structs.replace(raw, encoding="labels"))
    return found


def _decoded(
    scanner: Scanner, texts: Iterable[Sequence[str]], key: bytes, encoding: str = ""
) -> list[RawFinding]:
    found: list[RawFinding] = []
    for text in dict.fromkeys(map(tuple, texts)):
        found += _read(scanner, readings(text), key, encoding)
        if len(text) > 1:
            found += _folded(scanner, "".join(text).lower(), "", key)
        for way, out in turned(text):
            found += [
                msgspec.structs.replace(raw, encoding=way)
                for raw in scanner.scan_folded(out, "", key)
                if not out[raw.start - 1 : raw.start].isalnum()  # within a word it is chance
            ]
    return found


def _read(
    scanner: Scanner, read: Iterable[tuple[str, bytes]], key: bytes, outer: str = ""
) -> list[RawFinding]:
    """Scan what was read, as it is and without regard to case where that was lost."""
    found: list[RawFinding] = []
    for how, out in read:
        encoding = _chain(outer, how) if outer else how
        inner = scanner.scan(out, "name", key).findings
        if not inner and out.isascii():
            inner = tuple(
                raw for raw in scanner.scan_folded(out.lower(), "", key) if _starts(out, raw)
            )
        found += [
            RawFinding(raw.rule, raw.start, raw.end, _chain(encoding, raw.encoding), raw.digest)
            for raw in inner
        ]
    return found


def _chain(outer: str, inner: str) -> str:
    return f"{outer}>{inner}" if inner else outer


def _starts(text: bytes, raw: RawFinding) -> bool:
    """Say whether a key with its case gone begins where a text does, or has digits."""
    before = text[raw.start - 1 : raw.start]
    digits = text[raw.start + 4 : raw.end].translate(None, _NO_DIGITS)
    return bool(digits) or not before.isalnum()


def _plausible(text: str, dotted: str, raw: RawFinding) -> bool:
    """Tell `akia...` the key id from `slovakiatravelguides` the word.

    With case gone, a prefix of letters stands inside words. A key begins where a label begins, or
    holds digits as words do not.
    """
    secret = text[raw.start : raw.end]
    if any(c.isdigit() for c in secret[4:]) or not raw.start:
        return True
    if text[raw.start - 1] in "-_.\n":
        return True
    if not dotted or raw.start < len(dotted):
        return False
    at, starts = len(dotted) + 1, set()
    for label in dotted.split("."):
        starts.add(at)
        at += len(label)
    return raw.start in starts


def bits_of_case(name: str) -> str:
    """Return `1` for each capital and `0` for each small letter of a name."""
    return "".join(["1" if c.isupper() else "0" for c in name if c.isalpha()])


def _of_case(name: str) -> str:
    """Return the bits that the case of letters spells, as hexadecimal digits."""
    bits = bits_of_case(name)
    size = len(bits) // 8
    return f"{int(bits[: 8 * size] or '0', 2):0{2 * size}x}" if size else ""


_NO_DIGITS: Final = bytes(sorted(set(range(256)) - set(b"0123456789")))
