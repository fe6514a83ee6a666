"""YAML read as a tree that remembers where each key and value stood.

Only what a policy needs: mappings, lists and plain scalars. Anchors, aliases, tags, merge keys
and deep nesting are refused, so a small file cannot become a large one. Values are read by the
type the schema expects at their place: `min_tls: 1.2` is text there, and `yes` is no boolean.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, Protocol

import msgspec
import msgspec.inspect as mi
import yaml

from interceptor.policy.loading import PolicyError
from interceptor.policy.schema import Policy

Path = tuple[str | int, ...]
MAX_DEPTH = 12
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?\Z")


class _Mark(Protocol):
    line: int
    column: int


class Source(msgspec.Struct):
    """A parsed file: plain data, and the place of each part of it."""

    file: str
    data: dict[str, Any]
    places: dict[Path, tuple[int, int]]

    def error(self, path: Path, cause: str, fix: str) -> PolicyError:
        """Return an error at `path`, or at the nearest part above it that the file holds."""
        known = path
        while known and known not in self.places:
            known = known[:-1]
        line, column = self.places.get(known, (1, 1))
        dotted = _dotted(path)
        if dotted:
            cause = f"{dotted}: {cause}"
        return PolicyError(cause, file=self.file, line=line, column=column, fix=fix)


def parse(text: bytes, file: str) -> Source:
    """Parse policy text against the schema.

    Raises:
        PolicyError: not UTF-8, not YAML, not a mapping, an unknown or repeated key, or a value
            of the wrong kind.
    """
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        column = error.start - text.rfind(b"\n", 0, error.start)
        raise PolicyError(
            f"byte {error.start} is not UTF-8",
            file=file,
            line=line,
            column=column,
            fix="save the file as UTF-8",
        ) from None
    node = _compose(decoded, file)
    source = Source(file, {}, {(): (1, 1)})
    if node is None:
        raise PolicyError("the file is empty", file=file, line=1, column=1, fix="begin: version: 1")
    data = _read(node, mi.type_info(Policy), (), source)
    if not isinstance(data, dict):  # pragma: no cover - a StructType reads as a mapping
        raise source.error((), "expected a mapping", "")
    source.data = data
    if "version" not in data:
        raise source.error((), "the key `version` is missing", "begin the file with: version: 1")
    return source


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses tags and what can make a small file large or deep."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one node; refuse aliases, anchors and depth."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not accepted", problem_mark=event.start_mark
            )
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="tags are not accepted", problem_mark=event.start_mark
            )
        if self.depth >= MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _compose(text: str, file: str) -> Any:
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        rows = text.splitlines()
        row = rows[line - 1] if line <= len(rows) else ""
        fix = "quote a value that begins with `*`" if re.search(r"[-:,\[]\s*\*", row) else ""
        cause = f"not valid YAML: {error.problem or error.context}"
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        cause, fix = f"the character {_code_point(error)} is not allowed", "remove it"
    except (yaml.YAMLError, RecursionError, ValueError):
        line, column, cause, fix = 1, 1, "not valid YAML", ""
    raise PolicyError(cause, file=file, line=line, column=column, fix=fix)


def _code_point(error: yaml.reader.ReaderError) -> str:
    character = error.character  # PyYAML gives an int for text, a str elsewhere
    return f"U+{character if isinstance(character, int) else ord(character):04X}"


def _place(mark: _Mark) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _read(node: Any, expected: mi.Type, path: Path, source: Source) -> Any:
    """Read a node as the type the schema expects there."""
    source.places.setdefault(path, _place(node.start_mark))
    if isinstance(expected, mi.Metadata):
        expected = expected.type
    if isinstance(expected, mi.StructType):
        return _read_mapping(node, expected, path, source)
    if isinstance(expected, mi.DictType):
        return _read_mapping(node, expected, path, source)
    if isinstance(expected, mi.VarTupleType):
        if not isinstance(node, yaml.SequenceNode):
            raise source.error(path, "expected a list", "write it as [one, two]")
        items = enumerate(node.value)
        return [_read(item, expected.item_type, (*path, i), source) for i, item in items]
    if not isinstance(node, yaml.ScalarNode):
        found = "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
        raise source.error(path, f"expected {_name_of(expected)}, found {found}", "")
    return _read_scalar(node, expected, path, source)


def _read_mapping(
    node: Any, expected: mi.StructType | mi.DictType, path: Path, source: Source
) -> dict[str, Any]:
    """Read a mapping: of the keys of a structure, or of whatever keys an operator gives."""
    if not isinstance(node, yaml.MappingNode):
        if isinstance(node, yaml.ScalarNode) and not node.value and not path:
            raise source.error(path, "the file is empty", "begin the file with: version: 1")
        raise source.error(path, "expected a mapping", "write it as key: value lines")
    known = expected.fields if isinstance(expected, mi.StructType) else ()
    fields = {field.encode_name: field for field in known}
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise source.error(path, "a key must be a word", "")
        key = key_node.value
        here = (*path, key)
        if key in data:
            source.places[here] = _place(key_node.start_mark)
            raise source.error(here, "the key stands here twice", "remove one of them")
        field = fields.get(key)
        source.places[here] = _place(key_node.start_mark)
        if isinstance(expected, mi.DictType):
            kind = expected.value_type
        elif field is not None:
            kind = field.type
        else:
            raise source.error(here, "there is no such key", _nearest(key, list(fields)))
        data[key] = _read(value_node, kind, here, source)
    missing = [name for name, field in fields.items() if field.required and name not in data]
    if missing:
        raise source.error(path, f"the key `{missing[0]}` is missing", f"add {missing[0]}: ...")
    return data


def _read_scalar(node: Any, expected: mi.Type, path: Path, source: Source) -> Any:
    text: str = node.value
    plain = node.style is None
    if isinstance(expected, mi.UnionType):
        if plain and node.tag == "tag:yaml.org,2002:null":
            return None
        expected = next(t for t in expected.types if not isinstance(t, mi.NoneType))
    problem = f"expected {_name_of(expected)}, found {text[:60]!r}"
    if isinstance(expected, mi.LiteralType | mi.EnumType):
        values = _values(expected)
        for value in values:
            if str(value) == text:
                return value
        raise source.error(path, problem, _nearest(text, [str(value) for value in values]))
    if isinstance(expected, mi.IntType):
        if plain and _INTEGER.match(text):
            return int(text)
        raise source.error(path, problem, "write plain decimal digits")
    if isinstance(expected, mi.FloatType):
        if plain and _NUMBER.match(text):
            return float(text)
        raise source.error(path, problem, "write a plain decimal number")
    if isinstance(expected, mi.StrType):
        if node.tag in _TEXT_TAGS and (text or not plain):
            return text
        raise source.error(path, problem, "put it in quotes")
    raise source.error(path, problem, "")  # pragma: no cover - the schema has no other kinds


_TEXT_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "timestamp")
)


def _values(expected: mi.Type) -> list[Any]:
    if isinstance(expected, mi.EnumType):
        return [member.value for member in expected.cls]
    return list(expected.values) if isinstance(expected, mi.LiteralType) else []


def _name_of(expected: mi.Type) -> str:
    if isinstance(expected, mi.UnionType):
        expected = next(t for t in expected.types if not isinstance(t, mi.NoneType))
    if isinstance(expected, mi.LiteralType | mi.EnumType):
        return " or ".join(str(value) for value in _values(expected))
    if isinstance(expected, mi.IntType):
        return "a whole number"
    if isinstance(expected, mi.FloatType):
        return "a number"
    return "text"


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word[:100], known, n=1)
    hint = f"did you mean `{close[0]}`? " if close else ""
    return f"{hint}expected one of {', '.join(known)}"


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
