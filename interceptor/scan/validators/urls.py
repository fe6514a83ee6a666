"""Passwords in URLs and connection strings: real ones, not those of documentation."""

from __future__ import annotations

import binascii
import re

from interceptor.scan.validators.variety import entropy_of, varied

_WEAK = frozenset(
    b"password passwd postgres mysql secret changeme example admin root guest test user "
    b"pass hunter2 letmein qwerty mypassword mysecretpassword yourpassword your_password "
    b"password123 supersecret postgres123 p@ssw0rd p%40ssw0rd".split()
)
_LOCAL = re.compile(
    rb"127\.|0\.0\.0\.0|\[::1\]|(?:localhost|db|postgres|mysql|redis|host)(?![A-Za-z0-9.-])"
)
_TEMPLATE = re.compile(rb"\$[A-Za-z_{(]|[{}<>\[\]]|%[sd(]|\(\)")
_PUBLISHED_USERS = (b"Aladdin", b"s6BhdRkqt3", b"alice", b"test", b"user", b"username")
"""Of the examples of RFC 7617 and RFC 6749, and of everybody's documentation."""
_ESCAPED = re.compile(rb"%[0-9A-Fa-f]{2}")
_DOCUMENTED = re.compile(rb"pass(?:word|wd|phrase)?|secret|token|user(?:name)?|api|key|my|your|the")


def url_password(secret: bytes, after: bytes) -> bool:
    """Pass a URL password that is neither a template, a word of documentation nor local."""
    if not real_password(secret):
        return False
    return _LOCAL.match(after.removeprefix(b"@")) is None


def real_password(secret: bytes, _after: bytes = b"") -> bool:
    """Pass a password that is neither a template nor a word of documentation."""
    bare = _ESCAPED.sub(b"_", secret)
    if len(bare) < 8 or secret.lower() in _WEAK or _TEMPLATE.search(bare):
        return False
    if not _DOCUMENTED.sub(b"", bare.lower()).strip(b"-_.,;:()=0123456789"):
        return False
    return varied(secret, b"") and entropy_of(secret) >= 2.5


def basic_credentials(secret: bytes, _after: bytes) -> bool:
    """Pass base64 of `user:password` (RFC 7617) whose password is a real one."""
    try:
        data = binascii.a2b_base64(secret + b"=" * (-len(secret) % 4))
    except binascii.Error:
        return False
    user, colon, password = data.partition(b":")
    if not colon or any(byte < 32 for byte in data):
        return False
    if user in _PUBLISHED_USERS:
        return False
    return real_password(password) or (len(user) > 15 and real_password(user))
