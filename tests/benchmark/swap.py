"""Other hosts and other secrets of the same kind, in whatever form a case holds them."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from interceptor.scan.ruleset import example
from interceptor.scan.validators.keccak import keccak256

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_URL64 = "[A-Za-z0-9_-]"
_INVISIBLE = "\u200b"

Maker = Callable[[random.Random, str], str]
"""(draw, sample) -> another secret of the sample's kind."""


def _drawn(draw: random.Random, *parts: str) -> str:
    return example(parts, str(draw.random())).decode()


def _hex(draw: random.Random, size: int) -> str:
    return f"{draw.getrandbits(size * 4):0{size}x}"


def _aws_secret(draw: random.Random, sample: str) -> str:
    # The benchmark's hexadecimal one has lost a character; so does its substitute.
    return _drawn(draw, "{base64:40}")[: len(sample)]


def _jwt(draw: random.Random, sample: str) -> str:
    """Same header, other claims and signature, of the same lengths."""
    head, claims, signature = sample.split(".")
    read = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    other = {key: _hex(draw, 10) for key in read}
    compact = json.dumps(other, separators=(",", ":"))
    text = base64.urlsafe_b64encode(compact.encode()).rstrip(b"=").decode()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return f"{head}.{text}.{''.join(draw.choices(alphabet, k=len(signature)))}"


def _wallet(draw: random.Random, _sample: str) -> str:
    """A P2PKH address: version 0, 20 bytes, four bytes of double SHA-256."""
    body = b"\0" + draw.randbytes(20)
    body += hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]
    number, text = int.from_bytes(body), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return "1" + text


def _contract(draw: random.Random) -> str:
    """An Ethereum address with its checksum in the case of its letters (EIP-55)."""
    address = _hex(draw, 40)
    digest = keccak256(address.encode()).hex()
    cased = (c.upper() if int(d, 16) > 7 else c for c, d in zip(address, digest, strict=False))
    return "0x" + "".join(cased)


def _iban(draw: random.Random, _sample: str) -> str:
    """A German IBAN: 18 digits, mod 97 (ISO 13616)."""
    account = f"{draw.randrange(10**18):018}"
    check = 98 - int(account + "131400") % 97
    return f"DE{check:02}{account}"


KINDS: tuple[tuple[str, Maker], ...] = (
    (rf"eyJ{_URL64}+\.eyJ{_URL64}+\.{_URL64}+", _jwt),
    ("AKIA[A-Z0-9]{16}", lambda draw, _: _drawn(draw, "AK", "IA", "{upper32:16}")),
    (r"wJalr[A-Za-z0-9/+]{34,35}", _aws_secret),
    # 34 characters in the benchmark, which no vendor issues: 36 with their checksum here.
    (r"ghp_[A-Za-z0-9]{20,}", lambda draw, _: _drawn(draw, "gh", "p_", "{alnum:30}", "{crc32:6}")),
    (
        r"sk-proj-[A-Za-z0-9]{30,}",
        lambda draw, _: _drawn(draw, "sk", "-proj-", "{url64:74}", "T3Blbk", "FJ", "{url64:74}"),
    ),
    (r"sk-test-[A-Za-z0-9]{24}", lambda draw, _: _drawn(draw, "sk", "-test-", "{alnum:24}")),
    (r"(?<=wallet=)1[1-9A-HJ-NP-Za-km-z]{25,34}", _wallet),
    (r"0x[0-9a-fA-F]{40}\b", lambda draw, _: _contract(draw)),
    (r"\bGB\d\d[A-Z]{4}\d{14}", _iban),
)
"""Patterns of the kinds of secrets that the benchmark plants, and makers of others."""


