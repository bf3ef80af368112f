"""Time-varying covariates against integration with mpmath, mixtures over rate and hazard, and the plain model."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from scipy.special import gamma, roots_genlaguerre

from retention._kernels import paretonbd_dynamic as dynamic
from retention._kernels.paretonbd import KERNEL
from retention._kernels.purchases import Rows

PARAMS = (0.55, 10.6, 0.61, 11.7)  # weeks
WEEKS = 80
RNG = np.random.default_rng(11)
LOG_A, LOG_B = RNG.normal(0, 0.8, WEEKS), RNG.normal(0, 0.6, WEEKS)

# (born, repeat purchases, end), in weeks: first and last week partial, x = 0, last purchase at the end, a purchase at
# the first moment of a week, many purchases, nothing observed, one week alone.
CUSTOMERS = [
    (3.4, [5.1, 9.0, 17.8], 39.0),
    (0.0, [], 52.3),
    (7.0, [7.3, 22.2], 22.2),
    (1.6, [14.0], 60.0),
    (2.2, list(np.linspace(2.4, 30.7, 120)), 71.9),
    (12.0, [], 12.0),
    (20.3, [20.4], 20.9),
    (5.5, list(np.linspace(5.6, 79.0, 40)), 79.99),
]


def laid_out(customers=CUSTOMERS, edges=None, unit=1.0, offset=None):
    edges = np.arange(WEEKS + 1.0) if edges is None else edges
    born = np.array([c[0] for c in customers])
    end = np.array([c[2] for c in customers])
    last = np.array([c[1][-1] if c[1] else c[0] for c in customers])
    at = np.array([t for c in customers for t in c[1]])
    by = np.repeat(np.arange(len(customers)), [len(c[1]) for c in customers])
    return dynamic.lay_out(edges, born, last, end, at, by, offset, unit)


def direct(customer, params, log_a=LOG_A, log_b=LOG_B, edges=None):
    """The definition: (log-likelihood, P(alive)) by adaptive quadrature, week by week, at 40 digits."""
    born, buys, end = customer
    edges = np.arange(WEEKS + 1.0) if edges is None else edges
    with mp.workdps(40):
        r, alpha, s, beta = map(mp.mpf, params)
        cuts = [mp.mpf(born), *(mp.mpf(e) for e in edges if born < e < end), mp.mpf(end)]

        def week(t):
            return int(np.searchsorted(edges, float(t), side="right") - 1)

        def run(logs, t):
            """The integral of a multiplier from her first purchase to t."""
            ends = [min(c, t) for c in cuts]
            return mp.fsum(mp.exp(mp.mpf(logs[week(lo)])) * (hi - lo) for lo, hi in pairwise(ends))

        p = r + len(buys)
        t_x = mp.mpf(buys[-1] if buys else born)
        still = (alpha + run(log_a, mp.mpf(end))) ** -p * (beta + run(log_b, mp.mpf(end))) ** -s
        left = mp.mpf(0)
        inner = [t_x, *(c for c in cuts if c > t_x)]
        for lo, hi in pairwise(inner):
            a, b = mp.exp(mp.mpf(log_a[week(lo)])), mp.exp(mp.mpf(log_b[week(lo)]))
            A, B = run(log_a, lo), run(log_b, lo)
            left += s * mp.quad(
                lambda v, a=a, b=b, A=A, B=B: b * (alpha + A + a * v) ** -p * (beta + B + b * v) ** (-s - 1),
                mp.linspace(0, hi - lo, 5),
            )
        made = mp.fsum(mp.mpf(log_a[week(t)]) for t in buys)
        ways = mp.loggamma(p) - mp.loggamma(r) + r * mp.log(alpha) + s * mp.log(beta)
        return made + ways + mp.log(left + still), still / (left + still)


@pytest.mark.parametrize(
    "params",
    [PARAMS, (1.0, 0.05, 1.0, 0.05), (0.02, 300.0, 3.0, 0.5), (40.0, 8.0, 0.01, 1e3)],
    ids=["shop", "scales far below a week", "slow and fickle", "fast and loyal"],
)
def test_likelihood_and_p_alive_agree_with_adaptive_quadrature(params):
    laid = laid_out()
    values = dynamic.log_likelihoods(params, LOG_A, LOG_B, laid)
    alive = dynamic.p_alive(params, LOG_A, LOG_B, laid)
    for i, customer in enumerate(CUSTOMERS):
        value, still = direct(customer, params)
        assert values[i] == pytest.approx(float(value), rel=1e-11, abs=1e-13), i
        assert alive[i] == pytest.approx(float(still), rel=1e-10, abs=1e-300), i


def test_likelihood_is_the_mixture_over_her_rate_and_her_hazard():
    """Given rate and hazard a week is an exponential; Gauss-Laguerre mixes them: no formula is shared."""
    r, alpha, s, beta = 1.3, 10.0, 0.9, 12.0
    u, wu = roots_genlaguerre(90, r - 1)
    v, wv = roots_genlaguerre(90, s - 1)
    for customer in [CUSTOMERS[0], CUSTOMERS[1], CUSTOMERS[3]]:
        born, buys, end = customer
        t_x = buys[-1] if buys else born
        grid = np.unique([born, t_x, end, *np.arange(np.ceil(born), end)])
        k = np.floor(grid[:-1]).astype(int)
        a, b, width = np.exp(LOG_A[k]), np.exp(LOG_B[k]), np.diff(grid)
        A, B = np.cumsum(a * width) - a * width, np.cumsum(b * width) - b * width
        # The nodes are scaled to what she has lived through, which makes the integrand nearly a polynomial.
        near = 1 / (alpha + (A + a * width)[grid[1:] <= t_x].max(initial=0.0)), 1 / beta
        lam, mu = np.meshgrid(u * near[0], v * near[1], indexing="ij")
        chance = np.exp(-lam * (a @ width) - mu * (b @ width))
        for j in np.flatnonzero(grid[:-1] >= t_x):
            rate = lam * a[j] + mu * b[j]
            chance += mu * b[j] * np.exp(-lam * A[j] - mu * B[j]) * -np.expm1(-rate * width[j]) / rate
        chance *= lam ** len(buys) * np.exp(sum(LOG_A[int(t)] for t in buys))
        density = np.exp(-alpha * lam + u[:, None] - beta * mu + v) * (alpha * near[0]) ** r * (beta * near[1]) ** s
        L = wu @ (chance * density) @ wv / gamma(r) / gamma(s)
        mine = dynamic.log_likelihoods((r, alpha, s, beta), LOG_A, LOG_B, laid_out([customer]))[0]
        assert mine == pytest.approx(np.log(L), abs=1e-9)


def test_gradient_agrees_with_mpmath_differences():
    """By the log-parameters, and by the log multipliers of a week before, with and after the last purchase."""
    customer = (1.6, [4.2, 5.0], 9.3)
    _, by_params, by_a, by_b = dynamic.total(PARAMS, LOG_A, LOG_B, laid_out([customer]))
    h = mp.mpf(10) ** -12

    def slope(what, i):
        def at(d):
            shifts = [[mp.mpf(v) for v in logs] for logs in (np.zeros(4), LOG_A, LOG_B)]
            shifts[what][i] += d
            theta = [mp.mpf(p) * mp.exp(v) for p, v in zip(PARAMS, shifts[0], strict=True)]
            return direct(customer, theta, shifts[1], shifts[2])[0]

        with mp.workdps(40):
            return float((at(h) - at(-h)) / (2 * h))

    for what, mine, places in ((0, by_params, range(4)), (1, by_a, (1, 4, 5, 9)), (2, by_b, (1, 5, 7))):
        for i in places:
            assert mine[i] == pytest.approx(slope(what, i), rel=1e-8, abs=1e-10), (what, i)


@pytest.mark.parametrize("params", [PARAMS, (1.0, 0.4, 1.0, 0.4), (9.0, 0.6, 0.05, 90.0)])
def test_gradient_is_the_slope_of_the_value_in_every_week(params):
    """Differences of the values, which are tested above, of six orders: their own error is about 1e-11."""
    laid = laid_out()
    _, *slopes = dynamic.total(params, LOG_A, LOG_B, laid)
    weights = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    h = 0.02

    def differences(what, i):
        def at(d):
            shifts = [np.zeros(4), LOG_A.copy(), LOG_B.copy()]
            shifts[what][i] += d
            theta = np.array(params) * np.exp(shifts[0])
            return dynamic.log_likelihoods(tuple(theta), shifts[1], shifts[2], laid).sum()

        return sum(w * (at(k * h) - at(-k * h)) for k, w in weights.items()) / h

    for what, mine in enumerate(slopes):
        for i in range(0, len(mine), 1 if what == 0 else 7):
            assert mine[i] == pytest.approx(differences(what, i), rel=1e-8, abs=3e-9), (what, i)


def many(n=700, seed=5):
    """Customers of all kinds, more than one block."""
    rng = np.random.default_rng(seed)
    born = rng.uniform(0, 40, n)
    return [
        (b, np.sort(rng.uniform(b, rng.uniform(b, 75), rng.poisson(3))).tolist(), e)
        for b, e in zip(born, rng.uniform(75, WEEKS, n), strict=True)
    ]


def as_rows(customers, factor=1.0):
    born = np.array([c[0] for c in customers])
    last = np.array([c[1][-1] if c[1] else c[0] for c in customers])
    x = np.array([float(len(c[1])) for c in customers])
    end = np.array([c[2] for c in customers])
    return Rows(x, factor * (last - born), factor * (end - born), np.zeros(len(x)))


@pytest.mark.parametrize("params", [PARAMS, (3.0, 0.01, 0.2, 500.0)])
def test_without_coefficients_it_is_the_plain_model(params):
    customers = many()
    zero = np.zeros(WEEKS)
    laid, rows = laid_out(customers), as_rows(customers)
    np.testing.assert_allclose(
        dynamic.log_likelihoods(params, zero, zero, laid), KERNEL.log_likelihoods(params, rows), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(dynamic.p_alive(params, zero, zero, laid), KERNEL.p_alive(params, rows), rtol=1e-11)
    value, gradient, *_ = dynamic.total(params, zero, zero, laid)
    plain = KERNEL.rowwise(params, rows)
    assert value == pytest.approx(plain[0].sum(), rel=1e-12)
    np.testing.assert_allclose(gradient, plain[1].sum(axis=1), rtol=1e-9, atol=1e-8)


def test_a_constant_covariate_divides_alpha_and_beta():
    """Rate times 2.5, hazard times 0.4 for ever: alpha / 2.5 and beta / 0.4, and each purchase is as likely."""
    customers = many(300)
    a, b = np.full(WEEKS, np.log(2.5)), np.full(WEEKS, np.log(0.4))
    r, alpha, s, beta = PARAMS
    plain = (r, alpha / 2.5, s, beta / 0.4)
    laid, rows = laid_out(customers), as_rows(customers)
    np.testing.assert_allclose(
        dynamic.log_likelihoods(PARAMS, a, b, laid), KERNEL.log_likelihoods(plain, rows), rtol=1e-12, atol=1e-12
    )
    _, gradient, by_a, by_b = dynamic.total(PARAMS, a, b, laid)
    expected = KERNEL.rowwise(plain, rows)[1].sum(axis=1)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-8)
    assert [by_a.sum(), by_b.sum()] == pytest.approx([-expected[1], -expected[3]], rel=1e-9)


def test_splitting_a_week_in_two_alike_changes_nothing():
    customers = many(300)
    edges = np.sort(np.append(np.arange(WEEKS + 1.0), np.arange(WEEKS) + 0.37))
    a, b = np.repeat(LOG_A, 2), np.repeat(LOG_B, 2)
    one, two = laid_out(customers), laid_out(customers, edges)
    np.testing.assert_allclose(
        dynamic.log_likelihoods(PARAMS, a, b, two),
        dynamic.log_likelihoods(PARAMS, LOG_A, LOG_B, one),
        rtol=1e-13,
        atol=1e-13,
    )
    whole, halves = dynamic.total(PARAMS, LOG_A, LOG_B, one), dynamic.total(PARAMS, a, b, two)
    np.testing.assert_allclose(halves[1], whole[1], rtol=1e-10, atol=1e-10)
    for split, kept in zip(halves[2:], whole[2:], strict=True):
        np.testing.assert_allclose(split.reshape(-1, 2).sum(axis=1), kept, rtol=1e-9, atol=1e-9)


def test_the_unit_of_time_moves_the_likelihood_by_its_power_alone():
    customers = many(300)
    r, alpha, s, beta = PARAMS
    x = as_rows(customers).x
    days = dynamic.log_likelihoods((r, 7 * alpha, s, 7 * beta), LOG_A, LOG_B, laid_out(customers, unit=1 / 7))
    weeks = dynamic.log_likelihoods(PARAMS, LOG_A, LOG_B, laid_out(customers))
    np.testing.assert_allclose(days + x * np.log(7), weeks, rtol=1e-12, atol=1e-12)


def test_each_customer_may_have_weeks_of_her_own():
    """Multipliers customer by customer, in one vector: the same as one customer at a time."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(len(CUSTOMERS), WEEKS)), rng.normal(size=(len(CUSTOMERS), WEEKS))
    offset = np.arange(len(CUSTOMERS)) * WEEKS
    together = dynamic.log_likelihoods(PARAMS, a.ravel(), b.ravel(), laid_out(offset=offset))
    alone = [dynamic.log_likelihoods(PARAMS, a[i], b[i], laid_out([c]))[0] for i, c in enumerate(CUSTOMERS)]
    np.testing.assert_allclose(together, alone, rtol=1e-13)


