"""The Pareto/GGG kernel and its gamma gaps: thirty-digit arithmetic, Pareto/NBD as a limit, simulation."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.special import gammainc

from retention._kernels import gammagaps, ggompertz, paretoggg
from retention._kernels.paretoggg import KERNEL
from retention._kernels.purchases import Rows

TRUTH = json.loads((Path(__file__).parent / "truth" / "paretoggg.json").read_text())
ARRIVALS = json.loads((Path(__file__).parent / "truth" / "paretoggg_arrivals.json").read_text())
GROCERY = (1.665, 0.367, 0.944, 5.218, 0.424, 4.336)


def rows(*customers):
    return Rows(*(np.array(column, dtype=float) for column in zip(*customers, strict=True)))


SOME = rows(
    (0, 0, 0, 0), (0, 0, 40, 0), (1, 3, 40, math.log(3)), (5, 20, 24, 5 * math.log(4) - 0.3), (5, 20, 24, 3.0),
    (12, 30, 31, 12 * math.log(2.5) - 5), (12, 20, 28, 5.0),
)  # fmt: skip


@pytest.mark.parametrize("grid", ["hard", "latent", "extreme"])
def test_likelihood_and_survival_have_their_digits(grid):
    """Truth: the definition integrated over leaving and ln k, on one point over her rate too (truth/paretoggg.py).

    P(alive) is compared where it is above 1e-12: below, its last digits hang on values of k that weigh nothing else.
    """
    cases = [case for case in TRUTH[grid] if "p_alive" in case]
    assert len(cases) >= {"hard": 28, "latent": 1, "extreme": 100}[grid]
    points = np.array([case["point"] for case in cases]).T
    params, base = points[:6], Rows(*points[6:])
    ours = {
        "log_likelihood": KERNEL.log_likelihoods(params, base),
        "p_alive": KERNEL.p_alive(params, base),
        "survival": KERNEL.survival(params, base, TRUTH["ahead"]),
    }
    for name, answer in ours.items():
        truth = np.array([float(case[name]) for case in cases])
        shown = np.abs(truth) > 1e-12
        assert np.all(np.abs(answer[~shown]) < 1e-9)
        # A log-likelihood of nearly nothing (she was bound to be silent) is right to 1e-9 of a nat, not of itself.
        size = np.maximum(np.abs(truth), 1.0 if name == "log_likelihood" else 1e-300)
        assert np.max((np.abs(answer - truth) / size)[shown]) < {"hard": 1e-9, "latent": 1e-8, "extreme": 3e-9}[grid]


def test_nothing_breaks_anywhere():
    """420 points: x to 10,000, T to 10,000, parameters 1e-4 .. 1e4; each alone and with its derivatives."""
    assert len(TRUTH["extreme"]) >= 400
    points = np.array([case["point"] for case in TRUTH["extreme"]]).T
    params, base = points[:6], Rows(*points[6:])
    for answer in (*KERNEL.rowwise(params, base), KERNEL.log_rate(params, base)):
        assert np.all(np.isfinite(answer))
    alive = KERNEL.p_alive(params, base)
    later = KERNEL.survival(params, base, 52.0)
    assert np.all((alive >= 0) & (alive <= 1) & (later >= 0) & (later <= alive))


@pytest.mark.slow
def test_no_forecast_breaks_anywhere():
    """Every eighth of the 420 points, horizons of 0.1 to 10,000, half of them discounted: finite and within bounds."""
    for i, case in list(enumerate(TRUTH["extreme"]))[::8]:
        rng = np.random.default_rng(i)
        horizon = 10.0 ** rng.uniform(-1, 4)
        delta = float(rng.choice([0.0, 10.0 ** rng.uniform(-5, -1)]))
        params, one = case["point"][:6], rows(case["point"][6:])
        told = np.array(KERNEL.forecast(params, one, horizon, delta, second=True))[:, 0]
        mean, squares, pairs, some = told
        assert np.all(np.isfinite(told) & (told >= 0)), case["point"]
        assert some <= KERNEL.p_alive(params, one)[0] * (1 + 1e-12), case["point"]
        assert squares <= mean * (1 + 1e-9), case["point"]
        if delta == 0:
            assert mean == squares, case["point"]
            assert mean >= some * (1 - 1e-6), case["point"]
            # Jensen: E[N^2] is at least E[N]^2 / P(any)
            assert mean + pairs >= mean**2 / max(some, 1e-300) * (1 - 1e-6) or mean < 1e-250, case["point"]


def test_derivatives_are_those_of_the_definition():
    """Central differences of the definition at fifty digits."""
    for case in TRUTH["derivatives"]:
        point = case["point"]
        _, gradient, hessian = KERNEL.rowwise(point[:6], rows(point[6:]))
        truth = np.array(case["gradient"], dtype=float)
        assert gradient[:, 0] == pytest.approx(truth, rel=1e-8, abs=1e-10)
        for i in range(6):
            bends = np.array(case["hessian"][i], dtype=float)
            assert hessian[i, : i + 1, 0] == pytest.approx(bends, rel=1e-8, abs=1e-8)


def test_forecasts_have_their_digits():
    """Truth: the integral over her next purchase and the time from there, at fifty digits."""
    for case in TRUTH["forecasts"]:
        point, horizon = case["point"], case["horizon"]
        told = KERNEL.forecast(point[:6], rows(point[6:]), horizon, case["delta"], second=True)
        assert told.mean[0] == pytest.approx(float(case["mean"]), rel=1e-9)
        assert told.pairs[0] == pytest.approx(float(case["pairs"]), rel=1e-9)
        least = np.array(case["least"], dtype=float)
        assert told.any[0] == pytest.approx(least[0], rel=1e-9)
        exactly = KERNEL.pmf(point[:6], rows(point[6:]), horizon, len(least) - 1)[0]
        assert 1 - np.cumsum(exactly) == pytest.approx(least, abs=1e-9)


@pytest.mark.parametrize(
    ("grid", "part", "most"),
    [
        ("endless", slice(0, None, 4), 1e-9),
        pytest.param("endless", slice(None), 1e-9, marks=pytest.mark.slow),
        pytest.param("edge", slice(None), 1e-6, marks=pytest.mark.slow),
    ],
)
def test_forecasts_without_end_have_their_digits(grid, part, most):
    """Truth: Laplace transforms given both her rates, averaged: logarithms of means over those who are still there."""
    assert len(TRUTH[grid]) >= {"endless": 10, "edge": 8}[grid]
    for case in TRUTH[grid][part]:
        point = case["point"]
        params, one = point[:6], rows(point[6:])
        alive = KERNEL.p_alive(params, one)[0]
        told = KERNEL.forecast(params, one, math.inf, case["delta"], second=True)
        for name in ("mean", "squares", "pairs"):
            there = math.exp(case[name]) if case[name] < 700 else math.inf
            if alive * there > 1e-280:  # a float ends below
                assert getattr(told, name)[0] == pytest.approx(alive * there, rel=most), (name, point)


def finite_cases(part):
    for case in TRUTH["finite"][part]:
        point = case["point"]
        params, one, horizon = point[:6], rows(point[6:]), case["horizon"]
        told = KERNEL.forecast(params, one, horizon, case["delta"], second=True)
        alive = KERNEL.p_alive(params, one)[0]
        yield case, told, alive, KERNEL.pmf(params, one, horizon, 1)[0]


@pytest.mark.parametrize("part", [slice(0, None, 10), pytest.param(slice(None), marks=pytest.mark.slow)])
def test_forecasts_at_extreme_points_have_six_digits_within_a_horizon(part):
    """Truth: given regularity, rate and drop-out sums over purchases of incomplete gamma functions, averaged over all
    three. What is expected of her is right to a millionth down to the smallest floats, also where no purchase is due
    for long and all of it hangs on values of k that her gaps speak against."""
    assert sum(case.get("mean") is not None for case in TRUTH["finite"]) >= 35
    for case, told, alive, few in finite_cases(part):
        for name, found in (("mean", told.mean), ("any", told.any), ("pairs", told.pairs)):
            if case.get(name) is not None and alive * math.exp(case[name]) > 1e-280:
                true = alive * math.exp(case[name])
                assert found[0] == pytest.approx(true, rel=1e-6 if true > 1e-50 else 1e-5), (name, case["point"])
        for n, name in ((1, "any"), (2, "two")):
            if case.get(name) is not None:
                assert few[:n].sum() == pytest.approx(1 - alive * math.exp(case[name]), abs=1e-9), (n, case["point"])


def arrivals():
    """(place, point, what is true there) of all extreme points with truth; all but the likelihood as logarithms"""
    for i, (case, values) in enumerate(zip(TRUTH["extreme"], ARRIVALS["points"], strict=True)):
        true = dict(zip(ARRIVALS["names"], values, strict=False))
        if true.get("alive") is not None:
            yield i, case["point"], true


def test_the_likelihood_and_p_alive_have_their_digits_at_all_extreme_points():
    """Truth: integrals over each gap, halved until they converge (truth/paretoggg_arrivals.py)."""
    _, points, true = zip(*arrivals(), strict=True)
    assert len(points) == 420
    base = np.array(points).T
    params, customers = base[:6], Rows(*base[6:])
    truth = np.array([each["log_likelihood"] for each in true])
    size = np.maximum(np.abs(truth), 1.0)
    assert np.max(np.abs(KERNEL.log_likelihoods(params, customers) - truth) / size) < 1e-6
    alive = np.exp([each["alive"] for each in true])
    seen = alive > 1e-280
    assert KERNEL.p_alive(params, customers)[seen] == pytest.approx(alive[seen], rel=1e-6)


def arrivals_hold(part):
    for _, point, true in list(arrivals())[part]:
        params, one, horizon, alive = point[:6], rows(point[6:]), true["horizon"], math.exp(true["alive"])
        plain = KERNEL.forecast(params, one, horizon, second=True)
        told = [("any", plain.any), ("mean", plain.mean), ("pairs", plain.pairs)]
        if true["delta"]:
            faded = KERNEL.forecast(params, one, horizon, true["delta"], second=True)
            told += [("faded", faded.mean), ("squares", faded.squares)]
        for name, found in told:
            if true[name] is not None and -640 < true["alive"] + true[name] < 700:
                assert found[0] == pytest.approx(math.exp(true["alive"] + true[name]), rel=1e-6), (name, point)
        least = 1 - np.cumsum(KERNEL.pmf(params, one, horizon, 2)[0])
        for name, found in zip(("any", "two", "three"), least, strict=True):
            if true[name] is not None:
                assert found == pytest.approx(alive * math.exp(true[name]), abs=2e-8), (name, point)


def test_forecasts_of_silent_customers_and_of_thousands_of_purchases_have_six_digits():
    """The truth of each n-th purchase, summed: every thirtieth of the extreme points; RETENTION_THOROUGH asks all."""
    arrivals_hold(slice(None) if os.environ.get("RETENTION_THOROUGH") else slice(28, None, 30))


def like_a_clock(params, T, horizon, delta):
    """(mean, discounted mean, its squares, its pairs) of a customer never seen in T whose gaps are all 1 / lambda: she
    buys at n / lambda, so lambda < 1 / T if she is there, and n / lambda - T is the n-th moment ahead."""
    _, _, r, alpha, s, beta = params
    x, w = np.polynomial.legendre.leggauss(200)

    def rates(low, high):  # her gamma(r, alpha) rate between two values, by its logarithm
        half = np.log(high / low) / 2
        rate = low * np.exp(half * (x + 1))
        return rate, half * w * np.exp(r * np.log(alpha * rate) - alpha * rate - math.lgamma(r))

    # Silent until T: the first is due later, or she left before it was.
    rate, weight = rates(1 / T, 60 / alpha)
    silent = gammainc(r, alpha / T) + np.sum(weight * (1 - (1 + 1 / (rate * beta)) ** -s))
    out = np.zeros(4)
    for n in range(1, int((T + horizon) / T) + 1):
        rate, weight = rates(n / (T + horizon), 1 / T)
        there = weight * (1 + n / (rate * beta)) ** -s
        discounts = np.exp(-delta * (np.arange(1, n + 1)[:, None] / rate - T))
        last = there * discounts[-1]
        out += [there.sum(), last.sum(), last @ discounts[-1], 2 * last @ discounts[:-1].sum(axis=0)]
    return out / silent


@pytest.mark.parametrize(("k", "room"), [(4e6, 1e-6), (2e4, 2e-4)])
def test_a_silent_newcomer_as_regular_as_a_clock_has_the_forecast_of_a_clock(k, room):
    """What is left of k is of order 1 / k. Steps of her expected purchases are too sharp for nodes that serve all
    others: the mean was 2e-3 off at k of some millions, and its pairs asked for 10 GB."""
    params, T, horizon, delta = (440.0, 440.0 / k, 0.0016, 18.3, 0.18, 185.0), 43.7, 674.0, 0.01
    mean, faded, squares, both = like_a_clock(params, T, horizon, delta)
    one = rows([0.0, 0.0, T, 0.0])
    assert KERNEL.forecast(params, one, horizon).mean[0] == pytest.approx(mean, rel=room)
    told = KERNEL.forecast(params, one, horizon, delta, second=True)
    assert told.mean[0] == pytest.approx(faded, rel=room)
    assert told.squares[0] == pytest.approx(squares, rel=room)
    assert told.pairs[0] == pytest.approx(both, rel=room)


@pytest.mark.parametrize(
    ("params", "customer", "horizon", "most"),
    [
        ((40.0, 0.1, 0.5, 20.0, 0.4, 30.0), (0.0, 0.0, 0.0, 0.0), 300.0, 500),
        ((40.0, 0.1, 0.5, 20.0, 0.4, 30.0), (0.0, 0.0, 40.0, 0.0), 300.0, 500),
        ((1e4, 1e4 / 40, 2.0, 2.0, 1e-4, 1e4), (60.0, 60.0, 62.5, 0.0), 100.0, 180),
    ],
    ids=["new", "silent", "late"],
)
def test_the_forecast_of_near_clocks_is_that_of_its_distribution(params, customer, horizon, most):
    """A newcomer's rate is anybody's guess, her rhythm is not: by the renewal equation alone her mean is 2e-3 off.
    One who is late has had one long gap: those to come are as short as ever."""
    one, n = rows(customer), np.arange(most + 1)
    chances = KERNEL.pmf(params, one, horizon, most)[0]
    assert chances.sum() == pytest.approx(1, abs=1e-9)
    told = KERNEL.forecast(params, one, horizon, second=True)
    assert told.mean[0] == pytest.approx(chances @ n, rel=1e-6)
    assert told.pairs[0] == pytest.approx(chances @ (n * (n - 1)), rel=1e-6)
    assert KERNEL.forecast(params, one, horizon).mean[0] == pytest.approx(chances @ n, rel=1e-6)


@pytest.mark.parametrize("k", [30.0, 100.0])
@pytest.mark.parametrize("delta", [0.0, 0.002])
def test_purchases_of_regular_customers_counted_one_by_one_are_those_of_the_renewal_equation(k, delta, monkeypatch):
    """Two ways to the same forecasts, which share the first purchase ahead and nothing else. Both hold here."""
    params = (1000.0, 1000.0 / k, 2.0, 16.0, 0.5, 30.0)
    base = Rows(
        np.array([0.0, 1.0, 4.0]), np.array([0.0, 9.0, 35.0]), np.full(3, 40.0), np.array([0, np.log(9), 8.676])
    )
    told = []
    for which in (np.zeros, np.ones):
        monkeypatch.setattr(paretoggg, "sharp", lambda o, *_, which=which: which(len(o.T), bool))
        told.append(paretoggg.forecast(params, base, 150.0, delta, second=True))
    for one_way, other in zip(*told, strict=True):
        np.testing.assert_allclose(one_way, other, rtol=3e-6)


@pytest.mark.parametrize("place", [42, 164, 224, 252, 258])
def test_a_pair_of_purchases_that_there_is_hardly_room_for_keeps_its_digits(place):
    """Two purchases fall where one alone would not, at values of k that weigh nothing else; of a customer who is
    silent, bound to buy by the clock and hardly known, the second comes at a knife's edge. At most 1e-6 apart from
    truth down to 1e-245; nodes laid out for one purchase were wrong by up to 7 %."""
    _, point, true = next(case for case in arrivals() if case[0] == place)
    told = KERNEL.forecast(point[:6], rows(point[6:]), true["horizon"], second=True)
    assert told.pairs[0] == pytest.approx(math.exp(true["alive"] + true["pairs"]), rel=1e-6)


def test_two_purchases_that_are_next_to_impossible_are_not_made_likely():
    """A silent newcomer as regular as a clock: P(2) is 1e-247, and was told as 7e-12."""
    _, point, true = next(case for case in arrivals() if case[0] == 224)
    few = KERNEL.pmf(point[:6], rows(point[6:]), true["horizon"], 2)[0]
    assert few[2] == pytest.approx(math.exp(true["alive"] + true["two"]), rel=1e-6)


def test_the_truth_of_silent_customers_is_that_of_fifty_digits():
    """The same integrals by mpmath, other nodes and other values of k: P(any), P(two) and the mean at some points."""
    assert len(ARRIVALS["fifty"]) >= 7
    for place, exact in ARRIVALS["fifty"].items():
        values = dict(zip(ARRIVALS["names"], ARRIVALS["points"][int(place)], strict=True))
        point = TRUTH["extreme"][int(place)]["point"]
        assert point[7] < point[8]
        for name, digits in zip(("mean", "any", "two"), exact, strict=True):
            if values[name] is not None:
                assert values[name] == pytest.approx(float(digits), abs=5e-8)


@pytest.mark.parametrize(("horizon", "even"), [(2.0, 0.3), (0.3, 0.05)])
def test_a_purchase_that_is_not_due_for_long_is_as_unlikely_as_it_is(horizon, even):
    """Clockwork: forty gaps of ten weeks, the last purchase just now, and the chance of one within the next two. All of
    it comes from values of k that weigh next to nothing: truth is a sum over k by a longer grid and no cut."""
    r, alpha, s, beta = 2.0, 20.0, 0.5, 30.0
    log_gaps = 40 * math.log(10) - even
    ln_k = np.arange(-3.0, 9.0, 0.01)
    k = np.exp(ln_k)[:, None]
    weight = 4.0 * ln_k - 0.1 * k[:, 0] + gammagaps.likelihood(k[:, 0], 40, 400.0, log_gaps, r, alpha)
    weight = np.exp(weight - weight.max())
    x, w = np.polynomial.legendre.leggauss(40)
    gap = (x + 1) * horizon / 2
    density = np.exp(gammagaps.density(np.log(k * gap / (alpha + 400 * k)), k, r + 40 * k)) / gap
    chance = weight @ (density @ (w * horizon / 2 * (1 + gap / (beta + 400)) ** -s)) / weight.sum()
    assert 0 < chance < 1e-12
    told = KERNEL.forecast((4.0, 0.1, r, alpha, s, beta), rows((40, 400.0, 400.0, log_gaps)), horizon)
    assert told.any[0] == pytest.approx(chance, rel=1e-8)
    assert told.mean[0] == pytest.approx(chance, rel=1e-8)


def test_a_far_horizon_does_not_lose_a_purchase_that_is_due_soon():
    """3,000 purchases in 10,000 weeks: the next is due in three, wherever the horizon lies."""
    regular = rows((3000, 10_000, 10_000, 3523.5))
    params = (1.2, 9.6, 0.12, 8.7, 11.4, 53.5)
    near, far = (KERNEL.forecast(params, regular, horizon, 0.01).mean[0] for horizon in (1000.0, math.inf))
    assert near == pytest.approx(far, rel=0.01)
    assert far > 20


def test_with_pure_chance_for_all_it_is_the_pareto_nbd():
    """k ~ gamma(1e7, 1e7) is 1 +- 0.0003 and a gamma-Gompertz of b = 1e-9 is a Pareto: differences of order 1e-7."""
    K = 1e7
    ours, pareto = (K, K, *GROCERY[2:]), (0.944, 5.218, 1e-9, 0.424, 1e-9 * 4.336)
    plain = ggompertz.KERNEL
    assert KERNEL.log_likelihoods(ours, SOME) == pytest.approx(plain.log_likelihoods(pareto, SOME), abs=5e-6)
    assert KERNEL.p_alive(ours, SOME) == pytest.approx(plain.p_alive(pareto, SOME), rel=1e-5)
    assert KERNEL.log_rate(ours, SOME) == pytest.approx(plain.log_rate(pareto, SOME), abs=1e-5)
    assert KERNEL.pmf(ours, SOME, 8.0, 4) == pytest.approx(plain.pmf(pareto, SOME, 8.0, 4), abs=1e-6)
    for horizon, delta in ((26.0, 0.0), (26.0, 0.01)):
        one = KERNEL.forecast(ours, SOME, horizon, delta, second=True)
        two = plain.forecast(pareto, SOME, horizon, delta, second=True)
        assert one.mean == pytest.approx(two.mean, rel=1e-5)
        assert one.any == pytest.approx(two.any, rel=1e-5)
        assert one.squares == pytest.approx(two.squares, rel=1e-5)
        assert one.pairs == pytest.approx(two.pairs, rel=1e-5)


def test_a_regular_customer_who_is_late_is_doubted_and_one_in_bursts_is_not():
    """The same three numbers, other gaps; a model without the gaps could not tell them apart."""
    clock, bursts = KERNEL.p_alive(GROCERY, rows((8, 32, 48, 8 * math.log(4) - 0.05), (8, 32, 48, 2.0)))
    assert clock < 0.05 < 0.5 < bursts


@pytest.mark.slow
def test_forecasts_agree_with_simulated_futures():
    """20,000 futures of seven customers, 28 comparisons at 4.8 sd: fails by chance once in 20,000 seeds."""
    horizon, delta, copies = 10.0, 0.02, 20_000
    told = KERNEL.forecast(GROCERY, SOME, horizon, delta, second=True)
    rng = np.random.default_rng(3)
    for i in range(len(SOME.x)):
        seen = KERNEL.ahead(GROCERY, SOME.take(np.full(copies, i)), horizon, delta, rng)
        for drawn, truth in (
            (seen.discounted, told.mean[i]),
            (seen.expected, told.mean[i]),
            (seen.counts > 0, told.any[i]),
            (seen.discounted**2, told.squares[i] + told.pairs[i]),
        ):
            assert abs(drawn.mean() - truth) < 4.8 * drawn.std() / math.sqrt(copies) + 1e-3 * truth


@pytest.mark.slow
def test_a_forecast_depends_on_neither_the_company_nor_the_rule():
    """Alone (no tables), in company (tables), and from the distribution: three roads to one number."""
    crowd = SOME.take(np.tile(np.arange(7), 25))
    many = KERNEL.forecast(GROCERY, crowd, 6.0, second=True)
    for i in (1, 3, 6):
        alone = KERNEL.forecast(GROCERY, SOME.take(slice(i, i + 1)), 6.0, second=True)
        for a, b in zip(alone, many, strict=True):
            assert b[i] == pytest.approx(a[0], rel=1e-6)
    distribution = KERNEL.pmf(GROCERY, SOME.take(slice(1, 7)), 6.0, 150)
    counts = np.arange(151)
    # Bursts of more than 150 purchases are possible, and missing in these sums.
    assert distribution @ counts == pytest.approx(many.mean[1:7], rel=2e-5)
    assert distribution @ (counts * (counts - 1)) == pytest.approx(many.pairs[1:7], rel=2e-2)


def test_the_rough_forecast_is_good_to_a_thousandth():
    fine = KERNEL.forecast(GROCERY, SOME, 26.0, 0.002, second=True)
    rough = KERNEL.forecast(GROCERY, SOME, 26.0, 0.002, second=True, rough=True)
    assert rough.mean == pytest.approx(fine.mean, rel=2e-3)
    assert rough.any == pytest.approx(fine.any, rel=2e-3)


def test_the_survival_of_a_gap_is_the_integral_of_its_density():
    from scipy.integrate import quad

    for k, a, A, h in ((0.4, 3.0, 5.0, 2.0), (4.0, 21.0, 90.0, 11.0), (30.0, 200.0, 300.0, 1.1)):
        v = math.log(k * h / A)
        truth, _ = quad(lambda v, k=k, a=a: math.exp(gammagaps.density(v, k, a)), v, v + 40, epsabs=0, limit=200)
        assert gammagaps.survival(h, k, a, A) == pytest.approx(truth, rel=1e-8)
        assert gammagaps.log_survival(h, k, a, A) == pytest.approx(math.log(truth), rel=1e-8)
        assert gammagaps.due(truth, k, a, A) == pytest.approx(h, rel=1e-7)


def test_a_gap_far_beyond_all_others_keeps_its_logarithm():
    """Where the probability itself is below the smallest float; mpmath's incomplete beta function to thirty digits."""
    mp = pytest.importorskip("mpmath")
    k, a, A, h = 5.0, 900.0, 1000.0, 900.0
    with mp.workdps(30):
        truth = mp.log(mp.betainc(a, k, 0, mp.mpf(A) / (A + mp.mpf(k) * h), regularized=True))
    assert gammagaps.log_survival(h, k, a, A) == pytest.approx(float(truth), rel=1e-12)


