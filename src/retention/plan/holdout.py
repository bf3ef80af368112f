"""Who is left alone so that an effect can be measured: the same customers every night, on every machine."""

import hashlib
from collections.abc import Iterable

import numpy as np

from retention.frames.table import FloatColumn

__all__ = ["holdout_draws", "tie_keys"]


def holdout_draws(customer_ids: Iterable[str], salt: str) -> FloatColumn:
    """A number in [0, 1) for each customer; she is held out where it is below the share.

    It is the first 53 bits of ``blake2b(salt + "|" + customer_id)``, so it depends on nothing else: not on the order,
    the batch, the day or the machine. A larger share keeps the customers of a smaller one; another salt draws anew.

    Example:
        >>> a = holdout_draws(["7", "8"], "shop")
        >>> bool((a == holdout_draws(["8", "7"], "shop")[::-1]).all())
        True
    """
    return np.asarray([(key >> 11) / 2.0**53 for key in _hashes(customer_ids, salt)], dtype=np.float64)


def tie_keys(customer_ids: Iterable[str], seed: int) -> list[int]:
    """The order in which customers with equal claims take their turn."""
    return _hashes(customer_ids, f"tie:{seed}")


def _hashes(customer_ids: Iterable[str], salt: str) -> list[int]:
    start = hashlib.blake2b(f"{salt}|".encode("utf-8", "surrogatepass"), digest_size=8)
    keys = []
    for customer_id in customer_ids:
        one = start.copy()
        one.update(str(customer_id).encode("utf-8", "surrogatepass"))
        keys.append(int.from_bytes(one.digest(), "big"))
    return keys