def test_a_forecast_without_coefficients_is_the_plain_one():
    customers = [(b, buys, 79.0) for b, buys, _ in CUSTOMERS[:5]]
    zero, widths = np.zeros(WEEKS + 60), np.array([1.0, *[7.0] * 7, 1.5])
    ahead = np.full((5, len(widths)), 3)
    for delta in (0.0, 0.002, -0.01):
        mine = dynamic.expected(PARAMS, zero, zero, laid_out(customers), widths, ahead, delta)
        plain = KERNEL.forecast(PARAMS, as_rows(customers), widths.sum(), delta).mean
        np.testing.assert_allclose(mine, plain, rtol=1e-11)


def test_a_forecast_integrates_rate_and_survival_over_the_weeks_ahead():
    params, delta = (0.55, 10.6, 1.0, 3.0), 0.004
    customer = (3.4, [5.1, 9.0, 17.8], 39.5)
    log_a, log_b = LOG_A * 1.5, LOG_B * 1.5
    widths = np.array([0.5, *[1.0] * 30, 0.25])
    ahead = np.arange(39, 71)[None, :]
    mine = dynamic.expected(params, log_a, log_b, laid_out([customer]), widths, ahead, delta)[0]
    r, alpha, s, beta = params
    _, still = direct(customer, params, log_a, log_b)
    span = np.arange(WEEKS + 1.0)

    def lived(logs, t):
        lo, hi = np.clip(span[:-1], 3.4, t), np.clip(span[1:], 3.4, t)
        return float(np.exp(logs) @ (hi - lo))

    B = beta + lived(log_b, 39.5)

    def chance(t):
        return np.exp(log_a[int(t)] - delta * (t - 39.5)) * (B / (beta + lived(log_b, t))) ** s

    u, w = np.polynomial.legendre.leggauss(12)
    mean = 0.0
    for lo, hi in [(39.5, 40.0), *((k, k + 1.0) for k in range(40, 70)), (70.0, 70.25)]:
        nodes = (lo + hi) / 2 + (hi - lo) / 2 * u
        mean += (hi - lo) / 2 * sum(wi * chance(t) for wi, t in zip(w, nodes, strict=True))
    expected = float(still) * (r + 3) / (alpha + lived(log_a, 39.5)) * mean
    assert mine == pytest.approx(expected, rel=1e-10)


