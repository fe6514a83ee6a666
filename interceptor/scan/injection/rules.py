"""Rules of injection as data: parts, which are lists of words, and intents, which combine them.

`interceptor/rules/inbound/parts/*.toml` holds the parts, a file for each language, and
`interceptor/rules/inbound/intents/*.toml` the intents, each with examples of what it must and must
not match, in pieces.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from interceptor.scan import cache
from interceptor.scan.injection.cues import CueFile, Cues, cues_of
from interceptor.scan.injection.words import WordError, pattern

_LAYOUT: Final = 3  # of `RuleBook` in the cache: another number for another layout
_FOLDER: Final = "rules/inbound"

_Name = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9]+(-[a-z0-9]+)*\Z", max_length=64)]


# Where a sentence or a clause begins: an order, not what somebody is said to do.
_BEGIN: Final = r"(?:^|[.!?:;,'\x22`()\[\]{}<>*#|/=_~\n\r\t\x80-\xff-][^A-Za-z0-9]{0,4})"


class InjectionRuleError(Exception):
    """A rule file that cannot be used; names the file and the cause."""


_File = TypeVar("_File")


class PartPattern(msgspec.Struct, frozen=True, gc=False):
    """Words of one part in one language."""

    part: int
    """Index in `RuleBook.parts`."""
    language: str
    pattern: str
    """ASCII; bytes above 0x7F as escapes."""


class Intent(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """Something that text may want of the agent that reads it."""

    id: _Name
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    intent: _Name
    """The family it belongs to."""
    score: Annotated[float, msgspec.Meta(gt=0, le=100)]
    """What it counts by itself, in shown text with all parts next to each other."""
    needs: tuple[tuple[str, ...], ...] = ()
    """One of each tuple's parts occurs; a tuple is a slot. Rare ones come first."""
    leads: bool = False
    """The part of the first slot comes before the others."""
    pattern: str = ""
    """Instead of `needs`: bytes pattern in what Vectorscan and `re` share; bounded."""
    opinion: bool = False
    """Instead of both: the classifier finds it."""
    within: Annotated[int, msgspec.Meta(ge=1, le=256)] = 120
    """Bytes from the end of the first part to the end of the last."""
    code: bool = False
    """It is markup: standing in code says nothing against it, yet quoting does."""
    match: tuple[tuple[str, ...], ...] = ()
    no_match: tuple[tuple[str, ...], ...] = ()


class RuleBook(msgspec.Struct, frozen=True):
    """All parts and intents."""

    parts: tuple[str, ...]
    """Names; what stands at an index is what a pattern's `part` means."""
    patterns: tuple[PartPattern, ...]
    intents: tuple[Intent, ...]
    bare: tuple[tuple[int, str], ...]
    """(part, word) of plain English words, for text whose blanks are gone."""
    cues: Cues = Cues()


class _PartFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    language: str
    words: dict[str, tuple[str, ...]]
    orders: dict[str, tuple[str, ...]] = {}
    """Words that count where they order: where a sentence begins, or behind `ordering`."""
    ordering: tuple[str, ...] = ()
    patterns: dict[str, tuple[str, ...]] = {}
    bare: dict[str, tuple[str, ...]] = {}
    blanks: bool = True
    """Words are set apart by blanks."""


class _IntentFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    intent: tuple[Intent, ...]


def load_rule_book(folder: Path | None = None) -> RuleBook:
    """Load the rules of injection that ship with the product.

    Args:
        folder: a cache directory, as of `interceptor.scan.ruleset.load_rules`; what comes from it
            has no examples. None: no cache.

    Raises:
        InjectionRuleError: a broken file, a word that cannot be read, a part nobody defines.
    """
    texts = [*_texts("parts"), *_texts("intents"), _cue_file()]
    key = ""
    if folder is not None:
        digest = hashlib.blake2b(b"injection %d\n" % _LAYOUT, digest_size=16)
        for file, text in texts:
            digest.update(f"{file}:{len(text)}\n".encode() + text)
        key = digest.hexdigest()
        stored = cache.load(folder, key)
        if stored is not None:
            try:
                return msgspec.msgpack.decode(stored, type=RuleBook)
            except (msgspec.DecodeError, msgspec.ValidationError):  # pragma: no cover - sealed
                pass
    book = parse_rule_book(texts)
    if folder is not None:
        bare = tuple(msgspec.structs.replace(i, match=(), no_match=()) for i in book.intents)
        slim = msgspec.structs.replace(book, intents=bare)
        cache.store(folder, key, msgspec.msgpack.encode(slim))
    return book


