"""Order that depends on uids alone: seeded hashes, and the smallest of them.

A sample's `uid` has 128 bits. n uids are a uint64 array of shape (n, 2), the high half first, so that comparing rows
from left to right is comparing the 32 hex digits. Every random choice of the pipeline takes the smallest hashes of seed
and uid: it can be made part by part, merged in any order, and repeated anywhere.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GOLDEN = 0x9E3779B97F4A7C15


def parse(uids: Sequence[str]) -> NDArray[np.uint64]:
    """Read n uids of 32 hex digits: uint64 (n, 2), high half first. Others are a ValueError."""
    for row, uid in enumerate(uids):
        if len(uid) != 32:
            raise ValueError(
                f"uid {uid!r} at row {row:,} has {len(uid)} characters: give 32 hex digits"
            )
    halves = np.frombuffer(bytes.fromhex("".join(uids)), dtype=">u8")
    return halves.astype(np.uint64).reshape(len(uids), 2)


def derived_seed(seed: int, purpose: str) -> int:
    """The seed of one purpose of a job, 64 bits.

    Two choices by the same hash are not independent: a random tenth that follows a k-means sample of the same seed
    would be that sample. Each choice therefore names its purpose.
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def hashed(uid: NDArray[np.uint64], seed: int, purpose: str = "") -> NDArray[np.uint64]:
    """Hash every uid with a seed: uint64 (n,), uniform and the same on every machine.

    Both halves pass through splitmix64's finaliser (Steele, Lea and Flood, OOPSLA 2014), chained:
    h = mix(mix(s ^ high) ^ low), with s = derived_seed(seed, purpose).

    Args:
        uid: (n, 2) uint64, high half first.
        seed: the job's seed.
        purpose: name of the choice; different purposes give independent hashes.

    Raises:
        ValueError: uids of another shape or dtype.
    """
    check_uid(uid)
    start = np.uint64(derived_seed(seed, purpose))
    return _mix(_mix(uid[:, 0] ^ start) ^ uid[:, 1])


def uniform(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Map uint64 hashes (n,) to the open interval (0, 1): float64 (n,), from their upper 52 bits."""
    # With 53 bits the largest value plus a half would round to 1, whose logarithm is 0.
    return ((hashes >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def smallest(key: NDArray[np.generic], uid: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """Rows of the `count` smallest keys: int64 (count,), sorted by (key, uid).

    Args:
        key: (n,) of any ordered dtype, without NaN; for a random choice, `hashed`.
        uid: (n, 2) uint64.
        count: 0..n.

    Raises:
        ValueError: a count outside 0..n.
    """
    n = len(key)
    if not 0 <= count <= n:
        raise ValueError(
            f"count {count:,} lies outside 0..{n:,}, the number of rows: take at most {n:,}"
        )
    if count == 0:
        return np.empty(0, np.int64)
    # Rows beyond the count-th key are out: sorting the others alone keeps this O(n).
    bound = np.partition(key, count - 1)[count - 1]
    rows = np.flatnonzero(key <= bound)
    order = np.lexsort((uid[rows, 1], uid[rows, 0], key[rows]))
    return rows[order[:count]].astype(np.int64, copy=False)


def rows_by(first: NDArray[np.uint64], *then: NDArray[Any]) -> NDArray[np.int64]:
    """Rows by several keys (n,), the most significant first; rows with equal keys in their order: int64 (n,).

    As ``np.lexsort``, whose keys come in the opposite order, but ten times as fast where ``first`` hardly ever repeats,
    as a hash does: one column is sorted alone, and the rows that share its values by all.
    """
    order = np.argsort(first)
    ordered = first[order]
    equal = ordered[1:] == ordered[:-1]
    if equal.any():
        tied = np.append(equal, False) | np.append(False, equal)
        rows = np.sort(order[tied])
        order[tied] = rows[np.lexsort([key[rows] for key in (*reversed(then), first)])]
    return order.astype(np.int64, copy=False)


def by_uid(uid: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows sorted by uid, uint64 (n, 2): int64 (n,)."""
    return rows_by(uid[:, 0], uid[:, 1])


def by_bucket(bucket: NDArray[np.integer[Any]], buckets: int) -> NDArray[np.intp]:
    """Rows by the number of their bucket (n,), 0..buckets-1, and in their order: int64 (n,)."""
    # NumPy sorts 16 bits by radix, eight times as fast as 64.
    small = bucket.astype(np.uint16) if buckets <= 1 << 16 else bucket
    return np.argsort(small, kind="stable")


def row_mask(rows: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """Mask of n rows, bool (n,), true at the given row numbers."""
    mask = np.zeros(n, np.bool_)
    mask[rows] = True
    return mask


def descending(values: NDArray[np.floating], what: str = "score") -> NDArray[np.uint64]:
    """Keys that ascend as finite values (n,) descend: uint64 (n,), equal where the values are equal.

    A key is made of the bits of a float64, so that it can be cut, split by radix or mixed with hashes as an integer.

    Raises:
        ValueError: NaN or infinite values; the message calls them `what`.
    """
    return descending_unchecked(finite(values, what))


def descending_unchecked(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Keys as by `descending` for values that may be infinite; NaN, which has no order, is not looked for."""
    bits = (values + 0.0).view(np.uint64)  # -0.0 becomes 0.0: equal values need equal bits
    sign = np.uint64(1 << 63)
    # Bits of positive floats ascend with the value, those of negative floats descend.
    return np.where(bits & sign, bits, ~(bits | sign)).astype(np.uint64, copy=False)


def from_descending(key: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Values of the keys that `descending` makes: float64 (n,)."""
    sign = np.uint64(1 << 63)
    return np.where(key & sign, key, ~key & ~sign).astype(np.uint64, copy=False).view(np.float64)


def finite(values: NDArray[np.floating], what: str) -> NDArray[np.float64]:
    """Values as a contiguous float64 array of the same shape. NaN and infinite values are a ValueError."""
    wide = np.ascontiguousarray(values, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(wide))
    if bad.size:
        raise ValueError(
            f"{bad.size:,} of {wide.size:,} values of {what} are NaN or infinite, the first "
            f"({wide.flat[bad[0]]}) at {bad[0]:,}: drop those rows first"
        )
    return wide


def check_uid(uid: NDArray[np.uint64]) -> None:
    """Refuse uids that are not uint64 (n, 2) with a ValueError."""
    if uid.ndim != 2 or uid.shape[1] != 2 or uid.dtype != np.uint64:
        raise ValueError(f"uid is {uid.dtype} {uid.shape}: give uint64 (n, 2), two halves a sample")


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One step of splitmix64: add the golden gamma, then apply Stafford's variant 13 of the finaliser."""
    z = values + np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
