"""A few fixed points that stand for a normal distribution: the same on every machine and for every customer."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["normal_points"]


def normal_points(count: int, dimensions: int) -> NDArray[np.float64]:
    """``count`` (even) points with mean 0 and covariance 1 exactly, as rows.

    A Kronecker sequence on the generalised golden ratio, sent through the normal quantile function, each point
    with its mirror image, then whitened. No random numbers, so no seed.

    Example:
        >>> z = normal_points(32, 4)
        >>> bool(abs(z.mean(0)).max() < 1e-14), bool(abs(z.T @ z / 32 - np.eye(4)).max() < 1e-12)
        (True, True)
    """
    if count < 2 * dimensions:
        raise ValueError(f"{count} mirrored points span at most {count // 2} dimensions, not {dimensions}")
    ratio = 2.0
    for _ in range(64):
        ratio = (1 + ratio) ** (1 / (dimensions + 1))
    generator = ratio ** -np.arange(1.0, dimensions + 1)
    half = ndtri((0.5 + np.outer(np.arange(1, count // 2 + 1), generator)) % 1.0)
    points = np.concatenate([half, -half])
    factor = np.linalg.cholesky(points.T @ points / count)
    return np.asarray(np.linalg.solve(factor, points.T).T)
