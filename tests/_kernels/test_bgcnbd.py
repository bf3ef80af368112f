"""The (M)BG/CNBD-k kernel against many digits, against itself by other roads, and against simulated customers."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention._kernels import renewal
from retention._kernels.bgcnbd import blended, kernel
from retention._kernels.bgnbd import BG, MBG
from retention._kernels.purchases import Rows, merge

GROCERY = (1.3292, 2.8126, 0.42472, 0.79004)
NEW = Rows(*np.zeros((4, 1)))


def rows(*listed):
    """Customers (x, t_x, T) or (x, t_x, T, log_gaps)."""
    filled = [(*each, 0.0)[:4] for each in listed]
    return Rows(*(np.array(column, dtype=float) for column in zip(*filled, strict=True)))


HISTORIES = rows(
    (0, 0, 0), (0, 0, 39), (1, 3, 40, 1.1), (2, 30.4, 38.9, 5.1), (2, 38.9, 38.9, 5.7), (5, 20, 60, 4.0),
    (60, 50, 78, -13.0)
)  # fmt: skip


def test_discounted_moments_of_known_rates_and_chances_agree_with_integrals_over_time():
    read = json.loads((Path(__file__).parent / "truth" / "bgcnbd_chain.json").read_text(encoding="utf-8"))
    for case in read["chain"]:
        k, rate, q, h, delta = case["point"]
        true = dict(zip(read["names"], case["truth"], strict=True))
        found = renewal._chain(k, np.array([rate]), np.array([[np.log1p(q - 1)]]), h, delta, True, True)
        for got, name in zip(found[:, :, 0, 0], ("mean", "squares", "pairs"), strict=True):
            expected = [true[f"{name}_{j}"] for j in range(k)]
            assert got == pytest.approx(expected, rel=1e-10, abs=1e-280), (name, case)


@pytest.mark.parametrize(("m", "other"), [(0, BG), (1, MBG)])
def test_k_1_is_bg_nbd(m, other):
    """Every function of the kernel; BG/NBD's own takes other roads."""
    model, params = kernel(1, m), (0.243, 4.414, 0.793, 2.426)
    for mine, theirs in zip(model.rowwise(params, HISTORIES), other.rowwise(params, HISTORIES), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-11, abs=1e-11)
    for name in ("log_likelihoods", "p_alive", "log_rate"):
        mine, theirs = (getattr(each, name)(params, HISTORIES) for each in (model, other))
        assert mine == pytest.approx(theirs, rel=1e-12, abs=1e-13)
    assert model.survival(params, HISTORIES, 30.0) == pytest.approx(other.survival(params, HISTORIES, 30.0), rel=1e-10)
    assert model.pmf(params, HISTORIES, 39.0, 20) == pytest.approx(other.pmf(params, HISTORIES, 39.0, 20), rel=1e-11)
    for horizon, delta in ((39.0, 0.0), (39.0, 0.01), (np.inf, 0.002), (1e-3, 0.0)):
        pair = (each.forecast(params, HISTORIES, horizon, delta, second=True) for each in (model, other))
        for mine, theirs in zip(*pair, strict=True):
            assert mine == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize(("k", "m"), [(1, 0), (2, 1), (3, 0)])