class Swapped:
    """A payload with everything put in place of something else.

    Attributes:
        payload: the payload.
        planted: the secrets that stand in it now, as they are and in the forms they stand in.
    """

    def __init__(self, payload: dict[str, Any], seed: str, *, shape: bool = False) -> None:
        """Swap everything; `shape` keeps a sample's shape, whether a vendor issues such or not."""
        draw = random.Random(f"benchmark/{seed}")
        text = json.dumps(payload, ensure_ascii=False)
        self.planted: list[str] = []
        self._hosts: dict[str, str] = {}
        for sample in sorted(set(_samples(text)), key=len, reverse=True):
            maker = next(maker for pattern, maker in KINDS if re.fullmatch(_bare(pattern), sample))
            other = maker(draw, sample)
            if shape and sample.startswith(("ghp_", "sk-proj-")):
                other = _shaped(draw, sample)
            text = self._replace(text, sample, other)
        text = re.sub(
            r"\b(127|0177|10)\.0\.0\.1\b",
            lambda found: f"{found[1]}.{draw.randint(1, 250)}.{draw.randint(1, 250)}.9",
            text,
        )
        text = _other_labels(text, draw, self.planted)
        text = re.sub(
            r"\b(https?|wss?)://([A-Za-z0-9.-]+\.[a-z]{2,})(?=[/\"?:])",
            lambda found: f"{found[1]}://{self._host(found[2], draw)}",
            text,
        )
        self.payload: dict[str, Any] = json.loads(text)

    def host_of(self, name: str) -> str:
        """What stands for a host of the case now."""
        return self._hosts.get(name, name)

    @property
    def hosts(self) -> list[str]:
        """The hosts that stand in it now."""
        return list(self._hosts.values())

    def _host(self, name: str, draw: random.Random) -> str:
        """Another name; its first labels stay, they are the matter of some cases."""
        if name not in self._hosts:
            kept = name.split(".")[:-2]
            kept = [label for label in kept if label not in ("evil", "exfil")]
            tail = f"{_word(draw)}-{_word(draw)}.example"
            self._hosts[name] = ".".join([*kept, tail])
        return self._hosts[name]

    def _replace(self, text: str, sample: str, other: str) -> str:
        self.planted.append(other)
        for form in (str, _base64, _base64_bare, _hexed, _percent_twice):
            if form(sample) in text:
                text = text.replace(form(sample), form(other))
                self.planted.append(form(other))
        spaced = re.compile(f"{_INVISIBLE}*".join(map(re.escape, sample)))
        if spaced.search(text):
            text = spaced.sub(lambda found: _respaced(found.group(), other), text)
        for cut in range(4, len(sample) - 3):
            parts = sample[:cut], sample[cut:]
            if all(f'"{part}"' in text for part in parts):
                text = text.replace(f'"{parts[0]}"', f'"{other[:cut]}"')
                text = text.replace(f'"{parts[1]}"', f'"{other[cut:]}"')
                break
        return text


def _samples(text: str) -> Iterator[str]:
    """Secrets in a payload, in whatever form."""
    views = [text, text.replace(_INVISIBLE, "")]
    for run in re.findall(r"[A-Za-z0-9+/_-]{24,}=*", text):
        bare = run.replace("+", "-").replace("/", "_").rstrip("=")
        bare = bare[: len(bare) - (len(bare) % 4 == 1)]
        raw = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
        views.append(raw.decode("latin-1"))
    for run in re.findall(r"(?:[0-9a-f]{2}){20,}", text):
        views.append(bytes.fromhex(run).decode("latin-1"))
    views.append(re.sub(r"%25([0-9a-fA-F]{2})", lambda f: chr(int(f[1], 16)), text))
    # Neighbours of one list or object, read as one.
    views.append(re.sub(r'", "[a-z_]+": "|"\}?, \{"[^}]*?"payload": "', "", text))
    for view in views:
        for pattern, _ in KINDS:
            yield from re.findall(pattern, view)


def _bare(pattern: str) -> str:
    return pattern.replace("(?<=wallet=)", "").replace(r"\b", "")


def _other_labels(text: str, draw: random.Random, planted: list[str]) -> str:
    """Words in hexadecimal or base64 that stand as labels of names: other words, encoded alike."""

    def other(raw: str) -> str:
        words = f"{_word(draw)}_{_word(draw)}_{draw.randrange(10**6)}_{_word(draw)}"
        return words[: len(raw)].ljust(len(raw), "7")

    def hexed(found: re.Match[str]) -> str:
        raw = bytes.fromhex(found[0]).decode("latin-1")
        planted.append(other(raw))
        return planted[-1].encode().hex()

    def based(found: re.Match[str]) -> str:
        raw = base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)).decode("latin-1")
        if not raw.isprintable():
            return found[0]
        planted.append(other(raw))
        return f"//{_base64_bare(planted[-1])}."

    text = re.sub(r"\b(?:[2-7][0-9a-f]){7,31}(?=\.)", hexed, text)
    return re.sub(r"//([A-Za-z0-9_-]{24,})\.", based, text)


def _shaped(draw: random.Random, sample: str) -> str:
    """Letters for letters, digits for digits; the prefix and what is no letter stay."""
    at = sample.index("_") + 1 if "_" in sample else sample.rindex("-") + 1
    return sample[:at] + "".join(
        draw.choice("abcdefghijkmnpqrstuvwxyz") if char.islower()
        else draw.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") if char.isupper()
        else draw.choice("0123456789")
        for char in sample[at:]
    )  # fmt: skip


def _word(draw: random.Random) -> str:
    pairs = (draw.choice("bdfgklmnprstvz") + draw.choice("aeiou") for _ in range(3))
    return "".join(pairs)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _base64_bare(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _hexed(text: str) -> str:
    return text.encode().hex()


def _percent_twice(text: str) -> str:
    return "".join(f"%25{ord(char):02x}" for char in text)


def _respaced(found: str, other: str) -> str:
    """`other` with invisible characters where `found` has them."""
    chars = iter(other)
    return "".join(char if char == _INVISIBLE else next(chars) for char in found)
