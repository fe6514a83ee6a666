"""A file of YAML documents as kubectl reads it, with the line of every part.

What is not ours to change goes out as the text that came in, comments and all. A `List` is read as
the documents it holds, which is what kubectl makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import yaml

BIGGEST: Final = 8 * 1024 * 1024
"""Bytes of a file; etcd takes no object over 1.5 MiB."""
_DEEPEST: Final = 64
_MOST: Final = 100_000
_MARK: Final = re.compile(r"^---(?=[ \t\r\n]|$)", re.MULTILINE)

_AMBIGUOUS: Final = re.compile(r"[-+.]?[0-9]|[yYnN]$")
_BREAKS: Final = frozenset("\x85\u2028\u2029")

Path = tuple[str | int, ...]


class ManifestError(ValueError):
    """A manifest cannot be used; the message begins with file and line."""


class Document(msgspec.Struct):
    """One document."""

    file: str
    line: int
    """Line of the file where it begins."""
    text: str
    """As it came, without its `---`."""
    data: Any
    """What it says; None where it is empty."""
    lines: dict[Path, int]
    """Line of the file of every key and item."""

    @property
    def kind(self) -> str:
        """Its kind, or an empty text."""
        kind = self.data.get("kind") if isinstance(self.data, dict) else None
        return kind if isinstance(kind, str) else ""

    @property
    def labels(self) -> dict[str, Any]:
        """Labels of the object itself."""
        metadata = self.data.get("metadata") if isinstance(self.data, dict) else None
        labels = metadata.get("labels") if isinstance(metadata, dict) else None
        return labels if isinstance(labels, dict) else {}

    def identity(self, namespace: str) -> tuple[str, str, str]:
        """Kind, namespace (`namespace` where it says none) and name."""
        metadata = self.data.get("metadata") if isinstance(self.data, dict) else None
        if not isinstance(metadata, dict):
            metadata = {}
        place = metadata.get("namespace") or namespace
        return self.kind, str(place), str(metadata.get("name", ""))

    def error(self, path: Path, cause: str, fix: str) -> ManifestError:
        """Return an error at `path`, or at the nearest part above it that stands in the file."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        where = f"{dotted[1:]}: " if dotted else ""
        line = self.lines.get(known, self.line)
        return ManifestError(f"{self.file}:{line}: {where}{cause}. Fix: {fix}")


class _Loader(yaml.SafeLoader):
    """SafeLoader without timestamps, which are texts in Kubernetes."""


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(text: str, file: str) -> list[Document]:
    """Read all documents of a file.

    Raises:
        ManifestError: too big, not YAML, or a key stands twice.
    """
    if len(text) > BIGGEST:
        raise ManifestError(f"{file}:1: more than {BIGGEST} bytes. Fix: split it")
    marks = [match.start() for match in _MARK.finditer(text)]
    begins = marks if marks[:1] == [0] else [0, *marks]
    found: list[Document] = []
    for begin, end in zip(begins, [*begins[1:], len(text)], strict=True):
        body = text[begin:end].removeprefix("---")
        if body.strip():
            found += _opened(_document(body, file, text.count("\n", 0, begin) + 1))
    return found


def _opened(document: Document) -> Iterator[Document]:
    """Yield the document, or where it is a list those that it holds (`kubectl get -o yaml`)."""
    items = document.data.get("items") if isinstance(document.data, dict) else None
    if not document.kind.endswith("List") or not isinstance(items, list):
        yield document
        return
    kind = document.kind.removesuffix("List")
    for index, item in enumerate(items):
        place = ("items", index)
        if not isinstance(item, dict):
            raise document.error(place, "not an object", "write a mapping with kind and metadata")
        whole = item
        if kind:  # a PodList: its items need not say what they are
            named = {"apiVersion": document.data.get("apiVersion"), "kind": kind}
            whole = named | item
        lines = {path[2:]: line for path, line in document.lines.items() if path[:2] == place}
        line = lines.pop((), document.line)
        yield from _opened(Document(document.file, line, dump(whole), whole, lines))


def dump(data: Any) -> str:
    """Write one document, its keys in the order they have."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that repeats what stands twice, as kubectl's readers of a diff expect."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Quote what kubectl's reader would take for a number or a truth value, though PyYAML not."""
    style = "|" if "\n" in text else "'" if _AMBIGUOUS.match(text) else None
    if not _BREAKS.isdisjoint(text):  # line breaks that PyYAML reads as another one
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)


def _document(body: str, file: str, line: int) -> Document:
    try:
        loader = _Loader(body)
        node = loader.get_single_node()
        if node is None:
            return Document(file, line, body, None, {})
        lines = _lines(node, file, line)
        data = loader.construct_document(node)
    except ManifestError:
        raise
    except yaml.MarkedYAMLError as error:
        at = line + (error.problem_mark.line if error.problem_mark is not None else 0)
        raise ManifestError(f"{file}:{at}: not YAML: {error.problem}. Fix: mend it") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        cause = str(error).partition("\n")[0] or type(error).__name__
        raise ManifestError(f"{file}:{line}: not YAML: {cause}. Fix: mend it") from None
    return Document(file, line, body, data, lines)


def _lines(node: yaml.Node, file: str, line: int) -> dict[Path, int]:
    """Line of every key and item.

    Raises:
        ManifestError: a key stands twice, or there are too many.
    """
    lines: dict[Path, int] = {}
    for path, at, key in _walk(node, (), 0):
        if path in lines and key:
            cause = f"{path[-1]} stands twice. Fix: remove one of them"
            raise ManifestError(f"{file}:{at + line}: {cause}")
        lines[path] = at + line
        if len(lines) > _MOST:
            raise ManifestError(f"{file}:{line}: more than {_MOST} parts. Fix: split it")
    return lines


def _walk(node: yaml.Node, path: Path, depth: int) -> Iterator[tuple[Path, int, bool]]:
    """Yield path, line and whether it is a key, of all that a node holds."""
    if depth > _DEEPEST:
        raise yaml.YAMLError("too deep")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                yield (*path, key.value), key.start_mark.line, True
                yield from _walk(value, (*path, key.value), depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line, False
            yield from _walk(value, (*path, index), depth + 1)
