"""Rules as data: the TOML files under interceptor/rules, read strictly.

A rule carries its own proof: `match` and `no_match` examples in pieces, which `example` joins, so
that no real-looking secret stands in the repository.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from interceptor.scan import cache
from interceptor.scan.patterns import parsed
from interceptor.scan.validators import VALIDATORS, base62_crc32
from interceptor.verdict import Severity

MAX_SPAN = 512
"""Most bytes a match and what its validator reads may take; `scan.window` holds back for it."""

_ALPHABETS = {
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "HEX": "0123456789ABCDEF",
    "base58": "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
    "alnum": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    "alpha": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    "upper32": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    "lower": "abcdefghijklmnopqrstuvwxyz0123456789",
    "hex": "0123456789abcdef",
    "digit": "123456789",
    "base64": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "url64": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
}
_LAYOUT = 2  # of `Rule` in the cache: another number for another layout
_ATOM = re.compile(r"\{(\w+):(\d+)\}\Z")
_UNBOUNDED = re.compile(r"(?<!\\)(?:[*+](?![^\[]*\])|\{\d+,\})")

Surface = Literal["url", "header", "body", "name"]
Kind = Literal["prefixed", "contextual", "structured"]

MACROS = {
    # Between a key and its value: the end of a quoted or tagged key, the operator of env files,
    # JSON (escaped, too), YAML, TOML, XML, URLs and code, the quote that opens the value.
    "is": (
        r"""(?:%22|\\{0,3}["'`]|&quot;)?\]?[ \t]{0,8}"""
        r"""(?:=>|:=|==?|:|%3[aAdD]|,|>|</[a-z]{1,12}>[ \t\r\n]{0,8}<[a-z]{1,12}>)"""
        r"""[ \t]{0,8}(?:%22|\\{0,3}["'`]|&quot;)?"""
    ),
    "word": r"[a-z0-9_ .-]{0,24}",
}
"""What `(?P>NAME)` stands for in a pattern."""
_MACRO = re.compile(r"\(\?P>(\w+)\)")


class RulesetError(Exception):
    """A rule file that cannot be used; names the file, the rule and the cause."""


class Home(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a credential belongs: there it passes."""

    hosts: tuple[str, ...]
    """Host patterns, as in a policy."""
    places: tuple[str, ...]
    """Views: `header:authorization`, `url`, `body`."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of credential."""

    id: Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9]+(-[a-z0-9]+)*\Z", max_length=64)]
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    pattern: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    """Bytes pattern in what Vectorscan and `re` share; bounded; group 1, if any, is the secret."""
    severity: Severity
    kind: Kind = "prefixed"
    """`prefixed`: a fixed part identifies it; `contextual`: the words next to it do;
    `structured`: its validator does."""
    split: bool | None = None
    """Whether it is looked for over joined fields, reversed and in ROT13; None: if prefixed."""
    surfaces: tuple[Surface, ...] = ("url", "header", "body", "name")
    caseless: bool = False
    hints: tuple[str, ...] = ()
    """Patterns that are quicker to find: one of them occurs in every match, and the rule is looked
    for only where one does. For patterns without fixed text."""
    validator: str = ""
    home: tuple[Home, ...] = ()
    canary: bool = False
    """A planted decoy: nowhere at home."""
    references: tuple[str, ...] = ()
    match: tuple[tuple[str, ...], ...] = ()
    no_match: tuple[tuple[str, ...], ...] = ()


class KnownSecret(msgspec.Struct, frozen=True):
    """A secret known beforehand, to be found as it is. Never printed, never cached on disk."""

    id: str
    title: str
    value: bytes
    severity: Severity = Severity.CRITICAL
    home: tuple[Home, ...] = ()
    canary: bool = False

    def __repr__(self) -> str:
        return f"KnownSecret(id={self.id!r})"


class Ruleset(msgspec.Struct, frozen=True):
    """Rules in the order of their files."""

    rules: tuple[Rule, ...]

    @property
    def ids(self) -> frozenset[str]:
        """Ids of all rules."""
        return frozenset(rule.id for rule in self.rules)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    rule: tuple[Rule, ...]


def expand(pattern: str) -> str:
    """Put in what macros stand for. Unknown ones raise KeyError."""
    return _MACRO.sub(lambda found: f"(?:{MACROS[found[1]]})", pattern)


