"""What the sections of a policy are made of."""

from __future__ import annotations

from typing import Annotated

import msgspec

Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=260)]
"""A host pattern, see `interceptor.policy.patterns`."""
RuleId = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every section: immutable, and an unknown key is an error."""
