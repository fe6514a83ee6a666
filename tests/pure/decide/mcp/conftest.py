"""Conversations for the tests: one judge's scanners, fresh memories."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.conversation import Conversation
from interceptor.decide.mcp.pins import PinBook
from interceptor.decide.mcp.session import Session
from interceptor.model import Target
from interceptor.policy.schema import Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.injection.scanner import InjectionScanner

Talk = Callable[..., Conversation]


@pytest.fixture
def talk(scanner: Scanner, inbound: InjectionScanner) -> Talk:
    """Begin a conversation; those of one session and one book know of each other."""
    session, pins = Session(), PinBook()

    def begin(server: str = "files", policy: Policy | None = None) -> Conversation:
        judge = Judge(policy or Policy(), scanner, b"k" * 16, inbound)
        target = Target("stdio", server, 0)
        return Conversation(judge, target, server=server, pins=pins, session=session)

    return begin
