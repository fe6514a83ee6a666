"""Groups of digits read side by side: base 85 in C, without a loop over the groups.

Five digits of base 85 make 32 bits. The first digits of all groups are put into lanes of 64 bits of
one long number, which is multiplied by 85, the second digits added, and so on.
"""

from __future__ import annotations

_LANE = 8


def from_base85(digits: bytes) -> bytes:
    """Decode groups of five digits, values 0 to 84, a multiple of five of them.

    What a group has beyond 32 bits is cut off.
    """
    count = len(digits) // 5
    number = 0
    for place in range(5):
        lanes = bytearray(_LANE * count)
        lanes[::_LANE] = digits[place::5]
        number = number * 85 + int.from_bytes(lanes, "little")
    lanes_out = number.to_bytes(_LANE * count, "little")
    out = bytearray(4 * count)
    for place in range(4):
        out[place::4] = lanes_out[3 - place :: _LANE]
    return bytes(out)
