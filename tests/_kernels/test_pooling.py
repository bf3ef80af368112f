"""The pooling kernel against fifty-digit truth, and against what must hold of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention._kernels.pooling import below, moments, pool, quantile

TRUTH = json.loads((Path(__file__).parent / "truth" / "pooling.json").read_text())

estimates = st.lists(st.tuples(st.floats(-20, 20), st.floats(0.01, 20)), min_size=1, max_size=6)


def pooled(point):
    y, s, centre, spread, between, alike = point
    return pool(np.array(y), np.array(s), centre=centre, spread=spread, between=between, alike=alike)


def ours(found):
    mean, sd = moments(found.groups)
    common, common_sd = moments(found.common)
    return {
        "alike": found.alike,
        "between": found.between,
        "mean": mean[0],
        "sd": sd[0],
        "common_mean": common[0],
        "common_sd": common_sd[0],
        "share": found.share[0],
    }


@pytest.mark.parametrize("grid", ["hard", "extreme"])
def test_the_posterior_is_what_the_integral_says(grid):
    """Truth: tau integrated out with fifty digits (truth/pooling.py); sizes from 1e-4 to 1e4 on the extreme grid."""
    for case in TRUTH[grid]:
        y, _s, *_ = case["point"]
        found, truth = ours(pooled(case["point"])), dict(zip(TRUTH["names"], case["truth"], strict=True))
        # A mean between estimates of unlike sign is as exact as the largest of them.
        scale = max(1.0, *map(abs, y)) if grid == "extreme" else 1.0
        for name, value in found.items():
            loose = 1e-9 * scale if "mean" in name else 1e-12
            assert value == pytest.approx(truth[name], rel=1e-9, abs=loose), (name, case["point"])


def test_without_estimates_the_prior_is_left():
    found = pool(np.zeros(0), np.zeros(0), centre=1.0, spread=0.5, between=0.4, alike=0.25)
    assert found.alike == pytest.approx(0.25, rel=1e-12)
    assert found.between == pytest.approx(0.75 * 0.4 * np.sqrt(2 / np.pi), rel=1e-12)
    mean, sd = moments(found.unseen)
    assert mean[0] == pytest.approx(1.0, rel=1e-12)
    assert sd[0] == pytest.approx(np.sqrt(0.25 + 0.75 * 0.16), rel=1e-12)
    assert found.common_share == pytest.approx(0.0, abs=1e-12)


def test_without_differences_it_is_the_normal_mean_with_known_variances():
    y, s = np.array([0.2, 1.1, 0.7]), np.array([0.3, 0.2, 0.6])
    found = pool(y, s, centre=1.0, spread=0.5, between=0.4, alike=1.0)
    precision = 4.0 + np.sum(s**-2.0)
    mean, sd = moments(found.groups)
    assert mean == pytest.approx(np.full(3, (4.0 + np.sum(y / s**2)) / precision), rel=1e-13)
    assert sd == pytest.approx(np.full(3, precision**-0.5), rel=1e-13)


@given(estimates, st.randoms(use_true_random=False))
def test_the_order_of_groups_does_not_matter_and_quantiles_are_quantiles(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    first, second = (pooled([*zip(*some, strict=True), 1.0, 0.5, 0.4, 0.5]) for some in (pairs, shuffled))
    assert first.alike == pytest.approx(second.alike, rel=1e-9, abs=1e-12)
    by_estimate = dict(zip(shuffled, moments(second.groups)[0], strict=True))
    for pair, mean in zip(pairs, moments(first.groups)[0], strict=True):
        assert mean == pytest.approx(by_estimate[pair], rel=1e-9, abs=1e-9)
    low, high = quantile(first.groups, 0.05), quantile(first.groups, 0.95)
    assert np.all(low < high)
    assert below(first.groups, low) == pytest.approx(np.full(len(pairs), 0.05), abs=1e-9)


@given(estimates)
def test_a_group_lies_between_its_estimate_and_what_all_have_in_common(pairs):
    """Given tau it does, so averaged it lies between the extremes of the estimates and the prior's centre."""
    y, s = map(np.array, zip(*pairs, strict=True))
    found = pool(y, s, centre=1.0, spread=0.5, between=0.4, alike=0.5)
    mean, _ = moments(found.groups)
    assert np.all(mean >= min(y.min(), 1.0) - 1e-9)
    assert np.all(mean <= max(y.max(), 1.0) + 1e-9)
    assert np.all((found.share >= found.common_share - 1e-9) & (found.share <= 1.0))


def test_doubt_about_the_differences_is_never_collapsed_to_none():
    """Two groups that happen to agree: an estimate by moments is 0 and calls them the same; this does not."""
    found = pool(np.array([0.5, 0.5]), np.array([0.3, 0.3]), centre=1.0, spread=0.5, between=0.5)
    assert found.between > 0.2
    alone = pool(np.array([0.5, 0.5]), np.array([0.3, 0.3]), centre=1.0, spread=0.5, between=0.5, alike=1.0)
    assert moments(found.groups)[1][0] > 1.1 * moments(alone.groups)[1][0]


def test_worlds_drawn_from_the_prior_are_covered():
    """With known errors 90 % intervals hold 90 % of the truths: 1,500 worlds of three groups, error 0.7 points."""
    rng = np.random.default_rng(1)
    s, inside = np.array([0.2, 0.5, 1.0]), []
    for _ in range(1500):
        tau = 0.0 if rng.random() < 0.5 else abs(rng.normal(0, 0.5))
        truth = rng.normal(rng.normal(1, 0.5), tau, 3)
        found = pool(rng.normal(truth, s), s, centre=1.0, spread=0.5, between=0.5, alike=0.5)
        p = below(found.groups, truth)
        inside.append((p > 0.05) & (p < 0.95))
    assert np.mean(inside) == pytest.approx(0.9, abs=0.02)
