"""Validators: a second look at what a pattern matched, so that look-alikes give no alarm.

Each takes the matched bytes and a little of what follows, and says whether they may be a secret.
They are pure, fast, and never raise on any input. One subject is one module; tables that are heavy
(word lists) are read when a pattern first asks for them.
"""

from __future__ import annotations

from collections.abc import Callable

from interceptor.scan.validators.assignments import assigned, assigned_line, drawn, looks_drawn
from interceptor.scan.validators.base58 import base58check_key, bitcoin_address, monero_address, wif
from interceptor.scan.validators.bech32 import bech32_text, segwit_address
from interceptor.scan.validators.bip39 import may_be_phrase, recovery_phrase
from interceptor.scan.validators.cards import card, whole_card
from interceptor.scan.validators.checksums import base62_crc32, crc_token, luhn, mod97
from interceptor.scan.validators.ethereum import (
    ethereum_address,
    ethereum_address_in_context,
    ethereum_key,
)
from interceptor.scan.validators.iban import account_number
from interceptor.scan.validators.identity import social_security
from interceptor.scan.validators.jwt import jwe_token, jwt_token
from interceptor.scan.validators.keypairs import solana_keypair
from interceptor.scan.validators.pem import der_key, pem_key
from interceptor.scan.validators.urls import basic_credentials, real_password, url_password
from interceptor.scan.validators.variety import (
    dense,
    entropy_of,
    filled_in,
    key_id,
    mixed,
    varied,
    whole_mixed,
    whole_varied,
)

Validator = Callable[[bytes, bytes], bool]
"""(secret, bytes that follow it) -> may it be a secret?"""

VALIDATORS: dict[str, Validator] = {
    "filled-in": filled_in,
    "varied": varied,
    "mixed": mixed,
    "dense": dense,
    "whole-varied": whole_varied,
    "whole-mixed": whole_mixed,
    "key-id": key_id,
    "drawn": drawn,
    "assigned": assigned,
    "assigned-line": assigned_line,
    "crc32": crc_token,
    "luhn": lambda secret, _after: luhn(secret),
    "card": card,
    "whole-card": whole_card,
    "iban": account_number,
    "social-security": social_security,
    "wif": wif,
    "base58check": base58check_key,
    "bitcoin-address": bitcoin_address,
    "monero-address": monero_address,
    "bech32": bech32_text,
    "segwit-address": segwit_address,
    "ethereum-key": ethereum_key,
    "ethereum-address": ethereum_address,
    "ethereum-address-in-context": ethereum_address_in_context,
    "solana-keypair": solana_keypair,
    "bip39": recovery_phrase,
    "jwt": jwt_token,
    "jwe": jwe_token,
    "pem": pem_key,
    "der-key": der_key,
    "url-password": url_password,
    "password": real_password,
    "basic-credentials": basic_credentials,
}
"""Validators by the name that rule files use."""

GLANCES: dict[str, Callable[[bytes, int], bool]] = {"bip39": may_be_phrase}
"""For some of them: (text, end of a hit) -> whether it is worth a closer look."""

__all__ = [
    "GLANCES",
    "VALIDATORS",
    "Validator",
    "base62_crc32",
    "entropy_of",
    "looks_drawn",
    "luhn",
    "mod97",
]
