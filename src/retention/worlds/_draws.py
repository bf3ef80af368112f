"""Where chance comes from: one named stream a purpose, and draws that are hashed from what they are for."""

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention.frames.table import FloatColumn

__all__ = ["stream", "hashed_uniform", "hashed_normal"]


def stream(seed: int, purpose: str) -> np.random.Generator:
    """A generator for one purpose: a new purpose, or more draws for one, leaves the others as they were."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()),)))


def hashed_uniform(*keys: Any, purpose: str) -> FloatColumn:
    """Uniform numbers in [0, 1) that depend on the keys of their row alone, not on order or company of the rows.

    Keys are whole numbers or arrays of them. The mixing function is SplitMix64 (Steele, Lea & Flood 2014), applied
    once for each key.
    """
    state = np.asarray([zlib.crc32(purpose.encode())], dtype=np.uint64)
    for key in keys:
        state = _mixed(state ^ np.atleast_1d(np.asarray(key)).astype(np.int64).view(np.uint64))
    uniform: FloatColumn = (state >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return uniform


def hashed_normal(*keys: Any, purpose: str) -> FloatColumn:
    """Standard normal numbers, hashed like :func:`hashed_uniform` (Box and Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log1p(-hashed_uniform(*keys, purpose=purpose + ": radius")))
    normal: FloatColumn = radius * np.cos(2.0 * np.pi * hashed_uniform(*keys, purpose=purpose + ": angle"))
    return normal


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed
