"""The Pareto/NBD kernel against fifty-digit arithmetic, published figures, simulation, and itself by other roads."""

import csv
import datetime as dt
import gzip
import itertools
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention._kernels import paretonbd_likelihood, paretonbd_tables
from retention._kernels.newton import maximise
from retention._kernels.paretonbd import KERNEL
from retention._kernels.purchases import Grid, Rows, levels, merge, summed

CDNOW = (0.5532784, 10.5776962, 0.6062394, 11.6686813)
TRUTH = json.loads((Path(__file__).parent / "truth" / "paretonbd.json").read_text())
YEARLY = float(np.log(1.1) / 52)  # 10 % a year, in weeks


def rows(*customers):
    x, t_x, T = (np.array(column, dtype=float) for column in zip(*customers, strict=True))
    return Rows(x, t_x, T, np.zeros(len(x)))


NEW = rows((0, 0, 0))


def day_grid(seed, n=1500, longest=200):
    """Customers on a grid of days, weighted, many and few purchases."""
    rng = np.random.default_rng(seed)
    T = rng.integers(1, 731, n) * 1.0
    x = np.floor(10 ** rng.uniform(-0.5, np.log10(longest + 1), n))
    t_x = np.where(x > 0, np.ceil(T * rng.random(n) ** 0.3), 0.0)
    return merge(Rows(x, t_x, T, np.zeros(n)), rng.uniform(0.5, 3.0, n)).scaled(7.0)


SETS = sorted({tuple(case["point"][:4]) for case in TRUTH["hard"]})
EXTREME_SETS = [tuple(case["point"][:4]) for case in TRUTH["extreme"][::16]]


@pytest.fixture
def shared_always(monkeypatch):
    """Tables for every x on the grid, whether they pay or not; ``None`` turns them off."""

    def turn(on):
        def everything(params, table_rows, grid=None):
            if not on:
                return None, -1
            n = len(table_rows.x)
            times, code = levels(np.concatenate([table_rows.t_x, table_rows.T]))
            return Grid(times, code[:n], code[n:]), int(table_rows.x.max())

        monkeypatch.setattr(paretonbd_likelihood, "shared", everything)

    return turn


def test_tables_and_integrals_one_by_one_agree(shared_always):
    """The recursion over x, up and down, against quadrature: they share the start of the recursion and no more."""
    cells = day_grid(1)
    for theta in SETS + EXTREME_SETS:
        shared_always(True)
        quick, value = KERNEL.p_alive(theta, cells.rows), KERNEL.total(theta, cells)
        many = KERNEL.values(np.array([theta] * 16), cells)
        each = KERNEL.log_likelihoods(theta, cells.rows)
        shared_always(False)
        assert quick == pytest.approx(KERNEL.p_alive(theta, cells.rows), rel=1e-10), theta
        assert each == pytest.approx(KERNEL.log_likelihoods(theta, cells.rows), rel=1e-10, abs=1e-12), theta
        slow = summed(KERNEL.rowwise)(theta, cells)
        assert value[0] == pytest.approx(slow[0], rel=1e-12)
        assert many == pytest.approx([slow[0]] * 16, rel=1e-12)
        assert value[1] == pytest.approx(slow[1], rel=1e-9, abs=1e-12 * abs(slow[0])), theta
        assert value[2] == pytest.approx(slow[2], rel=1e-9, abs=1e-9 * np.abs(slow[2]).max()), theta


def test_a_base_that_shares_some_integrals_is_the_sum_of_its_customers():
    """Left to itself: the many with few purchases share, the few with many do not."""
    cells = day_grid(2, n=4000, longest=1900)
    grid, most = paretonbd_tables.shared(CDNOW, cells.rows)
    assert grid is not None
    assert 0 < most < cells.rows.x.max()
    value, gradient, hessian = KERNEL.total(CDNOW, cells)
    slow = summed(KERNEL.rowwise)(CDNOW, cells)
    assert value == pytest.approx(slow[0], rel=1e-13)
    assert gradient == pytest.approx(slow[1], rel=1e-10)
    assert hessian == pytest.approx(slow[2], rel=1e-10)
    assert KERNEL.values(np.array([CDNOW] * 20), cells) == pytest.approx([value] * 20, rel=1e-13)
    alone = np.concatenate(
        [KERNEL.log_likelihoods(CDNOW, cells.rows.take(slice(i, i + 1))) for i in range(0, 4000, 97)]
    )
    assert KERNEL.log_likelihoods(CDNOW, cells.rows)[::97][: len(alone)] == pytest.approx(alone, rel=1e-12)


def test_times_off_the_grid_and_an_empty_base_are_bases_too():
    rng = np.random.default_rng(5)
    T = rng.uniform(1, 100, 300)
    base = KERNEL.simulate(CDNOW, T, rng)
    cells = merge(base)
    each = np.concatenate([KERNEL.log_likelihoods(CDNOW, base.take(slice(i, i + 1))) for i in range(300)])
    assert KERNEL.total(CDNOW, cells)[0] == pytest.approx(each.sum(), rel=1e-13)
    none = base.take(slice(0, 0))
    assert KERNEL.total(CDNOW, merge(none))[0] == 0
    assert len(KERNEL.p_alive(CDNOW, none)) == len(KERNEL.forecast(CDNOW, none, 52.0).mean) == 0
    assert KERNEL.pmf(CDNOW, none, 52.0, 3).shape == (0, 4)


def test_a_climb_may_look_into_any_corner():
    """At all corners of the box of log-parameters that a fit may walk in: finite, and no warning."""
    cells = day_grid(7, n=40, longest=10_000)
    for corner in itertools.product((-14.0, 14.0), repeat=4):
        theta = np.exp(corner)
        for answer in (*KERNEL.total(theta, cells), KERNEL.values(np.array([theta] * 16), cells)):
            assert np.all(np.isfinite(answer)), corner
        assert np.all(np.isfinite(KERNEL.p_alive(theta, cells.rows))), corner


def test_an_endless_horizon_has_chances_too():
    """All she will ever buy: what a long horizon tends to."""
    theta, base = (0.6, 10.0, 2.5, 12.0), rows((0, 0, 39), (2, 30.4, 38.9), (60, 50, 78))
    assert KERNEL.pmf(theta, base, np.inf, 5) == pytest.approx(KERNEL.pmf(theta, base, 1e8, 5), rel=1e-9)


def test_covariates_enter_as_one_parameter_a_customer():
    base = rows((0, 0, 39), (2, 30.4, 38.9), (60, 50, 78), (5, 5, 5))
    r, alpha, s, beta = 0.55, np.array([10.0, 3.0, 30.0, 8.0]), 0.6, np.array([12.0, 40.0, 2.0, 8.0])
    theta = (r, alpha, s, beta)
    together = KERNEL.rowwise(theta, base)
    ahead, pmf = KERNEL.forecast(theta, base, 52.0, 0.002, second=True), KERNEL.pmf(theta, base, 52.0, 4)
    for i in range(4):
        mine, alone = (r, alpha[i], s, beta[i]), base.take(slice(i, i + 1))
        for all_of_them, hers in zip(together, KERNEL.rowwise(mine, alone), strict=True):
            assert all_of_them[..., i] == pytest.approx(hers[..., 0], rel=1e-12)
        for name in ("log_likelihoods", "p_alive", "log_rate"):
            assert getattr(KERNEL, name)(theta, base)[i] == pytest.approx(
                getattr(KERNEL, name)(mine, alone)[0], rel=1e-12
            )
        assert KERNEL.survival(theta, base, 9.0)[i] == pytest.approx(KERNEL.survival(mine, alone, 9.0)[0], rel=1e-12)
        for all_of_them, hers in zip(ahead, KERNEL.forecast(mine, alone, 52.0, 0.002, second=True), strict=True):
            assert all_of_them[i] == pytest.approx(hers[0], rel=1e-12)
        assert pmf[i] == pytest.approx(KERNEL.pmf(mine, alone, 52.0, 4)[0], rel=1e-12)


logs = st.floats(-2.5, 2.5)
thetas = st.tuples(logs, logs, logs, logs).map(lambda u: tuple(float(v) for v in np.exp(u)))
customers = st.tuples(st.integers(0, 40), st.floats(0.001, 1.0), st.floats(0.1, 200.0)).map(
    lambda c: (c[0], c[1] * c[2] if c[0] else 0.0, c[2])
)


@settings(max_examples=25)
@given(theta=thetas, she=customers, horizon=st.floats(0.1, 30.0))
def test_the_chances_of_each_count_make_up_the_forecast(theta, she, horizon):
    """Sums over P(N = n) against the closed moments, where what lies beyond the largest n is nothing."""
    pmf = KERNEL.pmf(theta, rows(she), horizon, 120)[0]
    n = np.arange(121)
    assert np.all(pmf >= 0)
    assert pmf.sum() < 1 + 1e-12
    ahead = KERNEL.forecast(theta, rows(she), horizon, second=True)
    assert ahead.any[0] == pytest.approx(1 - pmf[0], rel=1e-9, abs=1e-14)
    assert ahead.squares[0] == ahead.mean[0]
    if pmf[-1] * 120**3 < 1e-10 * ahead.pairs[0]:
        assert pmf.sum() == pytest.approx(1, rel=1e-12)
        assert ahead.mean[0] == pytest.approx(pmf @ n, rel=1e-8)
        assert ahead.pairs[0] == pytest.approx(pmf @ (n * (n - 1)), rel=1e-8)


@settings(max_examples=40)
@given(theta=thetas, she=customers, unit=st.sampled_from([7.0, 1 / 24, 365.25]))
def test_answers_do_not_depend_on_the_unit_of_time(theta, she, unit):
    r, alpha, s, beta = theta
    other = (r, alpha / unit, s, beta / unit)
    base = rows(she)
    assert KERNEL.time_power == (0, 1, 0, 1)
    shift = she[0] * np.log(unit)
    assert KERNEL.log_likelihoods(other, base.scaled(unit)) == pytest.approx(
        KERNEL.log_likelihoods(theta, base) + shift, rel=1e-10, abs=1e-10
    )
    assert KERNEL.p_alive(other, base.scaled(unit)) == pytest.approx(KERNEL.p_alive(theta, base), rel=1e-9)
    mine = KERNEL.forecast(theta, base, 52.0, 0.01, second=True)
    for a, b in zip(
        mine, KERNEL.forecast(other, base.scaled(unit), 52.0 / unit, 0.01 * unit, second=True), strict=True
    ):
        assert b == pytest.approx(a, rel=1e-9, abs=1e-300)


@settings(max_examples=40)
@given(theta=thetas, she=customers, first=st.floats(0.1, 100.0), then=st.floats(0.1, 100.0))
def test_a_forecast_is_the_sum_of_its_parts(theta, she, first, then):
    """Purchases up to ``first``, and those after it: she must still be there, and her rate is the same."""
    base = rows(she)
    delta = 0.003
    whole = KERNEL.forecast(theta, base, first + then, delta).mean[0]
    near = KERNEL.forecast(theta, base, first, delta).mean[0]
    # Somebody known to be there at T + first, seen from there: the same rate, a hazard known better by ``first``.
    r, alpha, s, beta = theta
    x, _, T = she
    far = KERNEL.survival(theta, base, first)[0] * np.exp(-delta * first)
    fresh = KERNEL.forecast((r + x, alpha + T, s, beta + T + first), NEW, then, delta).mean[0]
    assert whole == pytest.approx(near + far * fresh, rel=1e-9, abs=1e-300)


def test_a_horizon_of_nothing_gives_nothing_and_survival_starts_at_p_alive():
    base = rows((0, 0, 0), (0, 0, 39), (2, 30.4, 38.9), (200, 77, 78))
    for answer in KERNEL.forecast(CDNOW, base, 0.0, 0.01, second=True):
        assert np.array_equal(answer, np.zeros(4))
    assert np.array_equal(KERNEL.survival(CDNOW, base, 0.0), KERNEL.p_alive(CDNOW, base))
    assert np.array_equal(KERNEL.pmf(CDNOW, base, 0.0, 2), np.array([[1.0, 0.0, 0.0]] * 4))
    assert np.array_equal(KERNEL.p_alive(CDNOW, rows((0, 0, 0), (3, 20, 20))), [1.0, 1.0])


def test_nothing_happens_where_s_is_one():
    """Textbook forecasts divide by s - 1."""
    base = rows((0, 0, 0), (2, 30.4, 38.9))
    below, at, above = (
        KERNEL.forecast((0.55, 10.6, s, 11.7), base, 52.0, second=True) for s in (1 - 1e-9, 1.0, 1 + 1e-9)
    )
    for low, here, high in zip(below, at, above, strict=True):
        assert here == pytest.approx((low + high) / 2, rel=1e-13)
        assert low == pytest.approx(high, rel=1e-7)


@pytest.mark.parametrize("delta", [-0.2, -0.004, 1e-9, 0.004])
def test_money_may_grow_dearer_or_cheaper(delta):
    """A negative rate too: the integral of her rate, were she there, times the chance of it, week by week."""
    from scipy.integrate import quad

    r, alpha, *_ = CDNOW
    she = rows((2, 30.4, 38.9))

    def rate(v):
        return (r + 2) / (alpha + 38.9) * KERNEL.survival(CDNOW, she, v)[0] * np.exp(-delta * v)

    plain = sum(quad(rate, low, low + 52.0, epsrel=1e-12)[0] for low in range(0, 520, 52))
    pairs = sum(
        quad(lambda v: rate(v) * np.expm1(-delta * v) / -delta, low, low + 52.0, epsrel=1e-12)[0]
        for low in range(0, 520, 52)
    )
    ahead = KERNEL.forecast(CDNOW, she, 520.0, delta, second=True)
    assert ahead.mean[0] == pytest.approx(plain, rel=1e-10)
    assert ahead.pairs[0] == pytest.approx(2 * (r + 3) / (alpha + 38.9) * pairs, rel=1e-9)
    assert ahead.squares[0] == pytest.approx(KERNEL.forecast(CDNOW, she, 520.0, 2 * delta).mean[0], rel=1e-12)


def test_rough_forecasts_are_good_to_a_ten_thousandth():
    """Averages over parameter points use fewer nodes; they must not bend the interval."""
    for case in TRUTH["hard"]:
        theta, row, h, delta = case["point"][:4], rows(case["point"][4:7]), *case["point"][7:]
        fine = KERNEL.forecast(theta, row, h, delta, second=True)
        coarse = KERNEL.forecast(theta, row, h, delta, second=True, rough=True)
        for a, b in zip(fine, coarse, strict=True):
            assert b == pytest.approx(a, rel=1e-4, abs=1e-300)


# Simulation


def direct(theta, T, horizon, seed):
    """Purchase by purchase, without the kernel: (customers seen to T, purchases in the horizon, alive, log rate)."""
    r, alpha, s, beta = theta
    rng = np.random.default_rng(seed)
    n = len(T)
    rate, leaves = rng.gamma(r, 1 / alpha, n), rng.exponential(1 / rng.gamma(s, 1 / beta, n))
    x, t_x, future, clock = (np.zeros(n) for _ in range(4))
    going = np.arange(n)
    while len(going):
        clock[going] += rng.exponential(1 / rate[going])
        going = going[clock[going] <= np.minimum(leaves[going], T[going] + horizon)]
        seen = clock[going] <= T[going]
        x[going[seen]] += 1
        t_x[going[seen]] = clock[going[seen]]
        future[going[~seen]] += 1
    return Rows(x, t_x, T, np.zeros(n)), future, leaves > T, np.log(rate)


PLANTED = (2.0, 12.0, 0.9, 20.0)


def test_what_is_expected_is_what_happens():
    """60,000 customers bought one purchase at a time: sums in ten groups by what was expected, each within 4.5 standard
    errors; some fifty comparisons, so chance fails this once in 3,000 seeds."""
    T = np.random.default_rng(0).uniform(5, 60, 60_000)
    seen, future, alive, log_rate = direct(PLANTED, T, 26.0, 1)
    ahead = KERNEL.forecast(PLANTED, seen, 26.0, second=True)
    pmf = KERNEL.pmf(PLANTED, seen, 26.0, 3)
    checks = {
        "alive": (KERNEL.p_alive(PLANTED, seen), alive),
        "mean": (ahead.mean, future),
        "pairs": (ahead.pairs, future * (future - 1)),
        "any": (ahead.any, future > 0),
        "two": (pmf[:, 2], future == 2),
        "rate": (KERNEL.log_rate(PLANTED, seen), log_rate),
    }
    for name, (expected, happened) in checks.items():
        for group in np.array_split(np.argsort(expected), 10):
            gap = happened[group] - expected[group]
            assert abs(gap.mean()) < 4.5 * gap.std() / np.sqrt(len(gap)) + 1e-12, name
    # Wrong on purpose: forecasts for customers who never leave.
    loyal = KERNEL.forecast((PLANTED[0], PLANTED[1], 1e-4, 20.0), seen, 26.0).mean
    assert (loyal - future).mean() > 20 * future.std() / np.sqrt(len(T))