def test_no_corner_gives_nan_or_infinity():
    """Parameters from 1e-4 to 1e4 and multipliers from e^-8 to e^8."""
    wild_a, wild_b = LOG_A * 10, LOG_B * 13
    laid = laid_out()
    for r in (1e-4, 1.0, 1e4):
        for alpha in (1e-4, 1e4):
            for s in (1e-4, 1.0, 1e4):
                for beta in (1e-4, 1e4):
                    params = (r, alpha, s, beta)
                    value, *slopes = dynamic.total(params, wild_a, wild_b, laid)
                    alive = dynamic.p_alive(params, wild_a, wild_b, laid)
                    ahead = np.full((len(CUSTOMERS), 2), 7)
                    future = dynamic.expected(params, wild_a, wild_b, laid, np.array([1.0, 51.0]), ahead)
                    assert np.isfinite(value)
                    assert all(np.all(np.isfinite(slope)) for slope in slopes)
                    assert np.all((alive >= 0) & (alive <= 1))
                    assert np.all(np.isfinite(future) & (future >= 0))


def test_corners_agree_with_adaptive_quadrature_too():
    """Where a week is long beside alpha and beta, and multipliers jump by factors of a thousand."""
    wild_a, wild_b = LOG_A * 5, LOG_B * 6
    for params in [(1e-3, 1e-3, 50.0, 1e3), (1e3, 1e-2, 1e-3, 1e-2), (2.0, 1e4, 2.0, 1e-4)]:
        values = dynamic.log_likelihoods(params, wild_a, wild_b, laid_out())
        for i in (0, 1, 3, 6):
            assert values[i] == pytest.approx(float(direct(CUSTOMERS[i], params, wild_a, wild_b)[0]), rel=1e-9), i