def parse_rule_book(texts: list[tuple[str, bytes]]) -> RuleBook:
    """Make a rule book of files.

    Args:
        texts: (name that begins with `parts/` or `intents/`, or `cues.toml`; TOML) of each.

    Raises:
        InjectionRuleError: as of `load_rule_book`.
    """
    parts: dict[str, int] = {}
    patterns: list[PartPattern] = []
    intents: dict[str, Intent] = {}
    bare: list[tuple[int, str]] = []
    listed: list[tuple[str, str, str]] = []
    cues = Cues()
    for file, text in sorted(texts, key=lambda one: one[0] == "cues.toml"):
        if file == "cues.toml":
            cues = cues_of(_converted(text, file, CueFile), listed)
        elif file.startswith("parts/"):
            words = _converted(text, file, _PartFile)
            for name, found in _patterns(words, file):
                number = parts.setdefault(name, len(parts))
                patterns.append(PartPattern(number, words.language, found))
            for name, some in words.words.items():
                listed += [(name, word, _written(word, words)) for word in some]
            for name, plain in words.bare.items():
                bare += [(parts.setdefault(name, len(parts)), word) for word in plain]
        else:
            for intent in _converted(text, file, _IntentFile).intent:
                if intents.setdefault(intent.id, intent) is not intent:
                    raise InjectionRuleError(f"{file}: the intent {intent.id} stands twice")
    for intent in intents.values():
        if bool(intent.pattern) + bool(intent.needs) + intent.opinion != 1:
            raise InjectionRuleError(f"{intent.id}: a pattern, what it needs, or an opinion")
        if intent.pattern:
            number = parts.setdefault(f"intent {intent.id}", len(parts))
            patterns.append(PartPattern(number, "", intent.pattern))
        for name in (name for slot in intent.needs for name in slot):
            if name not in parts:
                raise InjectionRuleError(f"{intent.id}: there is no part {name!r}")
    return RuleBook(tuple(parts), tuple(patterns), tuple(intents.values()), tuple(bare), cues)


def _texts(name: str) -> list[tuple[str, bytes]]:
    entries = resources.files("interceptor").joinpath(*_FOLDER.split("/"), name).iterdir()
    files = sorted((e for e in entries if e.name.endswith(".toml")), key=lambda entry: entry.name)
    return [(f"{name}/{entry.name}", entry.read_bytes()) for entry in files]


def _cue_file() -> tuple[str, bytes]:
    file = resources.files("interceptor").joinpath(*_FOLDER.split("/"), "cues.toml")
    return file.name, file.read_bytes()


def _converted(text: bytes, file: str, kind: type[_File]) -> _File:
    import tomllib

    try:
        return msgspec.convert(tomllib.loads(text.decode("utf-8")), kind)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InjectionRuleError(f"{file}: not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise InjectionRuleError(f"{file}: {error}") from None


def _patterns(file: _PartFile, name: str) -> list[tuple[str, str]]:
    """(part, pattern) of all that a file lists."""
    try:
        found = [(part, _written(word, file)) for part, some in file.words.items() for word in some]
        if file.orders:
            before = _BEGIN
            if file.ordering:
                ordering = "|".join([_written(word, file) for word in file.ordering])
                before = f"(?:{before}|(?:{ordering})[^A-Za-z0-9]{{1,3}})"
            for part, some in file.orders.items():
                found += [(part, before + _written(word, file)) for word in some]
    except WordError as error:
        raise InjectionRuleError(f"{name}: {error}") from None
    return [*found, *((part, one) for part, some in file.patterns.items() for one in some)]


def _written(word: str, file: _PartFile) -> str:
    return pattern(word, boundary=file.blanks)