def test_the_simulator_makes_what_the_model_expects():
    """Moments and shares of 100,000 simulated customers, each within 4.5 standard errors (once in 20,000 seeds)."""
    rng = np.random.default_rng(2)
    T = np.full(100_000, 30.0)
    made, (seen, _, _, _) = KERNEL.simulate(PLANTED, T, rng), direct(PLANTED, T, 0.0, 3)
    assert np.all((made.t_x <= made.T) & ((made.x > 0) == (made.t_x > 0)))
    for ours, theirs in zip((*made[:2], made.x**2, made.x == 0), (*seen[:2], seen.x**2, seen.x == 0), strict=True):
        error = np.sqrt((np.var(ours) + np.var(theirs)) / len(T))
        assert abs(np.mean(ours) - np.mean(theirs)) < 4.5 * error
    assert made.x.mean() == pytest.approx(KERNEL.forecast(PLANTED, NEW, 30.0).mean[0], abs=4.5 * made.x.std() / 316)


@pytest.mark.parametrize("horizon", [26.0, np.inf])
def test_drawn_futures_have_the_moments_of_the_forecast(horizon):
    """200,000 futures of one customer; mean, second moment and chance of none within 4.5 standard errors."""
    theta, delta, n = (2.0, 12.0, 1.6, 20.0), 0.02, 200_000
    she = rows((3, 20.0, 30.0))
    many = she.take(np.zeros(n, dtype=int))
    drawn = KERNEL.ahead(theta, many, horizon, delta, np.random.default_rng(4))
    ahead = KERNEL.forecast(theta, she, horizon, delta, second=True)
    second = ahead.squares[0] + ahead.pairs[0]
    for values, truth in (
        (drawn.discounted, ahead.mean[0]),
        (drawn.expected, ahead.mean[0]),
        (drawn.discounted**2, second),
        (drawn.counts > 0, ahead.any[0]),
    ):
        assert abs(values.mean() - truth) < 4.5 * values.std() / np.sqrt(n)
    again = KERNEL.ahead(theta, many, horizon, delta, np.random.default_rng(4))
    assert np.array_equal(drawn.discounted, again.discounted)
    plain = KERNEL.ahead(theta, many, 26.0, 0.0, np.random.default_rng(4))
    assert np.array_equal(plain.counts, plain.discounted)


def test_planted_parameters_are_found():
    """20,000 simulated customers: each log-parameter within 4 standard errors (once in 4,000 seeds)."""
    rng = np.random.default_rng(6)
    T = np.ceil(rng.uniform(26 * 7, 78 * 7, 20_000))
    made = KERNEL.simulate((0.6, 70.0, 0.8, 90.0), T, rng)
    days = made._replace(t_x=np.minimum(np.ceil(made.t_x), T))
    cells = merge(days).scaled(7.0)
    best = maximise(lambda theta: KERNEL.total(np.exp(theta), cells), np.log([0.5, 10.0, 0.5, 10.0]))
    assert best.converged
    errors = np.sqrt(np.diag(np.linalg.inv(-best.hessian)))
    assert np.all(np.abs(best.point - np.log([0.6, 10.0, 0.8, 90 / 7])) < 4 * errors)


# Published figures


def test_the_published_expectations_of_a_new_customer():
    """The manual of the R package BTYD (its parameters have two decimals), and its walk-through of CDNOW."""
    sheet = (0.55, 10.56, 0.61, 11.64)
    printed = [
        0,
        0.05077821,
        0.09916088,
        0.14542507,
        0.18979930,
        0.23247466,
        0.27361274,
        0.31335159,
        0.35181024,
        0.38909211,
    ]
    ours = [KERNEL.forecast(sheet, NEW, float(t)).mean[0] for t in range(10)]
    assert ours == pytest.approx(printed, abs=6e-9)
    assert KERNEL.forecast(CDNOW, NEW, 52.0).mean[0] == pytest.approx(1.473434, abs=2e-6)


def test_the_published_discounted_transactions_of_a_new_customer():
    """4.8 at 10 % a year with the paper's parameters (Fader and Hardie's spreadsheet note); 4.8145 by its formula."""
    assert KERNEL.forecast((0.553, 10.578, 0.606, 11.669), NEW, np.inf, YEARLY).mean[0] == pytest.approx(
        4.8145, abs=6e-5
    )


def test_customer_1516_of_the_published_walkthrough():
    she = rows((26, 216 / 7, 31.0))
    assert KERNEL.p_alive(CDNOW, she)[0] == pytest.approx(0.997874, abs=1e-6)
    # Printed at an optimum that is good to four digits.
    assert KERNEL.forecast(CDNOW, she, 52.0).mean[0] == pytest.approx(25.45647, abs=2e-3)


