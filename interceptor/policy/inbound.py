"""The section `inbound` of a policy: what is looked for in what comes back."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from interceptor.policy.section import Pattern, RuleId, Section

Score = Annotated[int, msgspec.Meta(ge=1, le=100)]
Handling = Literal["block", "annotate", "strip", "warn", "pass"]
"""What is done with content: refused, marked, freed of what nobody sees, noted, or nothing."""


class WebBands(Section, frozen=True):
    """What text that steers leads to, by its score: from the open web, where anyone may write."""

    high: Handling = "block"
    middle: Handling = "annotate"
    low: Handling = "warn"


class OwnBands(Section, frozen=True):
    """The same, from the operator's own hosts."""

    high: Handling = "annotate"
    middle: Handling = "warn"
    low: Handling = "pass"


class LlmBands(Section, frozen=True):
    """The same, from the APIs of language models: what they say is what the agent itself writes."""

    high: Handling = "warn"
    middle: Handling = "pass"
    low: Handling = "pass"


class Thresholds(Section, frozen=True):
    """Scores at which the bands begin."""

    high: Score = 70
    middle: Score = 40
    low: Score = 30


class InboundSources(Section, frozen=True):
    """Who is trusted more than the open web; everything that is not named here is the open web."""

    own: tuple[Pattern, ...] = ()
    llm: tuple[Pattern, ...] = ()
    """Added to those that ship (`interceptor/rules/llm_hosts.dat`)."""


class InboundExemption(Section, frozen=True):
    """A rule that does not count in what comes from a host; what is left out stands for any."""

    rule: RuleId = "*"
    host: Annotated[str, msgspec.Meta(max_length=260)] = ""


class Taint(Section, frozen=True):
    """What is tightened after the agent has received text that steers."""

    seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 600.0
    """For how long; 0: never."""
    new_hosts: Literal["deny", "read", "allow"] = "read"
    """Hosts of sites that the agent had not asked before: `read` allows requests that carry
    nothing but a short URL."""
    uploads: Literal["deny", "allow"] = "allow"
    """Content that is sent to hosts that the agent knew before."""
    credentials: Literal["block", "allow"] = "block"
    """Credentials that the policy otherwise only warns about; at home they always pass."""


class Inbound(Section, frozen=True):
    """What is looked for in what comes back, and what it leads to."""

    findings: Literal["block", "record"] = "block"
    """`block`: as the bands say; `record`: whatever they say, it is only noted."""
    thresholds: Thresholds = Thresholds()
    web: WebBands = WebBands()
    own: OwnBands = OwnBands()
    llm: LlmBands = LlmBands()
    sources: InboundSources = InboundSources()
    exempt: tuple[InboundExemption, ...] = ()
    taint: Taint = Taint()