def parse_rules(text: bytes, file: str, *, check: bool = True) -> tuple[Rule, ...]:
    """Parse one rule file.

    Args:
        text: TOML.
        file: its name, for messages.
        check: look into the patterns too; the tests do that for the rules that ship.

    Raises:
        RulesetError: not TOML, an unknown key, a bad value, or a pattern that cannot be used.
    """
    import tomllib

    try:
        data = tomllib.loads(text.decode("utf-8"))
        rules = tuple(_expanded(rule, file) for rule in msgspec.convert(data, _File).rule)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RulesetError(f"{file}: not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise RulesetError(f"{file}: {error}") from None
    if check:
        for rule in rules:
            _check(rule, file)
    return rules


def load_rules(folder: Path | None = None) -> Ruleset:
    """Load the rules that ship with the product.

    Args:
        folder: a cache directory, see `interceptor.scan.cache`: reading TOML takes tens of
            milliseconds, what was read once a few hundred microseconds. Rules from the cache
            have no examples. None: no cache.

    Raises:
        RulesetError: a broken file or an id that stands twice.
    """
    return load_folder("rules", folder)


def load_user_rules(files: Sequence[tuple[str, bytes]], shipped: Ruleset) -> Ruleset:
    """Add an operator's rules to those that ship.

    Args:
        files: (name for messages, TOML) of each file.
        shipped: what they are added to.

    Raises:
        RulesetError: a broken file, a pattern that cannot be used, an id that stands twice.
    """
    own: list[Rule] = []
    for name, text in files:
        for rule in parse_rules(text, name):
            if rule.id in shipped.ids:
                raise RulesetError(f"{name}: rule {rule.id}: a rule that ships has this id")
            own.append(rule)
    return collect((*shipped.rules, *own))


def load_folder(name: str, folder: Path | None) -> Ruleset:
    """Load all rule files of a folder of the package; arguments and errors as of `load_rules`."""
    entries = resources.files("interceptor").joinpath(*name.split("/")).iterdir()
    files = sorted((e for e in entries if e.name.endswith(".toml")), key=lambda entry: entry.name)
    texts = [(entry.name, entry.read_bytes()) for entry in files]
    key = ""
    if folder is not None:
        digest = hashlib.blake2b(repr((_LAYOUT, MACROS)).encode(), digest_size=16)
        for file, text in texts:
            digest.update(f"{file}:{len(text)}\n".encode() + text)
        key = digest.hexdigest()
        stored = cache.load(folder, key)
        if stored is not None:
            try:
                return Ruleset(msgspec.msgpack.decode(stored, type=tuple[Rule, ...]))
            except (msgspec.DecodeError, msgspec.ValidationError):  # pragma: no cover - sealed
                pass
    rules = collect(rule for f, text in texts for rule in parse_rules(text, f, check=False))
    if folder is not None:
        bare = [msgspec.structs.replace(rule, match=(), no_match=()) for rule in rules.rules]
        cache.store(folder, key, msgspec.msgpack.encode(bare))
    return rules


def collect(rules: Iterable[Rule]) -> Ruleset:
    """Make a ruleset; ids must differ.

    Raises:
        RulesetError: an id stands twice.
    """
    found: dict[str, Rule] = {}
    for rule in rules:
        if rule.id in found:
            raise RulesetError(f"the rule id {rule.id} stands twice")
        found[rule.id] = rule
    return Ruleset(tuple(found.values()))


def example(parts: Iterable[str], salt: str) -> bytes:
    """Join an example. `{alnum:36}` becomes 36 characters of that alphabet, the same each time.

    `{crc32:6}` is the checksum of what stands after the last `_` before it, `{uuid:1}` a UUID.
    Unknown atoms raise KeyError.
    """
    text = ""
    for number, part in enumerate(parts):
        atom = _ATOM.match(part)
        if atom is None:
            text += part
        elif atom[1] == "crc32":
            text += base62_crc32(text.rpartition("_")[2].encode()).decode()
        elif atom[1] == "uuid":
            digits = _drawn(_ALPHABETS["hex"], 32, f"{salt}/{number}")
            text += f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
        else:
            text += _drawn(_ALPHABETS[atom[1]], int(atom[2]), f"{salt}/{number}")
    return text.encode("utf-8")


def widest(pattern: str) -> int:
    """Return the most bytes a pattern can match, at most `MAX_SPAN`.

    `re` measures this for itself; where its parser is not to be had, every pattern is taken to be
    as wide as allowed, which costs time only.
    """
    try:
        return min(MAX_SPAN, int(parsed(pattern).getwidth()[1]))
    except LookupError:  # pragma: no cover - CPython shows it
        return MAX_SPAN


def _drawn(alphabet: str, count: int, salt: str) -> str:
    stream = hashlib.shake_128(salt.encode()).digest(count * 2)
    words = (stream[i] << 8 | stream[i + 1] for i in range(0, count * 2, 2))
    return "".join(alphabet[word % len(alphabet)] for word in words)


def _expanded(rule: Rule, file: str) -> Rule:
    if "(?P>" not in rule.pattern:
        return rule
    try:
        return msgspec.structs.replace(rule, pattern=expand(rule.pattern))
    except KeyError as error:
        raise RulesetError(f"{file}: rule {rule.id}: no macro {error}") from None


def _check(rule: Rule, file: str) -> None:
    where = f"{file}: rule {rule.id}"
    if rule.validator and rule.validator not in VALIDATORS:
        raise RulesetError(f"{where}: no validator {rule.validator!r}")
    if not rule.pattern.isascii():
        raise RulesetError(f"{where}: write bytes above 0x7F as \\x escapes")
    if "\0" in rule.pattern:
        raise RulesetError(f"{where}: a NUL cuts a pattern short")
    if _UNBOUNDED.search(rule.pattern):
        raise RulesetError(f"{where}: repeats must be bounded, as in {{20}} or {{1,40}}")
    try:
        compiled = re.compile(rule.pattern.encode("ascii"))
    except (re.error, OverflowError, RecursionError) as error:
        raise RulesetError(f"{where}: bad pattern: {error}") from None
    if compiled.groups > 1:
        raise RulesetError(f"{where}: one group at most, the secret; write (?:...) otherwise")
    for hint in rule.hints:
        try:
            re.compile(hint.encode("ascii"))
        except (re.error, OverflowError, RecursionError, UnicodeEncodeError) as error:
            raise RulesetError(f"{where}: bad hint: {error}") from None
    if widest(rule.pattern) >= MAX_SPAN:
        raise RulesetError(f"{where}: a match may take at most {MAX_SPAN - 1} bytes")
    if compiled.match(b""):
        raise RulesetError(f"{where}: the pattern matches nothing at all")
