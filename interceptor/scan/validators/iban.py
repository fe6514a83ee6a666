"""International bank account numbers (ISO 13616): country, length, structure and check digits."""

from __future__ import annotations

import re

from interceptor.scan.validators.checksums import mod97

# What follows country and check digits, from the SWIFT IBAN registry: n digits, a capitals,
# c either. The lengths alone would let one in a hundred order numbers pass.
_STRUCTURES = """
AD8n12c AE19n AL8n16c AT16n AZ4a20c BA16n BE12n BG4a6n8c BH4a14c BI23n BR23n1a1c BY4c4n16c CH5n12c
CR18n CY8n16c CZ20n DE18n DJ23n DK14n DO4c20n EE16n EG25n ES20n FI14n FK2a12n FO14n FR10n11c2n
GB4a14n GE2a16n GI4a15c GL14n GR7n16c GT4c20c HN4a20n HR17n HU24n IE4a14n IL19n IQ4a15n IS22n
IT1a10n12c JO4a4n18c KW4a22c KZ3n13c LB4n20c LC4a24c LI5n12c LT16n LU3n13c LV4a13c LY21n MC10n11c2n
MD2c18c ME18n MK3n10c2n MN16n MR23n MT4a5n18c MU4a19n3a NI4a20n NL4a10n NO11n OM3n16c PK4a16c PL24n
PS4a21c PT21n QA4a21c RO4a16c RS18n RU14n15c SA2n18c SC4a20n3a SD14n SE20n SI15n SK20n SM1a10n12c
SO19n ST21n SV4a20n TL19n TN20n TR6n16c UA6n19c VA18n VG4a16n XK16n YE4a4n18c
"""
_CLASSES = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}


def _compiled(structure: str) -> tuple[bytes, tuple[int, re.Pattern[bytes]]]:
    parts = re.findall(r"(\d+)([nac])", structure[2:])
    body = "".join(f"{_CLASSES[kind]}{{{count}}}" for count, kind in parts)
    size = 4 + sum(int(count) for count, _ in parts)
    return structure[:2].encode(), (size, re.compile(f"[0-9]{{2}}{body}".encode()))


_COUNTRIES: dict[bytes, tuple[int, re.Pattern[bytes]]] = {}  # filled when first asked for


def account_number(secret: bytes, after: bytes) -> bool:
    """Pass an IBAN written in one piece or in groups of four; `after` may hold its end."""
    if not _COUNTRIES:
        _COUNTRIES.update(_compiled(structure) for structure in _STRUCTURES.split())
    country = _COUNTRIES.get(secret[:2].upper())
    if country is None:
        return False
    size, structure = country
    text = secret + after
    compact = bytearray()
    at = 0
    while len(compact) < size and at < len(text):
        byte = text[at : at + 1]
        if byte.isalnum():
            compact += byte
        elif byte not in (b" ", b"-", b"+") or len(compact) % 4 or not text[at - 1 : at].isalnum():
            return False
        at += 1
    if len(compact) < size or text[at : at + 1].isalnum():
        return False
    number = bytes(compact).upper()
    return structure.fullmatch(number, 2) is not None and mod97(number[4:] + number[:4]) == 1
