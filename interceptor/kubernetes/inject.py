"""From a file of manifests to one whose workloads have one way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from interceptor.kubernetes import companion, sidecar, ways_round
from interceptor.kubernetes.documents import Document, dump, parse
from interceptor.kubernetes.parts import MANAGER, Options
from interceptor.kubernetes.workloads import Workload, find

FORMS: Final = ("companion", "sidecar")
_DEEPEST: Final = 64


class Injected(msgspec.Struct, frozen=True):
    """The result."""

    text: str
    workloads: tuple[tuple[str, str, str], ...]
    """(namespace, name, Secret with the authority) of each that was rewritten; the Secret is empty
    where the pod makes an authority of its own."""


def inject(
    text: str,
    file: str,
    *,
    form: str,
    namespace: str,
    options: Options,
    trust: Mapping[str, str],
) -> Injected:
    """Rewrite every workload of a file. What comes out may go in again, and comes out the same.

    Args:
        text: its content.
        file: its name, for errors.
        form: one of `FORMS`.
        namespace: of what says none.
        options: see there.
        trust: variables of runtimes, as `netns.trust.variables` has them.

    Raises:
        ManifestError: nothing of the result may be used; the message begins with file and line.
    """
    documents = parse(text, file)
    room = companion if form == "companion" else sidecar
    found: list[Workload] = []
    for document in documents:
        if _is_ours(document):
            continue
        workload = find(document, namespace)
        if workload is None:
            _refuse_unknown(document)
            continue
        _refuse_twin(workload, found)
        room.rewrite(workload, options, trust)
        found.append(workload)
    if not found:
        nothing = documents[0] if documents else Document(file, 1, "", None, {})
        raise nothing.error((), "no workload in the file", "give one with a Pod, Deployment...")
    made = {id(each.document): room.around_workload(each, options, trust) for each in found}
    ours = {_identity(each, namespace) for objects in made.values() for each in objects}
    parts: list[str] = []
    for document in documents:
        rewritten = next((each for each in found if each.document is document), None)
        if rewritten is not None:
            if options.around:
                parts += [dump(each) for each in made[id(document)]]
            parts.append(dump(rewritten.data))
        elif _is_ours(document):  # of an earlier injection: it is made anew
            if document.identity(namespace) not in ours:
                why = "labelled as ours, and goes with no workload of this file"
                raise document.error(("metadata", "labels", MANAGER), why, "remove it")
        else:
            if document.identity(namespace) in ours:
                raise document.error(("metadata", "name"), "a name of ours", "take another one")
            for workload in found:
                ways_round.refuse_policy(document, workload, namespace)
            parts.append(document.text.strip("\n") + "\n")
    secrets = form == "companion"
    done = tuple(
        (each.namespace, each.name, companion.secret_of(each.name, options) if secrets else "")
        for each in found
    )
    return Injected("---\n" + "---\n".join(parts), done)


def _is_ours(document: Document) -> bool:
    return bool(document.labels.get(MANAGER) == "egressguard")


def _identity(made: Mapping[str, Any], namespace: str) -> tuple[str, str, str]:
    return Document("", 0, "", made, {}).identity(namespace)


def _refuse_twin(workload: Workload, found: list[Workload]) -> None:
    for each in found:
        if (each.name, each.namespace) == (workload.name, workload.namespace):
            cause = f"line {each.document.line} has another of this name"
            raise workload.document.error(
                ("metadata", "name"), cause, "rename one, as names of ours follow"
            )


def _refuse_unknown(document: Document) -> None:
    """Refuse what starts pods, though its kind is unknown here: it would not be held.

    Raises:
        ManifestError: there are containers in it.
    """
    if _starts_pods(document.data):
        cause = f"{document.kind or 'this'} has containers, but is of a kind that is not known here"
        raise document.error(
            ("kind",), cause, "put it into a file of its own, and hold it yourself"
        )


def _starts_pods(data: Any, depth: int = 0) -> bool:
    """Tell whether something holds a pod's containers, wherever."""
    if depth > _DEEPEST:
        return True
    if isinstance(data, dict):
        inner = data.get("containers")
        if isinstance(inner, list) and any(isinstance(e, dict) and "image" in e for e in inner):
            return True
        return any(_starts_pods(value, depth + 1) for value in data.values())
    return isinstance(data, list) and any(_starts_pods(each, depth + 1) for each in data)