def test_the_second_moments_and_the_first_purchase_of_a_forecast_without_coefficients_are_the_plain_ones():
    """In weeks, and in pieces so long that the plain kernel's own panels are used."""
    customers = [(b, buys, 79.0) for b, buys, _ in CUSTOMERS[:5]]
    zero = np.zeros(WEEKS + 60)
    for widths in (np.array([0.4, *[1.0] * 50, 0.0, 0.6]), np.array([1.0, *[70.0] * 7, 1.5])):
        ahead = np.full((5, len(widths)), 3)
        for params in (PARAMS, (1.0, 0.05, 1.0, 0.05), (40.0, 8.0, 0.01, 1e3)):
            for delta in (0.0, 0.002, 0.03):
                mine = dynamic.forecast(params, zero, zero, laid_out(customers), widths, ahead, delta, second=True)
                plain = KERNEL.forecast(params, as_rows(customers), widths.sum(), delta, second=True)
                for name, one, other in zip(mine._fields, mine, plain, strict=True):
                    np.testing.assert_allclose(one, other, rtol=1e-10, err_msg=f"{name} {params} {delta}")


def test_moments_of_a_forecast_are_those_of_simulated_futures():
    """100,000 futures of one customer week by week, from the definition; four means and nine shares, each within 4
    standard errors: chance fails this once in 1,200 seeds."""
    rng = np.random.default_rng(4)
    params, delta, n = (0.8, 9.0, 1.1, 30.0), 0.01, 100_000
    customer = (3.4, [5.1, 9.0, 17.8, 30.0], 39.0)
    widths, ahead = np.ones(30), np.arange(39, 69)[None]
    found = dynamic.forecast(params, LOG_A, LOG_B, laid_out([customer]), widths, ahead, delta, second=True)
    alive = dynamic.p_alive(params, LOG_A, LOG_B, laid_out([customer]))[0]
    lived = [np.exp(logs)[np.arange(3, 39)] @ np.array([0.6, *np.ones(35)]) for logs in (LOG_A, LOG_B)]
    rate = rng.gamma(params[0] + 4, 1 / (params[1] + lived[0]), n)
    patience = rng.exponential(size=n) / rng.gamma(params[2], 1 / (params[3] + lived[1]), n)
    patience[rng.random(n) > alive] = 0.0
    b, a = np.exp(LOG_B[39:69]), np.exp(LOG_A[39:69])
    used = np.cumsum(b) - b
    stay = np.clip((patience[:, None] - used) / b, 0, 1)
    count = rng.poisson(rate[:, None] * a * stay)
    whose, week = (np.repeat(place, count[np.nonzero(count)]) for place in np.nonzero(count))
    d = np.exp(-delta * (week + stay[whose, week] * rng.random(len(week))))
    once, twice = np.bincount(whose, d, n), np.bincount(whose, d**2, n)
    seen = {"mean": once, "squares": twice, "pairs": once**2 - twice, "any": (count.sum(axis=1) > 0).astype(float)}
    for name, values in seen.items():
        assert abs(values.mean() - getattr(found, name)[0]) < 4 * values.std() / np.sqrt(n), name
    chance = dynamic.pmf(params, LOG_A, LOG_B, laid_out([customer]), widths, ahead, 8)[0]
    bought = np.bincount(count.sum(axis=1), minlength=9)[:9]
    assert np.all(np.abs(bought - n * chance) < 4 * np.sqrt(n * chance))