def test_gradient_and_hessian_are_those_of_the_definition(k, m):
    """Differentiated numerically with forty digits."""
    mp = pytest.importorskip("mpmath")
    params = (0.7, 3.0, 0.6, 1.7)
    _, gradient, hessian = kernel(k, m).rowwise(params, HISTORIES)
    with mp.workdps(60):

        def value(row, *logs):
            r, alpha, a, b = map(mp.exp, logs)
            x, t_x, T = (mp.mpf(float(v)) for v in row)
            R = r + k * x
            silent = mp.fsum(mp.rf(R, j) / mp.factorial(j) * ((T - t_x) / (alpha + T)) ** j for j in range(k))
            alive = mp.beta(a, b + x + m) * silent * (alpha + T) ** -R
            gone = mp.beta(a + 1, b + x + m - 1) * (alpha + t_x) ** -R if x > 0 or m else 0
            return mp.log(mp.gamma(R) / mp.gamma(r) * alpha**r * (alive + gone) / mp.beta(a, b))

        logs = [mp.log(mp.mpf(p)) for p in params]
        for n, row in list(enumerate(zip(HISTORIES.x, HISTORIES.t_x, HISTORIES.T, strict=True)))[1::2]:
            for i in range(4):
                for j in range(i + 1):
                    order = tuple((v == i) + (v == j) for v in range(4))
                    true = float(mp.diff(lambda *at, row=row: value(row, *at), tuple(logs), order))
                    assert hessian[i, j, n] == pytest.approx(true, rel=1e-8, abs=1e-11)
                    assert hessian[j, i, n] == hessian[i, j, n]
                first = tuple(int(v == i) for v in range(4))
                true = float(mp.diff(lambda *at, row=row: value(row, *at), tuple(logs), first))
                assert gradient[i, n] == pytest.approx(true, rel=1e-8, abs=1e-11)


@pytest.mark.parametrize("m", [0, 1])
def test_a_base_is_the_sum_of_its_customers_however_it_is_merged(m):
    rng = np.random.default_rng(1)
    model = kernel(3, m)
    base = model.simulate(GROCERY, rng.integers(5, 30, 3000) * 1.0, rng)
    base = base._replace(t_x=np.ceil(base.t_x).clip(0, base.T))
    weight = rng.integers(1, 4, 3000) * 1.0
    for w, cells in (
        (np.ones(3000), blended(base)),
        (weight, blended(base, weight)),
        (np.ones(3000), merge(base, gaps=True)),
    ):
        v, g, H = model.rowwise(GROCERY, base)
        value, gradient, hessian = model.total(GROCERY, cells)
        assert value == pytest.approx(float(w @ v), rel=1e-12)
        assert gradient == pytest.approx(g @ w, rel=1e-10)
        assert hessian == pytest.approx(H @ w, rel=1e-10)
        assert model.values(np.array([GROCERY]), cells)[0] == pytest.approx(value, rel=1e-12)
    assert len(blended(base).weight) < 0.7 * len(merge(base, gaps=True).weight)
    assert blended(base, which=False).rows.log_gaps == pytest.approx(blended(base).rows.log_gaps, rel=1e-12)


def test_parameters_may_differ_from_row_to_row():
    model = kernel(2, 1)
    each = [np.linspace(0.5, 2.0, 7) * p for p in GROCERY]
    many = model.forecast(each, HISTORIES, 30.0, 0.01, second=True)
    some = model.log_likelihoods(each, HISTORIES)
    for n in range(7):
        one, params = HISTORIES.take(slice(n, n + 1)), [p[n] for p in each]
        assert some[n] == pytest.approx(model.log_likelihoods(params, one)[0], rel=1e-13)
        for mine, alone in zip(many, model.forecast(params, one, 30.0, 0.01, second=True), strict=True):
            assert mine[n] == pytest.approx(alone[0], rel=1e-11)


def test_buying_nothing_is_as_likely_to_the_forecast_as_to_the_likelihood():
    """Two roads to one number: a newcomer's P(X = 0) in T, and the likelihood of x = 0 at T."""
    for k in (1, 2, 4, 7):
        for m in (0, 1):
            model = kernel(k, m)
            for T in (1e-3, 2.0, 50.0):
                seen = np.exp(model.log_likelihoods(GROCERY, rows((0, 0, T)))[0])
                # For m = 1 the forecast is for a newcomer who may have left already.
                assert model.pmf(GROCERY, NEW, T, 2)[0, 0] == pytest.approx(seen, rel=1e-12)


