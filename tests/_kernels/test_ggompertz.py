"""The gamma-Gompertz / NBD kernel against fifty-digit arithmetic, its Pareto limit and published figures."""

import json
from pathlib import Path

import numpy as np
import pytest

from retention._kernels import ggompertz
from retention._kernels.ggompertz import KERNEL
from retention._kernels.purchases import Rows, merge

TRUTH = json.loads((Path(__file__).parent / "truth" / "ggompertz.json").read_text())


def test_derivatives_are_those_of_the_value_by_complex_accuracy():
    """Central differences of two spacings, extrapolated: their own error is below the tolerance."""
    params = (0.9, 5.0, 0.03, 0.5, 0.4)
    x, t_x, T = np.array([(0, 0, 39), (2, 30, 39), (26, 30.9, 31), (5, 3, 60)], dtype=float).T
    rows = Rows(x, t_x, T, np.zeros(4))
    theta = np.log(params)
    _, gradient, hessian = KERNEL.rowwise(params, rows)

    def slopes(i, step, part):
        e = np.eye(5)[i] * step
        up, down = KERNEL.rowwise(np.exp(theta + e), rows)[part], KERNEL.rowwise(np.exp(theta - e), rows)[part]
        return (up - down) / (2 * step)

    for i in range(5):
        for part, ours in ((0, gradient[i]), (1, hessian[i])):
            sharp = (4 * slopes(i, 1e-3, part) - slopes(i, 2e-3, part)) / 3
            assert ours == pytest.approx(sharp, rel=1e-8, abs=1e-8)


def test_without_growth_of_the_hazard_it_is_the_pareto_nbd():
    """b to 0 with beta / b = 11.669: survival (1 + t / 11.669)^-s, here by its own one-dimensional integral."""
    from scipy.integrate import quad

    r, alpha, s, B = 0.553, 10.578, 0.606, 11.669
    x, t_x, T = np.array([(0, 0, 38.9), (2, 30.4, 38.9), (7, 29.4, 38.9)], dtype=float).T
    ours = [KERNEL.log_likelihoods((r, alpha, b, s, b * B), Rows(x, t_x, T, np.zeros(3))) for b in (1e-5, 1e-7)]
    from scipy.special import gammaln

    for i in range(3):
        k = r + x[i]
        died, _ = quad(lambda u, k=k: (alpha + u) ** -k * s / B * (1 + u / B) ** (-s - 1), t_x[i], T[i], epsrel=1e-13)
        there = (alpha + T[i]) ** -k * (1 + T[i] / B) ** -s
        truth = gammaln(k) - gammaln(r) + r * np.log(alpha) + np.log(there + died)
        assert ours[1][i] == pytest.approx(truth, abs=1e-6)
        assert abs(ours[1][i] - truth) < 0.02 * abs(ours[0][i] - truth)  # the difference is of order b


def test_a_wrong_sign_in_the_growth_would_be_noticed():
    """A hazard that shrinks (survival by e^{-bt}) fails the comparison that the kernel passes."""
    case = next(each for each in TRUTH["hard"] if each["point"][2] == 0.03 and each["point"][5] == 2)
    r, alpha, b, s, beta, x, t_x, T, *_ = case["point"]
    wrong = (r, alpha, b, s, beta * np.exp(2 * b * T))
    ours = KERNEL.log_likelihoods(wrong, Rows(*(np.array([v]) for v in (x, t_x, T, 0.0))))
    assert abs(ours[0] / case["truth"][TRUTH["names"].index("log_likelihood")] - 1) > 1e-2


def test_published_cdnow_likelihood(shared_data):
    """Bemmaor and Glady's CDNOW maximum lies on the Pareto/NBD's (-9594.98), whatever small b one takes."""
    d = np.genfromtxt(shared_data("cdnow/cdnow_sample_summary.csv.gz"), delimiter=",", skip_header=1)
    rows = Rows(d[:, 1], np.round(d[:, 2] * 7) / 7, np.round(d[:, 3] * 7) / 7, np.zeros(len(d)))
    cells = merge(rows)
    for b in (1e-5, 1e-7):
        point = (0.5532784, 10.5776962, b, 0.6062394, b * 11.6686813)
        assert KERNEL.values(np.array([point]), cells)[0] == pytest.approx(-9594.976, abs=3e-3)
    assert KERNEL.values(np.array([(0.5532784, 10.5776962, 0.2, 0.6062394, 0.2 * 11.67)]), cells)[0] < -9596


def test_the_rough_forecast_is_good_to_five_digits():
    points = np.array([case["point"] for case in TRUTH["hard"]]).T
    params, rows = points[:5], Rows(*points[5:8], np.zeros(points.shape[1]))
    fine = KERNEL.forecast(params, rows, 52.0, 0.002, second=True)
    rough = KERNEL.forecast(params, rows, 52.0, 0.002, second=True, rough=True)
    for a, b in zip(fine, rough, strict=True):
        assert b == pytest.approx(a, rel=1e-5)


def test_simulated_lifetimes_have_the_survival_of_the_paper():
    """Customers who buy a thousand times a week show when they left; 5 sd of a share over 40,000."""
    b, s, beta = 0.1, 0.7, 2.0
    T = np.full(40_000, 60.0)
    rows = ggompertz.simulate((1e6, 1e3, b, s, beta), T, np.random.default_rng(4))
    for t in (5.0, 20.0, 50.0):
        truth = (beta / (beta - 1 + np.exp(b * t))) ** s
        assert abs(np.mean(rows.t_x > t) - truth) < 5 * np.sqrt(truth * (1 - truth) / 40_000) + 1e-3
