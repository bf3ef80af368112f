"""Importance weights, the ensemble sampler and the nodes, on problems whose answers are known."""

import numpy as np
import pytest

from retention._kernels.bgnbd import BG, MBG
from retention._kernels.ensemble import effective_size, split_r_hat, walk
from retention._kernels.nodes import compress
from retention._kernels.psis import generalised_pareto, smooth
from retention._kernels.purchases import merge


@pytest.mark.parametrize("k", [-0.3, 0.1, 0.5, 0.9])
def test_the_shape_of_a_pareto_tail_is_found(k):
    """50 samples of 2,000 excesses by inversion; the mean's error is below 0.01, its bias towards 1/2 small."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(50):
        u = rng.random(2_000)
        found.append(generalised_pareto(np.sort(np.expm1(-k * np.log(u)) / k))[0])
    assert np.mean(found) == pytest.approx(k, abs=0.02)


def test_importance_weights_of_a_narrow_proposal_are_not_to_be_trusted_and_of_a_wide_one_are():
    """Target N(0, 1). Proposal N(0, s): ratios have a tail of shape 1 - s^2 for s < 1, 0.91 at s = 0.3."""
    rng = np.random.default_rng(9)
    for s, trusted in ((0.3, False), (1.5, True)):
        x = s * rng.standard_normal(20_000)
        smoothed = smooth(-0.5 * x**2 + 0.5 * (x / s) ** 2)
        assert (smoothed.k_hat < 0.7) is trusted
        assert smoothed.weights.sum() == pytest.approx(1.0)
        if trusted:
            assert smoothed.weights @ x**2 == pytest.approx(1.0, abs=0.05)  # 4.5 standard errors


def test_equal_ratios_are_equal_weights():
    smoothed = smooth(np.full(100, -7.0))
    assert smoothed.weights == pytest.approx(0.01)
    assert smoothed.ess == pytest.approx(100.0)
    assert smoothed.k_hat == -np.inf


def test_the_walkers_find_a_slanted_normal():
    """Four dimensions, condition number 1e4; tolerance five Monte Carlo errors at the effective size it reports."""
    rng = np.random.default_rng(1)
    root = np.linalg.qr(rng.standard_normal((4, 4)))[0] @ np.diag([100.0, 10.0, 1.0, 1.0])
    cov = root @ root.T
    precision = np.linalg.inv(cov)
    walked = walk(
        lambda p: -0.5 * np.einsum("ni,ij,nj->n", p, precision, p),
        rng.standard_normal((64, 4)), rng, warm_up=500, steps=2_000,
    )  # fmt: skip
    flat = walked.draws.reshape(-1, 4)
    assert walked.r_hat < 1.02
    assert walked.ess > 4_000
    error = np.sqrt(np.diag(cov) / walked.ess)
    assert np.all(np.abs(flat.mean(axis=0)) < 5 * error)
    assert np.diag(np.cov(flat.T)) == pytest.approx(np.diag(cov), rel=5 * np.sqrt(2 / walked.ess))


def test_the_walkers_find_a_bent_density():
    """y is N(x^2, 0.3^2) and x is N(0, 1): E y = 1, var y = 2.09; five Monte Carlo errors at the size it reports (a
    wrong acceptance rule for either kind of step misses by tens)."""
    walked = walk(
        lambda p: -0.5 * p[:, 0] ** 2 - 0.5 * ((p[:, 1] - p[:, 0] ** 2) / 0.3) ** 2,
        np.random.default_rng(4).standard_normal((32, 2)), np.random.default_rng(5), warm_up=1_000, steps=8_000,
    )  # fmt: skip
    x, y = walked.draws.reshape(-1, 2).T
    for values, mean, sd in ((x, 0.0, 1.0), (x**2, 1.0, np.sqrt(2)), (y, 1.0, np.sqrt(2.09))):
        assert abs(values.mean() - mean) < 5 * sd / np.sqrt(walked.ess)


def test_chains_that_disagree_or_drag_are_seen():
    rng = np.random.default_rng(2)
    good = rng.standard_normal((1_000, 4))
    assert split_r_hat(good) < 1.01
    assert split_r_hat(good + np.arange(4)) > 1.5
    assert effective_size(good) == pytest.approx(4_000, rel=0.25)
    slow = np.zeros((4_000, 4))
    for i in range(1, 4_000):
        slow[i] = 0.9 * slow[i - 1] + rng.standard_normal(4)
    assert effective_size(slow) == pytest.approx(16_000 / 19, rel=0.35)  # (1 + 0.9) / (1 - 0.9) = 19


@pytest.mark.parametrize("kernel", [BG, MBG], ids=["bg", "mbg"])
def test_nodes_have_the_likelihood_of_the_customers_they_stand_for(kernel):
    """60,000 customers in whole days; parameters far apart, in both directions of every one of them."""
    params = np.array([0.25, 4.4, 0.8, 2.4])
    rng = np.random.default_rng(5)
    T = rng.integers(7, 731, 60_000) / 7.0
    rows = kernel.simulate(params, T, rng)
    rows = rows._replace(t_x=np.minimum(np.ceil(rows.t_x * 7) / 7, T))
    cells = merge(rows)
    nodes = compress(cells, 4.4)
    assert len(nodes.weight) < len(cells.weight) / 3
    assert nodes.weight.sum() == pytest.approx(60_000, rel=1e-12)
    assert np.all(nodes.rows.t_x <= nodes.rows.T)
    points = params * np.exp(0.4 * rng.standard_normal((20, 4)))
    exact, short = kernel.values(points, cells), kernel.values(points, nodes)
    apart = short - exact
    assert np.abs(apart - apart[0]).max() < 0.02  # of two hundred thousand nats: differences are what a posterior sees