def test_drawn_gaps_and_rates_follow_the_posterior():
    """E[rate | gap > H] and P(gap > 2H | gap > H), 40,000 draws, 5 sd."""
    k, a, A, H, n = 3.0, 12.0, 40.0, 6.0, 40_000
    gap, rate = gammagaps.draw(np.random.default_rng(1), *(np.full(n, each) for each in (H, k, a, A)))
    share = gammagaps.survival(2 * H, k, a, A) / gammagaps.survival(H, k, a, A)
    assert abs(np.mean(gap > 2 * H) - share) < 5 * math.sqrt(share / n)
    later = gammagaps.survival(H, k, a + 1, A) / gammagaps.survival(H, k, a, A) * a / A
    assert abs(rate.mean() - later) < 5 * rate.std() / math.sqrt(n)


@pytest.mark.slow
def test_the_published_grocery_estimates_lie_on_the_ridge_of_the_likelihood(shared_data):
    """BTYDplus's posterior means (MCMC) cost less than half a nat; forecast of the year after 3,846 +- 1 %."""
    base = grocery(shared_data)
    _, gradient, hessian = KERNEL.rowwise(GROCERY, base)
    g, H = gradient.sum(axis=1), hessian.sum(axis=2)
    assert -0.5 * g @ np.linalg.solve(H, g) < 0.5
    assert KERNEL.forecast(GROCERY, base, 52.0).mean.sum() == pytest.approx(3846, rel=0.01)


def grocery(shared_data):
    import datetime as dt
    import gzip

    days = {}
    with gzip.open(shared_data("grocery_elog/grocery.csv.gz"), "rt") as lines:
        next(lines)
        for line in lines:
            who, day = line.strip().split(",")
            days.setdefault(who, set()).add(dt.date.fromisoformat(day).toordinal())
    end, table = dt.date(2006, 12, 31).toordinal(), []
    for bought in days.values():
        seen = np.array(sorted(day for day in bought if day <= end)) / 7
        table.append((len(seen) - 1, seen[-1] - seen[0], end / 7 - seen[0], np.log(np.diff(seen)).sum()))
    return rows(*table)


def test_nothing_to_do_is_done_at_once():
    nobody = Rows(*(np.zeros(0) for _ in range(4)))
    assert paretoggg.log_likelihoods(GROCERY, nobody).shape == (0,)
    assert KERNEL.forecast(GROCERY, nobody, 5.0).mean.shape == (0,)