params_of = st.tuples(*[st.floats(-2.0, 2.0)] * 4).map(lambda logs: tuple(np.exp(logs).tolist()))


@settings(max_examples=12)
@given(params=params_of, k=st.integers(1, 5), m=st.integers(0, 1), horizon=st.floats(0.01, 300.0))
def test_forecasts_hang_together(params, k, m, horizon):
    """Probabilities are, a longer horizon brings more, its pieces add up, and the rough road is near the fine one."""
    model = kernel(k, m)
    ahead = model.forecast(params, HISTORIES, horizon, second=True)
    longer = model.forecast(params, HISTORIES, 2 * horizon)
    faded = model.forecast(params, HISTORIES, horizon, 0.01, second=True)
    alive = model.p_alive(params, HISTORIES)
    assert np.all(ahead.any <= np.minimum(ahead.mean * (1 + 1e-9), alive))
    assert np.all((longer.mean >= ahead.mean) & (longer.mean <= 2 * ahead.mean * (1 + 1e-9) + k))
    assert np.all((faded.mean <= ahead.mean) & (faded.squares <= faded.mean) & (faded.pairs <= ahead.pairs))
    assert np.all(faded.squares + faded.pairs >= faded.mean**2 * (1 - 1e-9))
    chances = model.pmf(params, HISTORIES, horizon, 30)
    assert np.all(chances >= 0)
    assert np.all(chances.sum(axis=1) <= 1 + 1e-12)
    assert 1 - chances[:, 0] == pytest.approx(ahead.any, abs=1e-12)
    n = np.arange(31)
    assert np.all(chances @ n <= ahead.mean * (1 + 1e-9))
    stays = model.survival(params, HISTORIES, horizon)
    assert np.all((stays <= alive * (1 + 1e-12)) & (stays >= alive - ahead.any - 1e-12))
    rough = model.forecast(params, HISTORIES, horizon, 0.01, second=True, rough=True)
    for coarse, fine in zip(rough, faded, strict=True):
        assert coarse == pytest.approx(fine, rel=3e-5)


@settings(max_examples=6)
@given(params=params_of, k=st.integers(1, 6), unit=st.sampled_from([1 / 7, 24.0, 365.0]))
def test_the_time_unit_changes_nothing(params, k, unit):
    model, scaled = kernel(k, 1), HISTORIES.scaled(unit)
    r, alpha, a, b = params
    other = (r, alpha / unit, a, b)
    assert model.forecast(params, HISTORIES, 30.0, 0.01).mean == pytest.approx(
        model.forecast(other, scaled, 30.0 / unit, 0.01 * unit).mean, rel=1e-10
    )
    mine, theirs = model.log_likelihoods(params, HISTORIES), model.log_likelihoods(other, scaled)
    assert mine == pytest.approx(theirs - HISTORIES.x * np.log(unit), rel=1e-10, abs=1e-10)


def test_customers_get_the_same_digits_alone_and_in_company():
    model = kernel(2, 1)
    together = model.forecast(GROCERY, HISTORIES, 52.0).mean
    alone = [model.forecast(GROCERY, HISTORIES.take(slice(n, n + 1)), 52.0).mean[0] for n in range(7)]
    assert together == pytest.approx(alone, rel=1e-12)


def test_a_horizon_of_nothing_brings_exactly_nothing():
    for k in (1, 3):
        ahead = kernel(k, 0).forecast(GROCERY, HISTORIES, 0.0, 0.1, second=True)
        assert all(np.all(values == 0) for values in ahead)
        assert np.array_equal(kernel(k, 1).survival(GROCERY, HISTORIES, 0.0), kernel(k, 1).p_alive(GROCERY, HISTORIES))


