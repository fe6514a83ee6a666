"""Validators: a second look at what a pattern matched, so that look-alikes give no alarm.

Each takes the matched bytes and a little of what follows, and says whether they may be a secret.
They are pure, fast, and never raise on any input. One subject is one module; tables that are heavy
(word lists) are read when a pattern first asks for them.
"""

from __future__ import annotations

from collections.abc import Callable

from interceptor.scan.validators.checksums import base62_crc32, crc_token, luhn, mod97
from interceptor.scan.validators.jwt import jwt
from interceptor.scan.validators.pem import pem
from interceptor.scan.validators.urls import url_password
from interceptor.scan.validators.variety import (
    entropy_of,
    key_id,
    mixed,
    varied,
    whole_mixed,
    whole_varied,
)

Validator = Callable[[bytes, bytes], bool]
"""(secret, bytes that follow it) -> may it be a secret?"""

VALIDATORS: dict[str, Validator] = {
    "varied": varied,
    "mixed": mixed,
    "whole-varied": whole_varied,
    "whole-mixed": whole_mixed,
    "key-id": key_id,
    "crc32": crc_token,
    "jwt": jwt,
    "pem": pem,
    "url-password": url_password,
    "luhn": lambda secret, _after: luhn(secret),
}
"""Validators by the name that rule files use."""

__all__ = ["VALIDATORS", "Validator", "base62_crc32", "entropy_of", "luhn", "mod97"]