@pytest.mark.parametrize("params", [PARAMS, (1.0, 0.4, 1.0, 0.4), (9.0, 6.0, 0.05, 90.0)])
def test_probabilities_of_so_many_purchases_sum_to_one_and_to_the_moments_of_the_forecast(params):
    """In weeks that differ; of none of them is anything left beyond 600 purchases."""
    customers = [(born, buys, 40.0) for born, buys, _ in CUSTOMERS[:4]]
    widths, ahead = np.array([*[1.0] * 25, 0.0, 0.6]), np.tile(np.append(np.arange(40, 66), 66), (4, 1))
    laid = laid_out(customers)
    found = dynamic.pmf(params, LOG_A, LOG_B, laid, widths, ahead, 600)
    told = dynamic.forecast(params, LOG_A, LOG_B, laid, widths, ahead, second=True)
    n = np.arange(601.0)
    assert np.all(found >= 0)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(1 - found[:, 0], told.any, rtol=1e-11)
    np.testing.assert_allclose(found @ n, told.mean, rtol=1e-10)
    np.testing.assert_allclose(found @ (n * (n - 1)), told.pairs, rtol=1e-10)
    few = dynamic.pmf(params, LOG_A, LOG_B, laid, widths, ahead, 4)  # other nodes
    np.testing.assert_allclose(few, found[:, :5], rtol=1e-11)