def test_the_published_table_of_customers_silent_for_forty_weeks():
    """x = 1 .. 5 bought in 12 weeks, silent for 40; parameters of the grocery log (BTYDplus)."""
    silent = rows(*((x, 12, 52) for x in range(1, 6)))
    grocery = (0.78644, 5.67898, 0.38622, 5.71712)
    assert KERNEL.p_alive(grocery, silent) == pytest.approx([0.3186, 0.1652, 0.0728, 0.0288, 0.0107], abs=6e-5)
    expected = [0.4484, 0.3627, 0.2171, 0.1087, 0.0489]
    assert KERNEL.forecast(grocery, silent, 52.0).mean == pytest.approx(expected, abs=6e-5)


def fit(cells, unit=7.0):
    """The maximum from a plain start, and its standard errors."""
    cells = cells.scaled(unit)
    best = maximise(lambda theta: KERNEL.total(np.exp(theta), cells), np.log([0.5, 10.0, 0.5, 10.0]))
    assert best.converged
    return best, np.exp(best.point) * np.sqrt(np.diag(np.linalg.inv(-best.hessian)))


@pytest.fixture
def cdnow(shared_data):
    """The 2,357 customers of the usual sample, in whole days, watched to 1997-09-30."""
    with gzip.open(shared_data("cdnow/cdnow_sample_summary.csv.gz"), "rt", newline="") as handle:
        table = list(csv.DictReader(handle))
    x, t_x, T = (np.array([float(row[name]) for row in table]) for name in ("x", "t_x", "T_cal"))
    return Rows(x, np.rint(t_x * 7), np.rint(T * 7), np.zeros(len(x)))


def test_the_fit_to_cdnow_is_the_published_one(cdnow):
    """Fader, Hardie and Lee 2005, Table 2 (.553 10.578 .606 11.669, -9595.0); further digits and errors as CLVTools."""
    best, errors = fit(merge(cdnow))
    assert np.exp(best.point) == pytest.approx(CDNOW, rel=5e-6)
    assert best.value == pytest.approx(-9594.976179, abs=1e-6)
    assert errors == pytest.approx([0.0476, 0.8427, 0.1871, 6.204], rel=2e-3)


def test_sums_over_cdnow_are_those_of_other_implementations(cdnow):
    weeks = cdnow.scaled(7.0)
    assert KERNEL.forecast(CDNOW, weeks, 39.0).mean.sum() == pytest.approx(1665.51, abs=6e-3)
    assert KERNEL.p_alive(CDNOW, weeks).sum() == pytest.approx(1051.87, abs=6e-3)
    assert KERNEL.forecast(CDNOW, weeks, np.inf, YEARLY).mean.sum() == pytest.approx(9009, abs=0.6)


def purchase_days(path, end, column="customer_id"):
    """(x, t_x, T) in days to ``end`` from a log of dated purchases."""
    days = defaultdict(set)
    with gzip.open(path, "rt", newline="") as handle:
        for row in csv.DictReader(handle):
            days[row[column]].add(dt.date.fromisoformat(row["date"]).toordinal())
    kept = [sorted(day for day in each if day <= end.toordinal()) for each in days.values()]
    after = np.array([sum(day > end.toordinal() for day in each) for each in days.values()])
    return rows(*((len(each) - 1, each[-1] - each[0], end.toordinal() - each[0]) for each in kept)), after


def test_the_sample_over_78_weeks(shared_data):
    """The 2,357 customers to the end of June 1998 (CLVTools, whose maximum is good to three digits)."""
    base, _ = purchase_days(shared_data("cdnow/cdnow_sample.csv.gz"), dt.date(1998, 6, 30), "sample_id")
    best, _ = fit(merge(base))
    assert np.exp(best.point) == pytest.approx([0.5630, 12.5591, 0.4081, 10.5146], rel=2e-3)
    assert best.value == pytest.approx(-17135.836, abs=2e-3)


def test_the_grocery_log_and_its_holdout_year(shared_data):
    """BTYDplus: parameters and log-likelihood on 2006, and the purchases it forecasts for 52 weeks of 2007."""
    base, after = purchase_days(shared_data("grocery_elog/grocery.csv.gz"), dt.date(2006, 12, 31))
    assert base.x.sum() == 5569
    best, _ = fit(merge(base))
    assert np.exp(best.point) == pytest.approx([0.78644, 5.67898, 0.38622, 5.71712], rel=2e-4)
    assert best.value == pytest.approx(-15782.3921, abs=1e-4)
    assert after.sum() == 3389
    expected = KERNEL.forecast(np.exp(best.point), base.scaled(7.0), 52.0).mean
    assert expected.sum() == pytest.approx(3990.8, abs=0.1)
