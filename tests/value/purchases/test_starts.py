"""Finding where to climb from: fewer climbs, and no summit overlooked for it."""

import numpy as np
import pytest

from retention._kernels.newton import maximise
from retention._kernels.purchases import Ready, Rows, merge
from retention.histories import Histories
from retention.value import BGNBD, MBGNBD, ParetoNBD
from retention.value.estimate import estimate
from retention.value.purchases.starts import hills, sketch

CENTER, SD, NO_PRIOR = np.zeros(2), np.full(2, 2.0), np.zeros(2)


def land(*summits):
    """A likelihood that is a landscape of round hills over two log-parameters."""

    def height(points):
        return np.logaddexp.reduce([-2 * np.sum((points - summit) ** 2, axis=-1) for summit in summits])

    def total(params):
        point = np.log(params)
        share = np.exp([-2 * np.sum((point - summit) ** 2) - height(point) for summit in summits])
        slopes = np.array([-4 * (point - summit) for summit in summits])
        gradient = share @ slopes
        hessian = -4 * np.eye(2) + (share * slopes.T) @ slopes - np.outer(gradient, gradient)
        return float(height(point)), gradient, hessian

    return Ready(total, lambda matrix: height(np.log(matrix)))


def test_on_one_hill_every_start_is_seen_to_belong_to_it():
    (only,) = hills(land(np.array([0.3, -0.2])), CENTER, SD, NO_PRIOR)
    assert only.starts == 7
    assert only.summit == pytest.approx([0.3, -0.2], abs=1e-9)


def test_a_second_hill_is_found_although_the_first_climb_knows_nothing_of_it():
    found = hills(land(np.array([2.0, -2.0]), np.array([-2.0, 2.0])), CENTER, SD, NO_PRIOR)
    assert sum(hill.starts for hill in found) == 7
    ends = sorted(hill.summit.round(3).tolist() for hill in found if np.abs(hill.summit).min() > 1)
    assert ends == [[-2.0, 2.0], [2.0, -2.0]]


def test_where_a_weak_prior_chooses_a_second_hill_is_not_overlooked_either():
    """The second parameter says nothing, so that no climb finds a maximum; along the first one the middle is a knoll
    that a hill beside it overtops by three nats."""

    def objective(theta):
        summits, heights = np.array([0.0, 1.0]), np.array([0.0, 3.0])
        parts = heights - 40 * (theta[0] - summits) ** 2
        value = np.logaddexp.reduce(parts)
        share, slope = np.exp(parts - value), -80 * (theta[0] - summits)
        gradient = np.array([share @ slope, 0.0])
        hessian = np.zeros((2, 2))
        hessian[0, 0] = share @ slope**2 - 80 - gradient[0] ** 2
        return float(value), gradient, hessian

    names, nothing, wide = ("a", "b"), np.zeros(2), np.full(2, 1.5)
    point, found = estimate(objective, model="m", names=names, prior_mean=nothing, prior_sd=wide, customers=1.0)
    assert "b not identified" in found.diagnosis
    assert point == pytest.approx([1.0, 0.0], abs=0.02)
    assert (found.converged, found.starts) == (True, 1)


@pytest.mark.parametrize("model", [BGNBD(), MBGNBD(), ParetoNBD()], ids=lambda model: model.name)
def test_the_fit_is_where_climbs_from_every_start_end(model):
    """The report says from how many starts; here each of them is climbed from, on the likelihood of the whole base."""
    kernel = model.kernel()
    params = [model.CENTER[name] for name in kernel.names]
    rows = kernel.simulate(params, np.linspace(20, 60, 3000).round(), np.random.default_rng(7))
    base = Histories.from_arrays(frequency=rows.x, recency_days=np.ceil(rows.t_x * 7), age_days=np.ceil(rows.T * 7))
    fitted = model.fit_purchases(base)
    assert fitted.estimate.starts == 7
    cells = model.cells(base).scaled(7.0)
    sd = np.log(model.FACTOR) / 2
    for sign in ([0, 0, 0, 0], [1, -1, 1, -1], [-1, 1, -1, 1], [1, 1, -1, -1], [-1, -1, 1, 1]):
        climb = maximise(lambda theta: kernel.total(np.exp(theta), cells), np.log(params) + sd * np.array(sign))
        assert climb.point == pytest.approx(np.log(fitted.purchase_params), abs=1e-6)


def test_a_sketch_stands_for_all_customers_in_equal_parts():
    rng = np.random.default_rng(2)
    x = rng.poisson(3.0, 40_000) + 1.0
    cells = merge(Rows(x, rng.random(40_000), np.ones(40_000), np.zeros(40_000)))
    few = sketch(cells, 500)
    assert len(few.weight) <= 500
    assert few.weight.sum() == pytest.approx(40_000)
    assert np.average(few.rows.x, weights=few.weight) == pytest.approx(x.mean(), rel=0.01)
    assert sketch(few) is few
