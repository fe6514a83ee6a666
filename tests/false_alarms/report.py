"""What came of the corpus: blocked items by family and rule, and what is really a secret in it."""

from __future__ import annotations

import base64
import binascii
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from tests.false_alarms.items import Item, Result

GOAL = 0.003
"""Share of items that may be blocked."""
_PEM = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?)-----(.{40,8000}?)-----END \1-----", re.DOTALL
)
_BREAKS = re.compile(rb"""\\+[rn]|["'][\s+,]*["']|[\s"',]+""")  # a lone `+` is base64's own
_NOTED = Path(__file__).with_name("defended.toml")


class Noted(NamedTuple):
    """A block that is accounted for."""

    rule: str
    item: str
    """Regular expression that the item's name matches."""
    verdict: str
    """`secret`: it is one; `defended`: looks like one to anybody; `defect`: reported."""
    why: str


def noted() -> list[Noted]:
    """The entries of `defended.toml`."""
    return [Noted(**entry) for entry in tomllib.loads(_NOTED.read_text("utf-8"))["entry"]]


def private_keys(data: bytes) -> int:
    """Count private keys in PEM that load, or are sealed with a pass phrase: these are secrets."""
    count = 0
    for label, body in _PEM.findall(data):
        if b"ENCRYPTED" in body:  # sealed in the old way, RFC 1421 section 4.6
            count += 1
            continue
        lines = _BREAKS.sub(b"\n", body)
        text = b"-----BEGIN %b-----%b-----END %b-----\n" % (label, lines, label)
        count += _loads(text, label, lines)
    return count


def _loads(text: bytes, label: bytes, body: bytes) -> bool:
    load = load_ssh_private_key if label.startswith(b"OPENSSH") else load_pem_private_key
    try:
        load(text, None)
    except TypeError:  # it is sealed
        return True
    except UnsupportedAlgorithm:
        return True
    except ValueError:
        # The library refuses weak and unusual keys too: what is left is to ask for DER.
        try:
            raw = base64.b64decode(b"".join(body.split(b"\n\n")[-1].split()), validate=True)
        except binascii.Error:
            return False
        return raw[:1] == b"\x30" or raw.startswith(b"openssh-key-v1") or label.startswith(b"PGP")
    return True


def is_secret(item: Item, rules: Iterable[str]) -> bool:
    """Whether all that was found is the private keys that the item's file does hold."""
    keys = all(rule.startswith("private-key") for rule in rules)
    return keys and private_keys(item.source or item.body) > 0


class Summary:
    """The whole in figures.

    Attributes:
        total: items by family.
        blocked: results that are false alarms, noted or not.
        secrets: results that hold a secret, recognised here or noted as one.
        unnoted: those of `blocked` that no note accounts for.
    """

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.blocked: list[tuple[Result, Noted | None]] = []
        self.secrets: list[Result] = []
        self._notes = noted()

    def add(self, result: Result) -> None:
        """Count one."""
        self.total[result.item.family] += 1
        if not result.blocked:
            return
        rules = rules_of(result)
        note = self._note(result.item.name, rules)
        if is_secret(result.item, rules) or (note is not None and note.verdict == "secret"):
            self.secrets.append(result)
        else:
            self.blocked.append((result, note))

    def _note(self, name: str, rules: Sequence[str]) -> Noted | None:
        for note in self._notes:
            if note.rule in rules and re.search(note.item, name):
                return note
        return None

    @property
    def items(self) -> int:
        """All of them."""
        return sum(self.total.values())

    @property
    def rate(self) -> float:
        """Share of false alarms among the items that hold no secret."""
        return len(self.blocked) / max(1, self.items - len(self.secrets))

    def lines(self) -> list[str]:
        """The report."""
        alarms = Counter(result.item.family for result, _ in self.blocked)
        lines = [f"{'family':<18}{'items':>8}{'blocked':>9}"]
        lines += [f"{name:<18}{n:>8}{alarms[name]:>9}" for name, n in sorted(self.total.items())]
        lines.append(f"{'all':<18}{self.items:>8}{len(self.blocked):>9}")
        by_rule = Counter(rule for result, _ in self.blocked for rule in rules_of(result))
        if by_rule:
            lines += ["", "by rule: " + ", ".join(f"{r} {n}" for r, n in by_rule.most_common())]
        for result, note in self.blocked:
            said = f"{note.verdict}: {note.why}" if note else "not accounted for"
            lines.append(f"  {'+'.join(rules_of(result))}  {result.item.name}  [{said}]")
        lines += ["", f"items that do hold a secret, and are blocked for it: {len(self.secrets)}"]
        lines += [f"  {'+'.join(rules_of(r))}  {r.item.name}" for r in self.secrets]
        return lines


def rules_of(result: Result) -> list[str]:
    """Rules that blocked, or the reason where none did."""
    verdict = result.verdict
    if verdict is None:
        return []
    found = sorted({finding.rule for finding in verdict.findings if not finding.home})
    return found or [str(verdict.reason)]
