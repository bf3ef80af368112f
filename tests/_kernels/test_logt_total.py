"""The climb of the log-t clock goes by the derivatives of its likelihood, and ends where nothing is higher."""

import mpmath as mp
import numpy as np
import pytest
from scipy.optimize import minimize

from retention._kernels import logt, logt_total
from retention.histories import Histories
from retention.timing import Rhythm

PRIORS = (
    logt.Prior(3.1, 1.6, 5.2, 0.6, 0.5, 4.0, 0.1, 3.0),
    logt.Prior(2.0, 0.2, 84.0, 0.3, 2.0, 1.0, 0.1, 3.0),
    logt.Prior(3.8, 1.2, 1.5, 1.4, 0.5, 5.0),
)
# Gaps, and the silence since the last of them: none yet, none at all, one, and several.
CUSTOMERS = (([], 40.0), ([12.0], 0.0), ([30.0], 95.0), ([9.0, 20.0, 14.0, 33.0], 61.0))


def statistics(customers):
    logs = [np.log(gaps) for gaps, _ in customers]
    columns = ([len(g) for g in logs], [g.sum() for g in logs], [(g**2).sum() for g in logs], [h for _, h in customers])
    return [np.array(column, dtype=float) for column in columns]


def exact(theta, pause, stretch, gaps, idle):
    """The log-likelihood of one customer with thirty digits, from the definition on the kernel's page."""
    m0, k0, n0, s2, a, b = theta
    y, x = [mp.log(g) for g in gaps], len(gaps)
    total = sum(y, mp.mpf(0))
    w, nu = k0 + x, n0 + x
    mean = total / x if x else m0
    squares = n0 * s2 + sum((each - mean) ** 2 for each in y) + k0 * x / w * (mean - m0) ** 2
    scale, location = mp.sqrt(squares / nu * (1 + 1 / w)), (k0 * m0 + total) / w

    def survival(days):
        if days == 0:
            return mp.mpf(1)
        z = (mp.log(days) - location) / scale
        tail = mp.betainc(nu / 2, mp.mpf(1) / 2, 0, nu / (nu + z**2), regularized=True) / 2
        return tail if z > 0 else 1 - tail

    open_ = (1 - pause) * survival(idle) + pause * survival(idle / stretch)
    found = mp.loggamma(nu / 2) - mp.loggamma(n0 / 2) + mp.log(k0 / w) / 2 + n0 / 2 * mp.log(n0 * s2)
    found -= nu / 2 * mp.log(squares) + mp.mpf(x) / 2 * mp.log(mp.pi)
    found += mp.log(mp.beta(a, b + x) / mp.beta(a, b))
    return found + mp.log((b + x) / (a + b + x) * open_ + a / (a + b + x))


@pytest.mark.parametrize("prior", PRIORS)
def test_value_slopes_and_bends_are_those_of_the_definition(prior):
    """To ten digits; to six where the degrees of freedom move, by which the survival is differenced."""
    with mp.workdps(30):
        theta = [mp.mpf(float(v)) for v in prior[:6]]
        for gaps, idle in CUSTOMERS:
            hers = [mp.mpf(g) for g in gaps], mp.mpf(idle)
            value, gradient, hessian = logt_total.prepared(*statistics([(gaps, idle)]))(prior)

            def f(*at, hers=hers):
                return exact(at, mp.mpf(prior.pause), mp.mpf(prior.stretch), *hers)

            assert value == pytest.approx(float(f(*theta)), rel=1e-10)
            for i in range(6):
                order = [0] * 6
                order[i] = 1
                loose = 1e-6 if i == 2 else 1e-9
                assert gradient[i] == pytest.approx(float(mp.diff(f, theta, tuple(order))), rel=loose, abs=1e-10)
                for j in {i, 2, (i + 1) % 6}:
                    twice = list(order)
                    twice[j] += 1
                    loose = 1e-5 if 2 in (i, j) else 1e-8
                    truth = float(mp.diff(f, theta, tuple(twice)))
                    assert hessian[i, j] == pytest.approx(truth, rel=loose, abs=1e-8), (i, j)


def test_a_base_is_the_sum_of_its_customers():
    prior = PRIORS[0]
    together = logt_total.prepared(*statistics(CUSTOMERS))(prior)
    alone = [logt_total.prepared(*statistics([each]))(prior) for each in CUSTOMERS]
    for all_, parts in zip(together, zip(*alone, strict=True), strict=True):
        assert all_ == pytest.approx(sum(parts), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("many", [0, 1, 30, 900])
def test_no_search_from_where_the_fit_ends_finds_a_higher_place(many):
    """Another method that sees no derivatives, started there, gains no 1e-9 nats a customer."""
    rng = np.random.default_rng(many)
    gaps = [np.ceil(rng.lognormal(rng.normal(3.0, 0.5), 0.6, rng.poisson(3))) for _ in range(many)]
    x, log_sum, log_squares, idle = statistics([(g, float(rng.integers(1, 120))) for g in gaps])
    seen = np.array([g.sum() for g in gaps])
    base = Histories.from_arrays(
        frequency=x, recency_days=seen, age_days=seen + idle, gap_log_sum=log_sum, gap_log_squares=log_squares
    )
    fit = Rhythm.fit(base)
    typical = log_sum.sum() / x.sum() if x.sum() else np.log(max(np.median(idle), 1.0)) if many else 3.0
    centre, width = np.array([typical, 0.0, np.log(4.0), np.log(0.5), -2.0, 1.0]), np.array([2.0, 1.5, 1, 1, 1.5, 1.5])

    def loss(theta):
        leaving, size = 1 / (1 + np.exp(-theta[4])), np.exp(theta[5])
        prior = logt.Prior(theta[0], *np.exp(theta[1:4]), leaving * size, (1 - leaving) * size, 0.1, 3.0)
        told = logt.log_likelihood(prior, x, log_sum, log_squares, idle).sum() if many else 0.0
        return 0.5 * np.sum(((theta - centre) / width) ** 2) - told

    ends = np.array([fit.m0, *np.log([fit.kappa0, fit.nu0, fit.s0_squared, fit.a / fit.b, fit.a + fit.b])])
    for start in (ends, ends + 0.1 * width):
        assert minimize(loss, start, method="L-BFGS-B").fun > loss(ends) - 1e-9 * max(many, 1)
