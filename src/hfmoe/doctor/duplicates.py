"""Near-duplicate photos, found by perceptual hashes in buckets, without comparing all with all.

The hash is the sign of the 8 x 8 lowest DCT coefficients of a small gray copy. A flip changes the sign of odd
coefficients and a turn transposes them, so the 8 turns of a photo are looked up without decoding it again.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt64

SIDE = 32
"""Side of the small copies."""

MOST_BITS = 10
"""Hashes that differ in more of their 63 bits are of different photos."""

LEAST_CORRELATION = 0.95
"""Small copies of one photo, re-encoded, lightened or cropped by a few per cent, agree at least so well."""

_LOW = 8
_BANDS = 4
_BAND_BITS = 16
_FULLEST = 64
_PLAIN = 3.0


def small_copy(luma: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "32 32"]:
    """Shrink a luma in [0, 255] of any size to 32 x 32 by the mean over areas."""
    pooled = _pool(_pool(luma).T).T
    return np.clip(np.rint(pooled), 0, 255).astype(np.uint8)


def near_pairs(
    copies: UInt8[np.ndarray, "n 32 32"], others: UInt8[np.ndarray, "m 32 32"] | None = None
) -> list[tuple[int, int]]:
    """Pairs (i, j) of small copies that show the same up to flips and turns: i < j of one set, or i of the
    first and j of the others. Almost plain copies are like none. Time n log n; buckets of more than 64, which
    hold what has little structure, are cut."""
    base = copies if others is None else others
    if not len(copies) or not len(base):
        return []
    spectra = _spectra(base)
    hashes = _hashes(spectra)
    queries = _spectra(copies)
    found: set[tuple[int, int]] = set()
    for turn in range(8):
        for first, second in _candidates(_hashes(_turned_spectra(queries, turn)), hashes):
            keep = first < second if others is None else np.ones(len(first), dtype=bool)
            first, second = first[keep], second[keep]
            keep = _agree(copies[first], base[second], turn)
            found.update(zip(first[keep].tolist(), second[keep].tolist(), strict=True))
    return sorted(found)


def groups(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Join pairs that share a member into groups, each sorted, in the order of their first members."""
    parent: dict[int, int] = {}

    def root(member: int) -> int:
        while parent.setdefault(member, member) != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    for first, second in pairs:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    joined: dict[int, list[int]] = {}
    for member in sorted(parent):
        joined.setdefault(root(member), []).append(member)
    return list(joined.values())


def stack(copies: Sequence[UInt8[np.ndarray, "32 32"]]) -> UInt8[np.ndarray, "n 32 32"]:
    """Stack small copies, none of them too."""
    return np.stack(copies) if copies else np.empty((0, SIDE, SIDE), dtype=np.uint8)


def _pool(luma: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "32 w"]:
    """Mean of the rows in each of 32 equal parts, edges cut exactly."""
    sums = np.concatenate([np.zeros((1, luma.shape[1])), np.cumsum(luma, axis=0, dtype=np.float64)])
    edges = np.linspace(0, len(luma), SIDE + 1)
    below = np.minimum(edges.astype(np.int64), len(luma) - 1)
    share = (edges - below)[:, None]
    return np.diff(sums[below] * (1 - share) + sums[below + 1] * share, axis=0) * SIDE / len(luma)


def _spectra(copies: UInt8[np.ndarray, "n 32 32"]) -> Float[np.ndarray, "n 8 8"]:
    place = np.arange(SIDE)
    wave = np.cos(np.pi * (2 * place[None] + 1) * np.arange(_LOW)[:, None] / (2 * SIDE)).astype(np.float32)
    return wave @ copies.astype(np.float32) @ wave.T


def _turned_spectra(spectra: Float[np.ndarray, "n 8 8"], turn: int) -> Float[np.ndarray, "n 8 8"]:
    odd = np.where(np.arange(_LOW) % 2, -1, 1).astype(np.float32)
    spectra = spectra.swapaxes(1, 2) if turn & 4 else spectra
    spectra = spectra * odd[:, None] if turn & 2 else spectra
    return spectra * odd if turn & 1 else spectra


def _hashes(spectra: Float[np.ndarray, "n 8 8"]) -> UInt64[np.ndarray, " n"]:
    bits = (spectra.reshape(len(spectra), -1) > 0).astype(np.uint64)
    bits[:, 0] = 0
    return (bits << np.arange(64, dtype=np.uint64)).sum(axis=1, dtype=np.uint64)


def _candidates(
    queries: UInt64[np.ndarray, " n"], hashes: UInt64[np.ndarray, " m"]
) -> Iterator[tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]]:
    """Pairs whose hashes share 15 of the 16 bits of a band, which all do that differ in at most 7 bits."""
    for band in range(_BANDS):
        shift, mask = np.uint64(band * _BAND_BITS), np.uint64(2**_BAND_BITS - 1)
        keys = (hashes >> shift) & mask
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        wanted = (queries >> shift) & mask
        for change in (0, *(1 << bit for bit in range(_BAND_BITS))):
            probe = wanted ^ np.uint64(change)
            low = np.searchsorted(keys, probe)
            count = np.minimum(np.searchsorted(keys, probe, side="right") - low, _FULLEST)
            first = np.repeat(np.arange(len(queries)), count)
            within = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
            second = order[np.repeat(low, count) + within]
            near = np.bitwise_count(queries[first] ^ hashes[second]) <= MOST_BITS
            yield first[near], second[near]


def _agree(
    first: UInt8[np.ndarray, "k 32 32"], second: UInt8[np.ndarray, "k 32 32"], turn: int
) -> Bool[np.ndarray, " k"]:
    """Tell which copies correlate once the first of each pair is turned."""
    first = first.swapaxes(1, 2) if turn & 4 else first
    first = first[:, :: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]
    rows, columns = (_standard(copies) for copies in (first, second))
    return (rows * columns).mean(axis=1) >= LEAST_CORRELATION


def _standard(copies: UInt8[np.ndarray, "k 32 32"]) -> Float[np.ndarray, "k 64"]:
    """Means of 4 x 4 pixels at mean 0 and deviation 1; copies that are almost plain become 0 and agree with
    none."""
    coarse = copies.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4), dtype=np.float32).reshape(-1, 64)
    coarse = coarse - coarse.mean(axis=1, keepdims=True)
    spread = coarse.std(axis=1, keepdims=True)
    return np.where(spread > _PLAIN, coarse / np.maximum(spread, _PLAIN), 0)
