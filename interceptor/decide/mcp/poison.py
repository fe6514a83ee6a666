"""Definitions that give orders: of tools and of agents, which only agents read.

A definition says what something does. What it wants done first, with which files, behind whose
back, and with which other tools, is no part of that; so the scanner's findings count from a lower
score on than in a page, and some words are looked for that a page may well hold.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final

from interceptor.decide.judge import Judge
from interceptor.decide.mcp import paths
from interceptor.decide.mcp.command_rules import plain
from interceptor.decide.mcp.texts import OPINION
from interceptor.model import Passage, Target
from interceptor.scan.database import Hit, Pattern, collect_hit, open_database
from interceptor.verdict import Reason, Verdict

LONGEST: Final = 65_536
"""Bytes of a definition; no agent reads more for one tool."""
_AROUND: Final = 160
_WEAK: Final = frozenset(("role-change", OPINION))
"""Rules of the scanner that modes of editors fit, too, and words on what to call first."""
_TOKEN: Final = re.compile(r"[~./$\w*%{}-]*[./][~./$\w*-]+")
_HANDS: Final = re.compile(
    r"\b(?:read|open|load|cat|include|append|prepend|attach|pass|send|upload|paste|insert|embed|"
    r"copy|fetch|provide|put|forward|post|transmit|supply|contents?|exfiltrate|base64|encode)\b",
    re.IGNORECASE,
)
_ORDER: Final = re.compile(
    # Other tools are to wait for this one, or to be left alone.
    r"\b(?:before|after|instead of|prior to|when|while) (?:using |calling |invoking |running |"
    r"executing |you (?:use|call|invoke|run) )?(?:any|every|all|each)(?: of the)?(?: other)? "
    r"(?:tools?|functions?|skills?|agents?)\b|"
    r"\b(?:any|every|all) other (?:tools?|functions?|skills?)\b.{0,80}\b(?:must|always|never|"
    r"ignore|first)\b|"
    r"\b(?:must|always|never)\b.{0,60}\b(?:any|every|all|no) other (?:tools?|functions?|skills?)\b|"
    r"\b(?:always|must) use this (?:one |tool )?(?:first|instead|for (?:all|every)|over)\b|"
    # Data is to be handed over with each use.
    r"\b(?:before|after|when|while|with) (?:using|calling|invoking|running|each|every)\b.{0,80}"
    r"\b(?:send|forward|upload|post|transmit|exfiltrate|e-?mail|run `?(?:curl|wget|bash|sh)|"
    r"pass the (?:whole|full|entire|user))\b|"
    r"\b(?:send|forward|upload|post|transmit|submit)\b.{0,80}\bto https?://.{0,80}\b(?:before|"
    r"after|with|on|for) (?:each|every|any)\b|"
    r"\b(?:b?cc|copy|forward) (?:every|each|all)\b.{0,60}@|"
    # Who reads it is told that nothing holds any more.
    r"\byou are (?:now )?in (?:a |an )?(?:developer|unrestricted|debug|maintenance|god|admin) mode|"
    r"\b(?:safety|security|content) (?:guidelines|rules|policies|restrictions|filters)\b.{0,60}\b"
    r"(?:no longer|(?:do|does)(?:n'?t| not)) apply\b|"
    # What the agent knows is to be handed over.
    r"\b(?:pass|provide|include|send|append|put|attach|supply|give)\b.{0,60}\b(?:your|its|the "
    r"(?:full|whole|entire|current|complete)) (?:system prompt|instructions)\b|"
    r"\b(?:pass|include|set|provide|append|send|put|supply)\b.{0,60}\b(?:value|contents?) of\b"
    r".{0,30}\b[A-Z0-9_]*(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)[A-Z0-9_]*\b|"
    r"\b(?:if|when|whenever)\b.{0,60}\b(?:passwords?|keys?|credentials|secrets|tokens)\b.{0,60}\b"
    r"(?:store|save|send|keep|copy|forward|pass) (?:them|it|a copy|those|these)\b",
    re.IGNORECASE | re.DOTALL,
)
_SECRETLY: Final = re.compile(
    r"\b(?:do(?:n'?t| not)|never|without) (?:tell|inform|mention|notify|reveal|show|alert|telling|"
    r"informing|mentioning|notifying|asking)(?:ing)?\b.{0,60}\b(?:users?|humans?|this|anyone|it|"
    r"person|operator|owner)\b|\bthe user (?:must|should|need|does)(?: not|n'?t)"
    r"(?: need to)? (?:know|see|be (?:told|informed))|"
    r"<\s*/?\s*(?:important|system|secret|instructions?|hidden)\s*/?>",
    re.IGNORECASE | re.DOTALL,
)
# fmt: off
_WORDS: Final = (
    (  # of files of credentials
        ".ssh", ".aws", ".netrc", ".npmrc", ".gnupg", ".kube", ".docker", ".git-c", ".pypirc",
        ".pem", ".key", ".kdbx", ".p12", ".pfx", ".config", "shadow", "sudoers", "id_rsa", "id_ed",
        "id_ecdsa", "id_dsa", "/environ", "wallet.dat", "keychain", "login data", "keystore",
        ".azure", "gcloud", "kubeconfig", ".electrum", "password-store", "service",
    ),
    (  # of what is done behind somebody's back
        "tell", "inform", "mention", "notify", "notifying", "reveal", "the user must",
        "the user should", "the user need", "the user does", "do not show", "don't show",
        "never show", "not alert", "asking", "important>", "system>", "secret>", "instruction>",
        "instructions>", "hidden>", "important >", "system >",
    ),
    (  # of orders
        "any tool", "every tool", "all tool", "each tool", "any other", "every other", "all other",
        "no other", "of the tool", "any func", "every func", "all func", "any skill", "all skill",
        "every skill", "any agent", "all agents", "must use this", "always use this",
        "before using", "before calling", "before invoking", "before running", "before each",
        "before every", "after using", "after calling", "after invoking", "after running",
        "after each", "after every", "when using", "when calling", "when invoking", "when running",
        "while using", "while calling", "with each", "with every", "to http", "bcc ", "cc every",
        "cc each", "cc all", "copy every", "copy each", "copy all", "forward every",
        "forward each", "forward all", "system prompt", "instructions", "value of", "contents of",
        "content of", "password", "keys", "credentials", "secrets", "tokens",
        "you are in", "you are now", "no longer", "not apply", "n't apply",
    ),
)
# fmt: on
"""Words without which none of the patterns above finds anything, by the pattern."""
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u206f\u3164\ufeff\uffa0\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_HIDDEN: Final = 3
"""Characters that nobody sees, in a row or not, that no definition needs."""


def _middle(judge: Judge) -> float:
    return judge.policy.inbound.thresholds.middle


@functools.lru_cache(maxsize=1)
def _gate() -> Any:
    patterns = [
        Pattern(re.escape(word).encode(), word, caseless=True, once=True, number=group)
        for group, words in enumerate(_WORDS)
        for word in words
    ]
    return open_database(patterns, None)


def poisoned(
    judge: Judge,
    target: Target,
    definition: bytes,
    texts: Callable[[], list[Passage]],
    where: str,
    *,
    shows: bool = True,
) -> Verdict | None:
    """Judge one definition.

    Args:
        judge: of the agent that reads it.
        target: where it comes from.
        definition: JSON in UTF-8, nothing of it escaped that need not be.
        texts: gives its texts, in their places.
        where: what it is, for findings.
        shows: the scanner may see something in it at a glance.
    """
    verdict: Verdict | None = None
    if shows and judge.shows(definition, closely=True):
        score, verdict = judge.passages(target, where, texts())
        weak = verdict is not None and {one.rule for one in verdict.findings} <= _WEAK
        least = judge.policy.inbound.thresholds.high if weak else _middle(judge)
        if verdict is not None and score >= least:
            return judge.tell(Reason.TOOL_POISONED, verdict.detail, verdict.rule)
    if len(definition) > LONGEST:
        detail = f"more than {LONGEST} bytes in {where}"
        return judge.tell(Reason.TOOL_POISONED, detail, "definition-too-long")
    rule = _orders(definition)
    if rule is not None:
        return judge.tell(Reason.TOOL_POISONED, f"{rule[1]} in {where}", rule[0])
    return verdict


def _orders(data: bytes) -> tuple[str, str] | None:
    if not data.isascii():
        text = data.decode("utf-8", "replace")
        if len(_INVISIBLE.findall(text)) >= _HIDDEN:
            return "definition-invisible", "characters that nobody sees"
        data = plain(text).encode("utf-8", "replace")
    if b"\\" in data:
        data = data.replace(b"\\n", b" ").replace(b"\\t", b" ").replace(b"\\r", b" ")
    gate = _gate()
    hits: list[Hit] = []
    gate.scan(data, collect_hit, context=hits, scratch=gate.scratch)
    if not hits:
        return None
    groups = {group for group, _ in hits}
    text = data.decode("utf-8", "replace")
    if 1 in groups and _SECRETLY.search(text) is not None:
        return "definition-secretly", "something behind the user's back"
    if 2 in groups and _ORDER.search(text) is not None:
        return "definition-order", "an order about how other things are to be used"
    if 0 in groups:
        return _files(text)
    return None


def _files(text: str) -> tuple[str, str] | None:
    """Tell whether a file of credentials is to be handed over."""
    known = paths.load()
    for token in _TOKEN.finditer(text):
        kind = known.secret(token[0].rstrip("."))
        if kind is None or kind.mild:
            continue
        around = text[max(0, token.start() - _AROUND) : token.end() + _AROUND]
        if _HANDS.search(around) is not None:
            return "definition-credentials", f"a file of credentials ({kind.title})"
    return None
