"""Passwords in URLs and connection strings: real ones, not those of documentation."""

from __future__ import annotations

import re

from interceptor.scan.validators.variety import entropy_of, varied

_WEAK = frozenset(
    b"password passwd postgres mysql secret changeme example admin root guest test user "
    b"pass hunter2 letmein qwerty mypassword mysecretpassword yourpassword your_password "
    b"password123 supersecret".split()
)
_LOCAL = re.compile(
    rb"127\.|0\.0\.0\.0|\[::1\]|(?:localhost|db|postgres|mysql|redis|host)(?![A-Za-z0-9.-])"
)
_TEMPLATE = re.compile(rb"[${}<>\[\]%*()]")


def url_password(secret: bytes, after: bytes) -> bool:
    """Pass a URL password that is neither a template, a word of documentation nor local."""
    if len(secret) < 8 or secret.lower() in _WEAK or _TEMPLATE.search(secret):
        return False
    if _LOCAL.match(after.removeprefix(b"@")):
        return False
    return varied(secret, after) and entropy_of(secret) >= 2.5
