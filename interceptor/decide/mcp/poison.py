"""Definitions that give orders: of tools and of agents, which only agents read.

A definition says what something does. What it wants done first, with which files, behind whose
back, and with which other tools, is no part of that; so the scanner's findings count from a lower
score on than in a page, and some words are looked for that a page may well hold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from interceptor.decide.judge import Judge
from interceptor.decide.mcp import paths
from interceptor.decide.mcp.command_rules import plain
from interceptor.model import Passage, Setting, Target
from interceptor.verdict import Reason, Verdict

_LONGEST: Final = 1 << 16
"""Bytes of one text that are looked at for these words; the scanner reads all."""
_TOKEN: Final = re.compile(r"[~./$\w*%{}-]*[./][~./$\w*-]+")
_HANDS: Final = re.compile(
    r"\b(?:read|open|load|cat|include|append|prepend|attach|pass|send|upload|paste|insert|embed|"
    r"copy|fetch|provide|put|forward|post|transmit|supply|contents?|exfiltrate|base64|encode)\b",
    re.IGNORECASE,
)
_ORDER: Final = re.compile(
    r"\b(?:before|after|when(?:ever)?|prior to|while) (?:using|calling|invoking|running|executing|"
    r"you (?:use|call|invoke|run)|any)\b.{0,80}\b(?:tools?|functions?|skills?|agents?|this|other)\b"
    r".{0,160}\b(?:you must|must|always|first|should|make sure|be sure|never|also)\b|"
    r"\b(?:always|must|first) (?:call|invoke|use|run) (?:this|the \w+) (?:tool|skill|agent) "
    r"(?:before|instead|first|prior)\b|"
    r"\binstead of (?:the )?[\w.-]{1,64}(?: tool| skill| agent)?\b.{0,60}\b(?:always|must|use "
    r"this)",
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
_GATE: Final = re.compile(
    rb"[./](?:ssh|aws|env|netrc|npmrc|gnupg|kube|docker|git-c|config|pem|key|kdbx|shadow|p12)|"
    rb"shadow|sudoers|id_[rde]|credential|secret|environ|wallet|\btell|\binform|\bmention|"
    rb"\bnotify|\bnever\b|important>|system>|\bmust\b|\balways\b|\bfirst\b|instead of",
    re.IGNORECASE,
)
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u206f\u3164\ufeff\uffa0\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_HIDDEN: Final = 3
"""Characters that nobody sees, in a row or not, that no definition needs."""


def poisoned(
    judge: Judge, target: Target, found: Sequence[Passage], where: str, *, shows: bool
) -> Verdict | None:
    """Judge the texts of one definition.

    Args:
        judge: of the agent that reads it.
        target: where it comes from.
        found: its texts.
        where: what it is, for findings.
        shows: the scanner has seen something at a glance.
    """
    verdict: Verdict | None = None
    if shows:
        score, verdict = judge.passages(target, where, found)
        if verdict is not None and score >= judge.policy.inbound.thresholds.middle:
            return judge.tell(Reason.TOOL_POISONED, verdict.detail, verdict.rule)
    for passage in found:
        rule = _orders(passage)
        if rule:
            return judge.tell(Reason.TOOL_POISONED, f"{rule[1]} in {where}", rule[0])
    return verdict


def _orders(passage: Passage) -> tuple[str, str] | None:
    data = passage.text[:_LONGEST]
    ascii_only = data.isascii()
    if not ascii_only:
        text = data.decode("utf-8", "replace")
        if len(_INVISIBLE.findall(text)) >= _HIDDEN:
            return "definition-invisible", "characters that nobody sees"
        data = plain(text).encode("utf-8", "replace")
    if passage.setting & Setting.LINK or _GATE.search(data) is None:
        return None
    text = data.decode("utf-8", "replace")
    if _SECRETLY.search(text) is not None:
        return "definition-secretly", "something behind the user's back"
    if _ORDER.search(text) is not None:
        return "definition-order", "an order about how other things are to be used"
    known = paths.load()
    for token in _TOKEN.finditer(text):
        kind = known.secret(token[0].rstrip("."))
        if kind is None or kind.mild:
            continue
        around = text[max(0, token.start() - 160) : token.end() + 160]
        if _HANDS.search(around) is not None:
            return "definition-credentials", f"a file of credentials ({kind.title})"
    return None
