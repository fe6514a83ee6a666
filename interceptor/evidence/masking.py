r"""What of a destination may be written down.

Secrets leave in paths, queries, methods and names. Evidence must say where a request went without
becoming the second place where the secret lies, so that what could hold one is replaced by `…`:

- query values always; parameter names when they do not look like names;
- runs of a path that look like tokens (20 characters, letters and digits mixed) always;
- the whole path and query when a finding lies in the URL: pieces of a split secret look harmless;
- labels of the host when a finding lies in the name, the last two apart if they look like words;
- methods that no registry knows.

Characters that steer a terminal or hide (controls, C1, bidi, surrogates) are escaped as `\u{..}`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence

from interceptor.verdict import Finding, Reason, Verdict

MASK = "…"
PATH_LIMIT = 512
"""Characters of a path that are written; the rest is masked."""
TEXT_LIMIT = 300
"""Characters of a detail that are written."""

ARGUMENT_LIMIT = 120
"""Characters of an argument of a command line that are written."""

_PLAIN = re.compile(rf"[A-Za-z0-9_./:@%+,~{MASK}=-]{{0,{ARGUMENT_LIMIT}}}\Z")
_USER = re.compile(r"//[^/@\s]{1,200}@")
_QUERY_TYPE = re.compile(r"[A-Z][A-Z0-9-]{0,9}|TYPE[0-9]{1,5}")  # RFC 1035, RFC 3597
# RFC 9110, RFC 5789, RFC 4918, RFC 3253, RFC 5323, RFC 4791 and the registry's newer ones
# fmt: off
METHODS = frozenset((
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND",
    "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "VERSION-CONTROL", "REPORT",
    "CHECKOUT", "CHECKIN", "UNCHECKOUT", "MKWORKSPACE", "UPDATE", "LABEL", "MERGE",
    "BASELINE-CONTROL", "MKACTIVITY", "SEARCH", "MKCALENDAR", "ACL", "BIND", "UNBIND", "REBIND",
    "LINK", "UNLINK", "QUERY", "PURGE",
))
# fmt: on

# A run of the characters of base64, hex and percent-encoding that mixes letters and digits. With
# the separators of base64url it needs both cases too, or every file name would be one. Character
# classes and bounded look-aheads: linear on any input.
_TOKEN = re.compile(
    r"(?=[^0-9]{0,19}[0-9])(?=[^a-z]{0,19}[a-z])(?=[^A-Z]{0,19}[A-Z])[A-Za-z0-9%+=_-]{20,}"
    r"|(?=[^0-9]{0,19}[0-9])(?=[0-9]{0,19}[A-Za-z%+])[A-Za-z0-9%+=]{20,}"
)
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]-]{0,31}\Z")
_VALUE = re.compile(r"=[^&]+")
_WORD = re.compile(r"(?=[a-z-]*(?:[0-9][a-z-]*){0,2}\Z)[a-z0-9-]{1,15}\Z")


def printable(text: str, limit: int = TEXT_LIMIT) -> str:
    """`text` with everything escaped that is not printable, cut at `limit` characters."""
    if len(text) > limit:
        text = text[:limit] + MASK
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text)


def tokens(text: str) -> str:
    """`text` with everything masked that looks like a token."""
    return _TOKEN.sub(MASK, text) if len(text) >= 20 else text


def method(text: str) -> str:
    """A registered method or query type, empty, or the mask."""
    return text if text in METHODS or _QUERY_TYPE.fullmatch(text) or not text else MASK


def path(text: str, verdict: Verdict) -> str:
    """Path and query in the form that may be written."""
    if not text:
        return ""
    if verdict.findings and any(map(touches_url, verdict.findings)):
        return f"/{MASK}"
    if len(text) < 20 and "?" not in text:  # too short for a token
        return printable(text)
    before, mark, query = text.partition("?")
    shown = printable(tokens(before[: PATH_LIMIT + 1]), PATH_LIMIT)
    return shown + mark + _query(query[:PATH_LIMIT]) if mark else shown


def host(text: str, verdict: Verdict) -> str:
    """A name or address in the form that may be written.

    Names of honest destinations stay exact: evidence that hides them would prove nothing.
    """
    if verdict.allowed and not verdict.findings:
        return printable(text)
    if holds_secret_name(verdict):
        return secret_name(text)
    return printable(tokens(text))


def secret_name(text: str) -> str:
    """A name that carries a secret: at most its last two labels, if they look like words."""
    labels = text.split(".")
    kept = [label if _WORD.match(label) else MASK for label in labels[-2:]]
    # All masked labels become one mark: their number and lengths are payload too.
    return ".".join([MASK, *kept]) if len(labels) > 2 else ".".join(kept)


def holds_secret_name(verdict: Verdict) -> bool:
    """True when the verdict says that the host's name carries a secret."""
    return verdict.reason is Reason.SECRET_IN_NAME or any(map(touches_name, verdict.findings))


def where(text: str) -> str:
    """The place of a finding; the name of a header is the agent's choice, so only words stay."""
    place, colon, name = text.partition(":")
    if not colon:
        return printable(tokens(text))
    words = len(name) <= 40 and all(map(_WORD.match, name.split("-")))
    return f"{place}:{name if words else MASK}"


def detail(text: str, verdict: Verdict) -> str:
    """A clause for people. It holds no secret by contract; tokens are masked all the same."""
    return printable(tokens(text) if verdict.findings else text)


def arguments(words: Sequence[str], holds: Callable[[bytes], bool]) -> list[str]:
    """A command line in the form that may be written.

    Args:
        words: the arguments.
        holds: tells whether bytes hold a secret; words that do are masked whole.

    Returns:
        The program, and of the rest: names of options, paths, plain words, URLs without user names
        and queries. Values that are given by `=`, what looks like a token, and whatever else it may
        be (scripts, headers, JSON) is masked: pieces of a secret look harmless.
    """
    shown = []
    for i, word in enumerate(words):
        if holds(word.encode("utf-8", "replace")):
            shown.append(MASK)
            continue
        name, equals, _ = word.partition("=")
        if i and equals and "://" not in name:
            word = f"{name}={MASK}"
        word = _USER.sub(f"//{MASK}@", word.partition("?")[0])
        plain = not i or _PLAIN.match(word)
        shown.append(printable(tokens(word), ARGUMENT_LIMIT) if plain else MASK)
    return shown


def touches_url(finding: Finding) -> bool:
    """True when the finding lies in the request's URL, or in pieces of which some may lie there."""
    pieces = finding.where == "head" or finding.encoding.startswith(("fields", "requests"))
    return pieces or finding.where.startswith(("url", "path", "query"))


def touches_name(finding: Finding) -> bool:
    """True when the finding lies in a host name."""
    return finding.where.startswith(("name", "host", "header:host", "sni"))


def _query(query: str) -> str:
    """Queries of one form, whatever their values, are looked at once."""
    return _names(_VALUE.sub(f"={MASK}", query)) if query else ""


@functools.lru_cache(256)
def _names(query: str) -> str:
    """Mask what is no plain name in a query whose values are masked."""
    shown = []
    for pair in query.split("&")[:32]:
        name, equals, value = pair.partition("=")
        if not equals or not _PARAMETER.match(name) or tokens(name) != name:
            shown.append(MASK)
        else:
            shown.append(f"{name}={value}")
    return "&".join(shown)