def test_probabilities_without_coefficients_are_the_plain_ones():
    """In weeks, and in pieces so long that panels are used."""
    customers = [(b, buys, 79.0) for b, buys, _ in CUSTOMERS[:5]]
    zero = np.zeros(WEEKS + 60)
    for widths in (np.array([0.4, *[1.0] * 50, 0.0, 0.6]), np.array([1.0, *[70.0] * 7, 1.5])):
        ahead = np.full((5, len(widths)), 3)
        for params in (PARAMS, (1.0, 0.05, 1.0, 0.05), (40.0, 8.0, 0.01, 1e3)):
            for most in (0, 1, 7, 100):
                mine = dynamic.pmf(params, zero, zero, laid_out(customers), widths, ahead, most)
                plain = KERNEL.pmf(params, as_rows(customers), widths.sum(), most)
                np.testing.assert_allclose(mine, plain, rtol=1e-11, atol=1e-290, err_msg=f"{params} {most}")


def test_weights_are_customers_told_more_than_once():
    weight = np.arange(len(CUSTOMERS), dtype=float)
    each = [c for c, w in zip(CUSTOMERS, weight, strict=True) for _ in range(int(w))]
    one = dynamic.total(PARAMS, LOG_A, LOG_B, laid_out(), weight)
    two = dynamic.total(PARAMS, LOG_A, LOG_B, laid_out(each))
    for mine, theirs in zip(one, two, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def test_the_expected_log_rate_is_the_plain_one_and_falls_where_more_was_to_be_expected():
    customers = many(60)
    zero = np.zeros(WEEKS)
    laid = laid_out(customers)
    plain = KERNEL.log_rate(PARAMS, as_rows(customers))
    np.testing.assert_allclose(dynamic.log_rate(PARAMS, zero, zero, laid), plain, rtol=1e-11)
    assert np.all(dynamic.log_rate(PARAMS, zero + 0.5, zero, laid) < plain)


def test_a_future_of_no_length_is_nothing():
    found = dynamic.forecast(PARAMS, LOG_A, LOG_B, laid_out(), np.zeros(2), np.full((8, 2), 7), 0.0, second=True)
    assert not np.any(np.stack(found))
    none = dynamic.pmf(PARAMS, LOG_A, LOG_B, laid_out(), np.zeros(2), np.full((8, 2), 7), 2)
    np.testing.assert_allclose(none, np.tile([1.0, 0.0, 0.0], (8, 1)), rtol=1e-15)
