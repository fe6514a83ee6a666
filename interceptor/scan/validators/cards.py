"""Payment card numbers: issuer range, length, Luhn, and how the digits are grouped.

Ranges are those of ISO/IEC 7812 as the schemes publish them. One digit run of sixteen in ten begins
like a card, and one of those in ten satisfies Luhn, so bare digits are no card without a word or an
expiry date next to them; grouped as printed on a card, they are.
"""

from __future__ import annotations

import re

from interceptor.scan.validators.checksums import luhn

# First six digits, lowest and highest, and the lengths that are issued.
_ISSUERS: tuple[tuple[int, int, frozenset[int]], ...] = (
    (220000, 220499, frozenset((16, 17, 18, 19))),  # Mir
    (222100, 272099, frozenset((16,))),  # Mastercard, 2-series
    (300000, 305999, frozenset((14, 16))),  # Diners Club
    (309500, 309599, frozenset((14, 16))),
    (340000, 349999, frozenset((15,))),  # American Express
    (352800, 358999, frozenset((16, 17, 18, 19))),  # JCB
    (360000, 369999, frozenset((14, 16, 19))),  # Diners Club
    (370000, 379999, frozenset((15,))),  # American Express
    (380000, 399999, frozenset((14, 16, 19))),  # Diners Club
    (400000, 499999, frozenset((13, 16, 19))),  # Visa
    (500000, 509999, frozenset(range(12, 20))),  # Maestro, Elo, RuPay
    (510000, 559999, frozenset((16,))),  # Mastercard
    (560000, 589999, frozenset(range(12, 20))),  # Maestro
    (601100, 601199, frozenset((16, 17, 18, 19))),  # Discover
    (606000, 608999, frozenset((16,))),  # RuPay
    (620000, 629999, frozenset((16, 17, 18, 19))),  # UnionPay
    (630000, 639999, frozenset(range(12, 20))),  # Maestro
    (644000, 659999, frozenset((16, 17, 18, 19))),  # Discover, RuPay
    (670000, 679999, frozenset(range(12, 20))),  # Maestro
)

# Numbers that processors publish for their test environments (Stripe, Adyen, Braintree, PayPal,
# Square): documentation, not anybody's card. Those that are one digit or one pair repeated, such
# as 4242 4242 4242 4242, are recognised by their digits instead.
_PUBLISHED = frozenset(
    bytes(text.encode().replace(b" ", b""))
    for text in (
        "4111 1111 1111 1111",
        "4000 0566 5566 5556",
        "4012 8888 8888 1881",
        "4012 0000 3333 0026",
        "4005 5192 0000 0004",
        "4009 3488 8888 1881",
        "4988 4388 4388 4305",
        "4166 6766 6766 6746",
        "4646 4646 4646 4644",
        "4917 6100 0000 0000",
        "5555 5555 5555 4444",
        "5105 1051 0510 5100",
        "5200 8282 8282 8210",
        "5431 1111 1111 1111",
        "5454 5454 5454 5454",
        "5500 0000 0000 0004",
        "2222 4000 7000 0005",
        "2223 0031 2200 3222",
        "2223 0000 4841 0010",
        "2222 4053 4324 8877",
        "3782 822463 10005",
        "3714 496353 98431",
        "3787 344936 71000",
        "3700 0000 0000 002",
        "6011 1111 1111 1117",
        "6011 0009 9013 9424",
        "6011 9811 1111 1113",
        "3056 930902 5904",
        "3852 000002 3237",
        "3622 720627 1667",
        "3600 666633 3344",
        "3530 1113 3330 0000",
        "3566 0020 2036 0505",
        "3566 1111 1111 1113",
        "6200 0000 0000 0005",
        "6205 5000 0000 0000 004",
    )
)
_TEST_BLOCKS = (b"400000", b"424242", b"520082")
"""Ranges out of which processors publish dozens of test numbers (declined, disputed, ...)."""

_GROUPS = re.compile(rb"[0-9]{1,32}(?:([ +-])[0-9]{1,8}(?:\1[0-9]{1,8}){0,6})?")
_SHAPES = frozenset(((4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4), (4, 5, 6)))
_EXPIRY = re.compile(
    rb"\W{0,6}(?:0[1-9]|1[0-2])(?: ?[/-] ?|%2[fF])?(?:20)?(?:2[4-9]|3[0-9])(?![0-9])"
)
_CARD_WORDS = re.compile(
    rb"cvv|cvc|cvn|csc|security.?code|exp(?:iry|iration|_?date|_?month|_?year|\W)|mm/yy"
    rb"|card.?holder|valid (?:thru|until)",
    re.IGNORECASE,
)


def is_card(digits: bytes) -> bool:
    """Say whether the digits are a number that an issuer may have given to somebody's card."""
    if not 12 <= len(digits) <= 19 or not digits.isdigit() or not luhn(digits):
        return False
    if digits in _PUBLISHED or digits.startswith(_TEST_BLOCKS) or len(set(digits)) < 4:
        return False
    first = int(digits[:6])
    return any(low <= first <= high and len(digits) in sizes for low, high, sizes in _ISSUERS)


def card(secret: bytes, after: bytes) -> bool:
    """Pass a card number that is convincing alone: grouped as printed, or with its expiry behind.

    `secret` holds the first digits; the rest of them are read from `after`.
    """
    text = secret + after
    found = _GROUPS.match(text)
    if found is None:
        return False
    if not found[1]:
        digits, rest = found[0], text[found.end() :]
        near = rest[:80]
        return (
            is_card(digits)
            and not rest[:1].isalpha()
            and rest[:1] not in (b".", b"_")
            and (_EXPIRY.match(rest) is not None or _CARD_WORDS.search(near) is not None)
        )
    groups = found[0].split(found[1])
    if text[found.end() : found.end() + 1].isalpha():
        return False
    if max(map(int, groups[:4])) - min(map(int, groups[:4])) < 200:
        return False  # consecutive numbers, as in tables of code points
    # An expiry date or a security code may follow; more groups of four are columns of a table.
    return any(
        tuple(map(len, groups[: len(shape)])) == shape
        and len(b"".join(groups[len(shape) :])) in (0, 2, 3, 5, 7)
        and is_card(b"".join(groups[: len(shape)]))
        for shape in _SHAPES
    )


def whole_card(secret: bytes, after: bytes) -> bool:
    """Pass digits, grouped in any way, that are a card number and end where the pattern does."""
    return not after[:1].isalnum() and is_card(secret.translate(None, b" .-+"))
