"""Secrets in host names: labels joined and decoded, then fed to the rules.

Names are case-insensitive, so the rules run without regard to case, and a secret may be cut into
labels of at most 63 bytes (RFC 1035 section 2.3.4), as it is or in hex, base32 or base64url.
"""

from __future__ import annotations

import base64
import binascii
import re

from interceptor.scan.decoders.runs import MIN_BASE64, MIN_HEX, base64_phases, hex_phases
from interceptor.scan.engine import RawFinding, Scanner

SHORTEST = 20
"""No credential is shorter, so no shorter name carries one."""
MAX_NAME = 253
MIN_BASE32 = 32

_LABEL = re.compile(r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\Z")
_HEX = re.compile(r"[0-9a-f]+\Z")
_BASE32 = re.compile(r"[a-z2-7]+\Z")
_BASE64 = re.compile(r"[a-zA-Z0-9_-]+\Z")


def fault(name: str) -> str:
    """Return what is wrong with the shape of a host name, or an empty text.

    Letters, digits, hyphens and underscores; labels of 1 to 63, together at most 253 (RFC 1035
    section 2.3.1, RFC 1123 section 2.1; underscores as in RFC 8552).
    """
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


def scan_name(scanner: Scanner, name: str, key: bytes = b"") -> list[RawFinding]:
    """Scan a name that has no fault; returns what was found."""
    if len(name) < SHORTEST:
        return []
    folded = name.lower()
    labels = folded.split(".")
    joined = "".join(labels)
    found = scanner.scan_folded(folded.encode("ascii"), "", key)
    found += scanner.scan_folded(joined.encode("ascii"), "labels", key)
    found = [finding for finding in found if _plausible(finding, labels)]
    for encoding, decoded in _decoded(name.split("."), labels):
        found += [
            RawFinding(f.rule, f.start, f.end, _chain(encoding, f.encoding), f.digest)
            for f in scanner.scan(decoded, "name", key).findings
        ]
    return found


def _chain(outer: str, inner: str) -> str:
    return f"{outer}>{inner}" if inner else outer


def _plausible(finding: RawFinding, labels: list[str]) -> bool:
    """Tell `akia...` the key id from `slovakiatravelguides` the word.

    With case gone, a prefix of letters stands inside words. A key begins where a label begins, or
    holds digits as words do not.
    """
    text = (".".join if not finding.encoding else "".join)(labels)
    secret = text[finding.start : finding.end]
    if any(c.isdigit() for c in secret[4:]):
        return True
    starts, at = {0}, 0
    for label in labels:
        at += len(label) + (not finding.encoding)
        starts.add(at)
    return finding.start in starts or text[finding.start - 1] in "-_"


def _decoded(raw: list[str], labels: list[str]) -> list[tuple[str, bytes]]:
    """Decode each label, and neighbours joined, where their alphabet allows it."""
    found: list[tuple[str, bytes]] = []
    for text in _stretches(labels, _HEX):
        if len(text) >= MIN_HEX:
            found += [("hex", out) for out in hex_phases(text.encode())]
    for text in _stretches(labels, _BASE32):
        if len(text) >= MIN_BASE32:
            found += [("base32", out) for out in _base32_phases(text)]
    if raw != labels:  # base64 survives only where case does
        for text in _stretches(raw, _BASE64):
            if len(text) >= MIN_BASE64:
                found += [("base64", out) for out in base64_phases(text.encode())]
    return found


def _stretches(labels: list[str], alphabet: re.Pattern[str]) -> list[str]:
    """Join neighbouring labels of an alphabet, and give the long labels singly as well."""
    stretches: list[str] = []
    current: list[str] = []
    for label in [*labels, "."]:
        if alphabet.match(label):
            current.append(label)
        elif current:
            stretches.append("".join(current))
            if len(current) > 1:
                stretches += [label for label in current if len(label) >= SHORTEST]
            current = []
    return stretches


def _base32_phases(text: str) -> list[bytes]:
    """Decode base32 (RFC 4648) at each of the eight offsets a stretch may begin at."""
    found = []
    for offset in range(8):
        body = text[offset:].upper()
        body = body[: len(body) - (len(body) % 8 in (1, 3, 6))]
        try:
            found.append(base64.b32decode(body + "=" * (-len(body) % 8)))
        except binascii.Error:  # pragma: no cover - the alphabet and length were checked
            continue
    return found
