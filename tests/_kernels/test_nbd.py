"""The NBD kernel against integrals over the latent rate, its own derivatives, and simulated customers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention._kernels.bgnbd import BG
from retention._kernels.nbd import KERNEL
from retention._kernels.purchases import Rows, merge

PARAMS = (0.385, 12.07)
HISTORIES = Rows(
    np.array([0.0, 0, 1, 2, 60]), np.array([0.0, 0, 3, 30.4, 50]), np.array([0.0, 39, 40, 38.9, 78]), np.zeros(5)
)


def test_gradient_and_hessian_are_those_of_the_definition():
    mp = pytest.importorskip("mpmath")
    _, gradient, hessian = KERNEL.rowwise(PARAMS, HISTORIES)
    with mp.workdps(60):
        for n, (x, T) in enumerate(zip(HISTORIES.x.tolist(), HISTORIES.T.tolist(), strict=True)):

            def value(log_r, log_alpha, x=x, T=T):
                r, alpha = mp.exp(log_r), mp.exp(log_alpha)
                return mp.log(mp.gamma(r + x) / mp.gamma(r) * alpha**r * (alpha + mp.mpf(T)) ** -(r + x))

            at = tuple(mp.log(mp.mpf(p)) for p in PARAMS)
            for order, got in (
                ((1, 0), gradient[0, n]), ((0, 1), gradient[1, n]), ((2, 0), hessian[0, 0, n]),
                ((1, 1), hessian[0, 1, n]), ((1, 1), hessian[1, 0, n]), ((0, 2), hessian[1, 1, n]),
            ):  # fmt: skip
                assert got == pytest.approx(float(mp.diff(value, at, order)), rel=1e-8, abs=1e-12)


def test_a_base_is_the_sum_of_its_customers():
    rng = np.random.default_rng(1)
    base = KERNEL.simulate(PARAMS, rng.integers(5, 30, 2000) * 1.0, rng)
    base = base._replace(t_x=np.ceil(base.t_x))
    cells = merge(base)
    v, g, H = KERNEL.rowwise(PARAMS, base)
    value, gradient, hessian = KERNEL.total(PARAMS, cells)
    assert value == pytest.approx(v.sum(), rel=1e-12)
    assert gradient == pytest.approx(g.sum(axis=1), rel=1e-10)
    assert hessian == pytest.approx(H.sum(axis=2), rel=1e-10)
    assert KERNEL.values(np.array([PARAMS, PARAMS]), cells) == pytest.approx([value, value], rel=1e-12)


def test_it_is_bg_nbd_whose_customers_never_leave():
    """A drop-out of 1e-12: everything that BG/NBD says of customers without the knowledge of silence."""
    almost = (*PARAMS, 1e-10, 100.0)
    bought = HISTORIES._replace(t_x=HISTORIES.T)  # so that silence cannot speak
    for horizon, delta in ((39.0, 0.0), (39.0, 0.01)):
        mine = KERNEL.forecast(PARAMS, bought, horizon, delta, second=True)
        for own, other in zip(mine, BG.forecast(almost, bought, horizon, delta, second=True), strict=True):
            assert own == pytest.approx(other, rel=1e-8)
    assert KERNEL.pmf(PARAMS, bought, 39.0, 9) == pytest.approx(BG.pmf(almost, bought, 39.0, 9), rel=1e-7)


@settings(max_examples=30)
@given(r=st.floats(0.01, 50), alpha=st.floats(0.01, 50), horizon=st.floats(0.01, 500), delta=st.floats(0, 1))
def test_forecasts_hang_together(r, alpha, horizon, delta):
    ahead = KERNEL.forecast((r, alpha), HISTORIES, horizon, delta, second=True)
    half = KERNEL.forecast((r, alpha), HISTORIES, horizon / 2, delta)
    assert np.all(ahead.squares <= ahead.mean * (1 + 1e-12))
    assert np.all(ahead.squares + ahead.pairs >= ahead.mean**2 * (1 - 1e-12))
    assert ahead.mean == pytest.approx(half.mean * (1 + np.exp(-delta * horizon / 2)), rel=1e-12)
    chances = KERNEL.pmf((r, alpha), HISTORIES, horizon, 40)
    assert np.all(chances.sum(axis=1) <= 1 + 1e-12)
    assert 1 - chances[:, 0] == pytest.approx(ahead.any, abs=1e-12)


def test_nobody_leaves_and_a_horizon_of_nothing_brings_nothing():
    assert np.all(KERNEL.p_alive(PARAMS, HISTORIES) == 1)
    assert np.all(KERNEL.survival(PARAMS, HISTORIES, 1e9) == 1)
    assert all(np.all(values == 0) for values in KERNEL.forecast(PARAMS, HISTORIES, 0.0, 0.1, second=True))


def test_simulated_customers_have_the_moments_and_the_futures_that_the_kernel_says():
    """100,000 customers; eight comparisons at 4.7 standard errors fail by chance with probability 2e-5."""
    n, rng = 100_000, np.random.default_rng(2)

    def agree(draws, expected):
        assert abs(draws.mean() - expected) < 4.7 * draws.std() / np.sqrt(len(draws))

    seen = KERNEL.simulate(PARAMS, np.full(n, 30.0), rng)
    agree(seen.x, PARAMS[0] / PARAMS[1] * 30.0)
    agree((seen.x == 2) * 1.0, KERNEL.pmf(PARAMS, Rows(*np.zeros((4, 1))), 30.0, 2)[0, 2])
    agree(seen.t_x[seen.x == 2] / 30.0, 2 / 3)
    one = Rows(*(np.array([v]) for v in (4.0, 20.0, 26.0, 0.0)))
    hers = Rows(*(np.repeat(values, n) for values in one))
    for horizon, delta in ((30.0, 0.0), (np.inf, 0.05)):
        ahead = KERNEL.ahead(PARAMS, hers, horizon, delta, rng)
        expected = KERNEL.forecast(PARAMS, one, horizon, delta, second=True)
        agree(ahead.discounted, expected.mean[0])
        agree(ahead.discounted**2, expected.squares[0] + expected.pairs[0])
    agree(ahead.expected, expected.mean[0])
