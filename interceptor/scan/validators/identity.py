"""Numbers that stand for people: the US social security number."""

from __future__ import annotations

# Published: on specimen cards, in advertisements, and what everybody types into a form.
_PUBLISHED = frozenset((b"078051120", b"219099999", b"457555462", b"123456789", b"987654321"))


def social_security(secret: bytes, after: bytes) -> bool:
    """Pass nine digits, grouped 3-2-4 or not, that may have been issued.

    Area 000, 666 and 900 to 999, group 00 and serial 0000 never are
    (https://www.ssa.gov/employer/randomization.html).
    """
    digits = secret.translate(None, b" -.")
    if len(digits) != 9 or not digits.isdigit() or after[:1].isalnum():
        return False
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in (b"000", b"666") or area[:1] == b"9" or group == b"00" or serial == b"0000":
        return False
    # 111-22-3333 and its like are what documentation writes.
    return digits not in _PUBLISHED and any(len(set(p)) > 1 for p in (area, group, serial))
