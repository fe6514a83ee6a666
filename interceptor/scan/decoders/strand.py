"""Many runs decoded as one: put together with gaps of zero bits, and read at every alignment.

One call of a C function costs as much as decoding a kilobyte, and most texts have many short runs.
"""

from __future__ import annotations

from typing import NamedTuple

from interceptor.scan.decoders.noise import SMALL, is_noise, without_noise

_APART = b"\n|\n"
"""Between readings: neither lines that go on nor groups of digits reach from one to the next."""
Reading = tuple[bytes, int]
"""What comes out at one alignment, and by how many bits it is shifted: the place of bit 0."""


class Strand(NamedTuple):
    """Runs in a row."""

    text: bytes
    cuts: tuple[tuple[int, int], ...]
    """(where a run ends, where the next one begins)."""

    def turned_round(self) -> Strand:
        """Return the same runs, each read backwards."""
        size = len(self.text)
        return Strand(self.text[::-1], tuple((size - b, size - a) for a, b in self.cuts))


def strand(runs: list[bytes], gap: bytes) -> Strand:
    """Put runs together with `gap` between them: characters that stand for zero bits."""
    if len(runs) == 1:
        return Strand(runs[0], ())
    cuts = []
    at = 0
    for run in runs[:-1]:
        end = at + len(run)
        at = end + len(gap)
        cuts.append((end, at))
    return Strand(gap.join(runs), tuple(cuts))


def kept(run: Strand, bits: int, readings: list[Reading], *, turned: bool = False) -> bytes:
    """Join the readings of a strand that are no noise; runs end with a line end there.

    Args:
        run: what was read.
        bits: that a character stands for.
        readings: at each alignment.
        turned: see `is_noise`.
    """
    outs = [out for out, _ in readings]
    if len(outs[0]) * len(outs) <= SMALL:
        if is_noise(b"\n".join(outs)):
            return b""
    else:
        readings = [reading for reading in readings if not is_noise(reading[0], turned=turned)]
    parted = (_parted(out, run.cuts, bits, shift) for out, shift in readings)
    return _APART.join([without_noise(out, turned=turned) for out in parted])


def _parted(out: bytes, cuts: tuple[tuple[int, int], ...], bits: int, shift: int) -> bytes:
    """Write line ends over the gaps, since a credential ends there."""
    if not cuts:
        return out
    parted = bytearray(out)
    for end, start in cuts:
        first, last = (end * bits + shift) // 8, (start * bits + shift) // 8
        parted[first:last] = b"\n" * (last - first)
    return bytes(parted)
