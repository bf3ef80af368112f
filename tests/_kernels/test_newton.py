"""The climber reaches tops, and admits it where there is none."""

import numpy as np
import pytest

from retention._kernels.newton import maximise
from retention._kernels.points import normal_points


def test_a_curved_valley_is_climbed_to_its_top():
    """Rosenbrock's function upside down, from its usual bad start."""

    def banana(p):
        x, y = p
        value = -((1 - x) ** 2) - 100 * (y - x * x) ** 2
        gradient = np.array([2 * (1 - x) + 400 * x * (y - x * x), -200 * (y - x * x)])
        hessian = np.array([[-2 + 400 * y - 1200 * x * x, 400 * x], [400 * x, -200.0]])
        return value, gradient, hessian

    top = maximise(banana, np.array([-1.2, 1.0]))
    assert top.converged
    assert top.point == pytest.approx([1, 1], abs=1e-6)


def test_a_ridge_that_rises_for_ever_is_not_called_a_maximum():
    def ridge(p):
        e = np.exp(-p[0])
        return -e - p[1] ** 2, np.array([e, -2 * p[1]]), np.diag([-e, -2.0])

    top = maximise(ridge, np.array([0.0, 1.0]))
    assert not top.converged
    assert top.point[1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("count", "dimensions"), [(32, 3), (32, 4), (64, 2)])
def test_the_points_have_the_moments_of_a_normal(count, dimensions):
    z = normal_points(count, dimensions)
    assert z.mean(axis=0) == pytest.approx(np.zeros(dimensions), abs=1e-14)
    assert z.T @ z / count == pytest.approx(np.eye(dimensions), abs=1e-12)
