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


def test_one_coordinate_at_the_wall_does_not_keep_the_others_from_climbing():
    """The first rises for ever and is there in a few steps; the second has a long bent way to its top at 2."""

    def slope(p):
        value = 1e3 * p[0] - (p[1] - 2) ** 4
        return value, np.array([1e3, -4 * (p[1] - 2) ** 3]), np.diag([0.0, -12 * (p[1] - 2) ** 2 - 1e-12])

    top = maximise(slope, np.array([13.5, -9.0]))
    assert not top.converged
    assert top.point[0] == 14.0
    assert top.point[1] == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize(("count", "dimensions"), [(32, 3), (32, 4), (64, 2)])
def test_the_points_have_the_moments_of_a_normal(count, dimensions):
    z = normal_points(count, dimensions)
    assert z.mean(axis=0) == pytest.approx(np.zeros(dimensions), abs=1e-14)
    assert z.T @ z / count == pytest.approx(np.eye(dimensions), abs=1e-12)


def test_a_ridge_is_left_when_nothing_is_left_to_gain():
    """With ``open_below`` a ridge that rises for ever takes a dozen looks; a maximum beyond a bend is still found."""
    looks = []

    def ridge(p):
        looks.append(1)
        e = np.exp(-p[0])
        return -e - p[1] ** 2, np.array([e, -2 * p[1]]), np.diag([-e, -2.0])

    top = maximise(ridge, np.array([0.0, 1.0]), open_below=0.01)
    assert not top.converged
    assert len(looks) < 12

    def summit(p):
        e = np.exp(-p[0])
        return e - e * e, np.array([-e + 2 * e * e]), np.array([[e - 4 * e * e]])

    top = maximise(summit, np.array([4.0]), open_below=0.01)
    assert top.converged
    assert top.point[0] == pytest.approx(np.log(2), abs=1e-6)