def test_in_the_end_there_is_only_the_drop_out():
    """For p near 1 / 2 for all, purchases without end are geometric: 1 + (1 - p) + ... after the next one."""
    params = (50.0, 50.0, 4e5, 4e5)
    for k in (1, 3):
        ahead = kernel(k, 0).forecast(params, NEW, 1e6, second=True)
        assert ahead.mean[0] == pytest.approx(2.0, rel=1e-5)
        assert ahead.pairs[0] == pytest.approx(2 * 2.0, rel=1e-4)  # 2 (1 - p) / p^2


@pytest.mark.parametrize("k", [2, 4])
def test_simulated_customers_have_the_moments_and_the_futures_that_the_kernel_says(k):
    """60,000 customers each; nine comparisons at 4.7 standard errors fail by chance with probability 2e-5."""
    model, params, n = kernel(k, 1), (1.3, 2.0 / k, 0.6, 1.5), 60_000
    rng = np.random.default_rng(k)

    def agree(draws, expected):
        assert abs(draws.mean() - expected) < 4.7 * draws.std() / np.sqrt(len(draws))

    seen = model.simulate(params, np.full(n, 30.0), rng)
    agree(seen.x, model.forecast(params, NEW, 30.0).mean[0])
    agree((seen.x == 3) * 1.0, model.pmf(params, NEW, 30.0, 3)[0, 3])
    assert np.all(seen.t_x <= 30.0)
    assert np.all(seen.log_gaps[seen.x == 0] == 0)
    bought = seen.x > 0  # by concavity, of gaps that add up to t_x
    most = seen.x[bought] * np.log(seen.t_x[bought] / seen.x[bought])
    assert np.all(seen.log_gaps[bought] <= most + 1e-9)
    one = rows((4, 20.0, 26.0))
    hers = Rows(*(np.repeat(values, n) for values in one))
    for horizon, delta in ((30.0, 0.0), (np.inf, 0.05)):
        ahead = model.ahead(params, hers, horizon, delta, rng)
        expected = model.forecast(params, one, horizon, delta, second=True)
        agree(ahead.discounted, expected.mean[0])
        agree(ahead.expected, expected.mean[0])
        agree(ahead.discounted**2, expected.squares[0] + expected.pairs[0])
    agree((ahead.counts > 0) * 1.0, expected.any[0])


def test_what_is_expected_of_customers_a_half_year_on_is_what_newcomers_lack():
    """E[X(60)] = E[X(30)] + E[what is then expected of the next 30]: 30,000 customers, 4.7 standard errors (3e-6)."""
    model, params = kernel(3, 1), (1.3, 0.7, 0.6, 1.5)
    base = model.simulate(params, np.full(30_000, 30.0), np.random.default_rng(5))
    expected = model.forecast(params, base, 30.0).mean
    gain = model.forecast(params, NEW, 60.0).mean[0] - model.forecast(params, NEW, 30.0).mean[0]
    assert abs(expected.mean() - gain) < 4.7 * expected.std() / np.sqrt(len(expected))


def test_regular_silence_says_more():
    """Who came every four weeks and is eight weeks late is nearer to gone, the more regular she was."""
    late = rows((6, 24.0, 36.0))
    alive = [kernel(k, 1).p_alive((5.0, 5.0 * 4 / k / k, 0.5, 2.0), late)[0] for k in (1, 2, 4, 8)]
    assert np.all(np.diff(alive) < 0)


def test_planted_k_is_found_and_only_with_the_gaps_in_the_likelihood():
    """2,000 customers with k = 3; without the product of the gaps the comparison would take a wrong k."""
    params = (2.0, 1.0, 0.5, 3.0)
    base = kernel(3, 1).simulate(params, np.full(2000, 40.0), np.random.default_rng(8))
    # At the planted parameters, with the same mean gap k / lambda for all k.
    full, without = (
        [kernel(k, 1).total((2.0, 3.0 / k, 0.5, 3.0), blended(each))[0] for k in range(1, 8)]
        for each in (base, base._replace(log_gaps=0 * base.log_gaps))
    )
    assert int(np.argmax(full)) == 2
    assert int(np.argmax(without)) != 2
