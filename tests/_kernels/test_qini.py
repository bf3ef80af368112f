"""The Qini curve, against its definition and repeated experiments."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention._kernels import qini


def slow_qini(score, treated, outcome):
    """Straight from the definition, one threshold after the other."""
    share, gain = [0.0], [0.0]
    for threshold in sorted(set(score), reverse=True):
        top = score >= threshold
        y1, y0 = outcome[top & treated].sum(), outcome[top & ~treated].sum()
        n1, n0 = (top & treated).sum(), (top & ~treated).sum()
        share.append(top.mean())
        gain.append((y1 - (y0 * n1 / n0 if n0 else 0.0)) / treated.sum())
    return np.trapezoid(gain, share) - gain[-1] / 2


@given(st.integers(0, 10**6), st.integers(2, 8))
def test_the_qini_area_is_that_of_its_definition_ties_included(seed, levels):
    rng = np.random.default_rng(seed)
    score, treated = rng.integers(0, levels, 60) / 7, np.arange(60) % 2 == 0
    outcome = rng.integers(0, 3, 60).astype(float)
    got = qini.qini(score, treated, outcome)
    assert got.area == pytest.approx(slow_qini(score, treated, outcome), abs=1e-12)
    assert got.gain[-1] == pytest.approx(outcome[treated].mean() - outcome[~treated].mean())
    again = qini.qini(np.exp(3 * score), treated, outcome)
    assert again.area == pytest.approx(got.area, abs=1e-12)


def test_the_error_of_the_qini_area_is_that_of_repeated_experiments():
    """300 experiments tell a standard deviation to 4 %; the bound is three times that. The area itself: the effect is
    0.3 s with s uniform, so Q(u) = 0.3 (u - u^2 / 2) and the area 0.3 (1/3 - 1/4) = 0.025."""
    rng = np.random.default_rng(9)
    for levels in (0, 4):  # without ties, and with four distinct scores
        found = []
        for _ in range(300):
            s, treated = rng.random(3000), rng.random(3000) < 0.3
            outcome = (rng.random(3000) < 0.2 + 0.3 * s * treated).astype(float)
            found.append(qini.qini(np.floor(levels * s) if levels else s, treated, outcome)[2:])
        area, error = np.array(found).T
        assert error.mean() == pytest.approx(area.std(ddof=1), rel=0.12)
        if not levels:
            assert abs(area.mean() - 0.025) < 4 * area.std() / math.sqrt(300)
