"""Contracts: tenures from what a firm has, published fits, planted effects, honest intervals, plain refusals."""

import calendar
import copy
import datetime as dt
import json
import math
import pickle

import numpy as np
import pytest
from attrs import evolve

from retention.domain import Contract
from retention.errors import ConfigError, ModelError, RetentionError
from retention.records import Contracts
from retention.value.contracts.fitted import FittedContracts
from retention.value.contracts.models import (
    BetaDiscreteWeibull,
    DiscreteWeibull,
    ShiftedBetaGeometric,
)
from retention.value.contracts.tenures import Tenures

REGULAR = (1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173)
HIGH_END = (1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394)
MODELS = (ShiftedBetaGeometric, BetaDiscreteWeibull, DiscreteWeibull)


def simulated(n, seed, alpha=1.0, beta=4.0, effects=(0.0, 0.0), seen=8):
    """Customers who follow the sBG with a covariate on both parameters, each watched for 1 to ``seen`` decisions;
    their renewals in the far future as well."""
    rng = np.random.default_rng(seed)
    z = rng.normal(3.0, 2.0, n)
    churn = rng.beta(alpha * np.exp(effects[0] * z), beta * np.exp(effects[1] * z))
    lived = np.where(churn < 1e-12, 10**6, rng.geometric(np.maximum(churn, 1e-12)) - 1)
    watched = rng.integers(1, seen + 1, n)
    renewals = np.minimum(lived, watched)
    base = Tenures.from_arrays(renewals=renewals, ended=lived < watched, covariates={"z": z})
    return base, lived - renewals


class TestTenures:
    def test_a_published_cohort_is_read_as_printed(self):
        cohort = Tenures.from_survivors(HIGH_END[:5])
        assert cohort.customers == 1000
        assert cohort.ended.tolist() == [True] * 4 + [False]
        assert cohort.observed_survival() == pytest.approx(np.array(HIGH_END[:5]) / 1000)

    def test_a_cohort_s_table_and_its_customers_one_by_one_say_the_same(self):
        table = Tenures.from_survivors((50, 40, 35, 33))
        each = Tenures.from_arrays(renewals=[0] * 10 + [1] * 5 + [2] * 2 + [3] * 33, ended=[True] * 17 + [False] * 33)
        one, two = ShiftedBetaGeometric().fit(table), ShiftedBetaGeometric().fit(each)
        assert one.log_likelihood == pytest.approx(two.log_likelihood, rel=1e-13)
        assert one.params == pytest.approx(two.params, rel=1e-9)

    @pytest.mark.parametrize(
        ("started", "ended", "renewals", "over"),
        [
            ("2024-01-31", None, 5, False),  # due on the last days of Feb to June, the as-of day included
            ("2024-01-31", "2024-02-29", 0, True),  # ended on the day of the first renewal: did not make it
            ("2024-01-31", "2024-03-05", 1, True),  # ended in the second month: it was paid for
            ("2024-01-31", "2024-03-31", 1, True),
            ("2024-01-31", "2024-08-31", 5, False),  # an end after the as-of day is not known yet
            ("2024-06-30", None, 0, False),
            ("2024-03-01", "2024-03-01", 0, True),
        ],
    )
    def test_renewals_are_counted_from_dates(self, started, ended, renewals, over):
        contract = Contract(
            customer_id="a",
            started=dt.date.fromisoformat(started),
            ended=None if ended is None else dt.date.fromisoformat(ended),
        )
        base = Tenures.from_contracts([contract], as_of=dt.date(2024, 6, 30), period="month")
        assert (base.renewals[0], base.ended[0]) == (renewals, over)

    def test_periods_may_be_days_quarters_or_years(self):
        contract = Contract(customer_id="a", started=dt.date(2020, 2, 29))
        for period, count in ((14, 104), ("quarter", 16), ("year", 4)):
            base = Tenures.from_contracts(iter([contract]), as_of=dt.date(2024, 2, 29), period=period)
            assert base.renewals.tolist() == [count], period

    def test_a_table_of_contracts_counts_as_its_contracts_do_one_by_one(self):
        """Counted again here month by month with the calendar, for contracts of all lengths and both month ends."""
        rng = np.random.default_rng(0)
        start = np.datetime64("2020-01-01") + rng.integers(0, 1400, 300)
        end = start + rng.integers(0, 900, 300)
        table = Contracts.from_arrays(customer_id=np.arange(300).astype(str), start=start, end=end, as_of="2024-02-29")
        base = Tenures.from_contracts(table, period="month")
        single = [table.row(i) for i in range(len(table))]
        again = Tenures.from_contracts(single, as_of=dt.date(2024, 2, 29), period="month")
        assert base.equals(again)
        for contract in single:
            due = 0
            while True:
                year, month = divmod(contract.started.month - 1 + due + 1, 12)
                last = calendar.monthrange(contract.started.year + year, month + 1)[1]
                day = dt.date(contract.started.year + year, month + 1, min(contract.started.day, last))
                over = contract.ended is not None and contract.ended <= dt.date(2024, 2, 29)
                if day > (contract.ended if over else dt.date(2024, 2, 29)) or (over and day == contract.ended):
                    break
                due += 1
            assert base.customer(contract.customer_id)["renewals"] == due

    def test_contracts_watched_only_from_a_later_age_and_second_contracts_are_refused(self):
        late = Contracts.from_arrays(
            customer_id=["a"], start=["2019-01-01"], end=[None], as_of="2021-01-01", observed_from="2020-01-01"
        )
        with pytest.raises(RetentionError, match="began before ends were on file"):
            Tenures.from_contracts(late, period="month")
        two = Contracts.from_arrays(
            customer_id=["a", "a"], start=["2020-01-01", "2020-07-01"], end=["2020-06-30", None], as_of="2021-01-01"
        )
        with pytest.raises(RetentionError, match="relationships"):
            Tenures.from_contracts(two, period="month")
        assert Tenures.from_contracts(two.relationships(), period="month").renewals.tolist() == [12]
        with pytest.raises(RetentionError, match="without as_of"):
            Tenures.from_contracts([two.row(0)], period="month")

    def test_covariates_travel_and_contracts_that_have_not_begun_are_named(self):
        day = dt.date(2024, 1, 1)
        contracts = [Contract(customer_id=who, started=day) for who in "ba"]
        contracts.append(Contract(customer_id="later", started=dt.date(2025, 1, 1)))
        base = Tenures.from_contracts(
            contracts, as_of=dt.date(2024, 7, 1), period="month", covariates={"a": {"z": 1.0}, "b": {"z": 2.0}}
        )
        assert base["z"].tolist() == [1.0, 2.0]
        assert base[base.customer_id == "b"]["z"].tolist() == [2.0]
        assert "1 contracts begin after" in base.provenance.notes[0]
        assert base.customer("b")["renewals"] == 6

    @pytest.mark.parametrize(
        "make",
        [
            lambda: Tenures.from_survivors([100, 101]),
            lambda: Tenures.from_survivors([]),
            lambda: Tenures.from_survivors([100, -1]),
            lambda: Tenures.from_survivors([100, math.nan]),
            lambda: Tenures.from_arrays(renewals=[0.5], ended=[True]),
            lambda: Tenures.from_arrays(renewals=[-1], ended=[True]),
            lambda: Tenures.from_arrays(renewals=[1], ended=[2]),
            lambda: Tenures.from_arrays(renewals=[1], ended=[True], weight=[-1]),
            lambda: Tenures.from_arrays(renewals=[1, 2], ended=[True]),
            lambda: Tenures.from_arrays(renewals=[1, 2], ended=[True, True], customer_id=["a", "a"]),
            lambda: Tenures.from_arrays(renewals=[1], ended=[True], covariates={"z": [math.nan]}),
            lambda: Tenures.from_arrays(renewals=[1], ended=[True], covariates={"z": [1.0, 2.0]}),
            lambda: Tenures.from_arrays(renewals=[1], ended=[True], covariates={"weight": [1.0]}),
            lambda: Tenures.from_survivors([3, 2]) | Tenures.from_survivors([3, 2]),
            lambda: Tenures.from_survivors([3, 2]) | Tenures.from_survivors([3, 2], name="b", covariates={"z": 1}),
            lambda: Tenures.from_contracts([], as_of=dt.date(2024, 1, 1), period="fortnight"),
            lambda: Tenures.from_contracts(
                [Contract(customer_id="a", started=dt.date(2024, 1, 1))] * 2, as_of=dt.date(2025, 1, 1), period="month"
            ),
            lambda: Tenures.from_contracts(
                [Contract(customer_id="a", started=dt.date(2024, 1, 2), ended=dt.date(2024, 1, 1))],
                as_of=dt.date(2025, 1, 1),
                period="month",
            ),
            lambda: Tenures.from_contracts(
                [Contract(customer_id=who, started=dt.date(2024, 1, 1)) for who in "ab"],
                as_of=dt.date(2025, 1, 1),
                period="month",
                covariates={"a": {"z": 1.0}},
            ),
        ],
    )  # fmt: skip
    def test_what_cannot_be_is_one_clear_error(self, make):
        with pytest.raises(RetentionError) as caught:
            make()
        assert caught.value.remedy


@pytest.mark.parametrize(
    ("model", "survivors", "used", "value"),
    [
        (ShiftedBetaGeometric, REGULAR, 7, -1680.2652),
        (ShiftedBetaGeometric, HIGH_END, 7, -1611.1581),
        (BetaDiscreteWeibull, REGULAR, 7, -1679.6028),
        (BetaDiscreteWeibull, HIGH_END, 7, -1605.3142),
        (BetaDiscreteWeibull, REGULAR, 4, -1401.3831),
        (BetaDiscreteWeibull, HIGH_END, 4, -1222.7493),
        (DiscreteWeibull, REGULAR, 4, -1404.0082),
        (DiscreteWeibull, HIGH_END, 4, -1226.5489),
        (BetaDiscreteWeibull, HIGH_END, 12, -2004.8169),
    ],
)
def test_published_fits_come_back_with_errors_and_without_complaint(model, survivors, used, value):
    fitted = model().fit(Tenures.from_survivors(survivors[: used + 1]))
    assert round(fitted.log_likelihood, 4) == value
    assert fitted.diagnosis == ""
    assert all(0 < error < math.inf for error in fitted.standard_errors.values())


def test_year_twelve_is_told_from_year_four():
    """High End, .394 there: the sBG says .307, the BdW .389 (Fader et al. 2018)."""
    cohort = Tenures.from_survivors(HIGH_END[:5])
    assert round(float(ShiftedBetaGeometric().fit(cohort).survival(12)), 3) == 0.307
    assert round(float(BetaDiscreteWeibull().fit(cohort).survival(12)), 3) == 0.389


def test_survival_and_retention_are_the_same_thing_twice():
    model = BetaDiscreteWeibull().at(alpha=0.26, beta=1.72, c=1.58)
    assert model.survival(0) == 1.0
    assert np.cumprod(model.retention_rates(range(1, 13))) == pytest.approx(model.survival(range(1, 13)), rel=1e-13)


def test_planted_effects_of_a_covariate_are_found():
    """20,000 customers, effects on both parameters: each of four within 4 standard errors (1 seed in 4,000 fails)."""
    base, _ = simulated(20_000, seed=1, effects=(0.25, -0.10))
    fitted = ShiftedBetaGeometric(covariates=["z"]).fit(base)
    assert fitted.diagnosis == ""
    for name, true in {"alpha": 1.0, "beta": 4.0, "alpha:z": 0.25, "beta:z": -0.10}.items():
        assert abs(fitted.params[name] - true) < 4 * fitted.standard_errors[name], name
    plain = ShiftedBetaGeometric().fit(base)
    assert fitted.log_likelihood - plain.log_likelihood > 50


def test_a_covariate_s_unit_and_origin_change_its_effect_and_nothing_else():
    base, _ = simulated(3_000, seed=2, effects=(0.3, 0.0))
    moved = evolve(base, covariates={"z": 100 * base["z"] - 7})
    recipe = ShiftedBetaGeometric(covariates=["z"])
    one, two = recipe.fit(base), recipe.fit(moved)
    assert one.log_likelihood == pytest.approx(two.log_likelihood, rel=1e-12)
    assert two.params["alpha:z"] == pytest.approx(one.params["alpha:z"] / 100, rel=1e-6)
    assert two.standard_errors["alpha:z"] == pytest.approx(one.standard_errors["alpha:z"] / 100, rel=1e-5)
    ask = {"discount_rate": 0.1, "periods_per_year": 1}
    np.testing.assert_allclose(
        one.expected_residual_lifetime(base, **ask), two.expected_residual_lifetime(moved, **ask), rtol=1e-6
    )


def test_rows_in_any_order_and_merged_give_the_same_fit():
    base, _ = simulated(2_000, seed=3, effects=(0.2, 0.0))
    base = evolve(base, covariates={"z": np.rint(base["z"])})
    recipe = ShiftedBetaGeometric(covariates=["z"])
    mixed = base[np.random.default_rng(0).permutation(len(base))]
    assert recipe.fit(base).params == recipe.fit(mixed).params


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("base", "reason"),
    [
        (Tenures.from_arrays(renewals=[3, 5, 2], ended=[False] * 3), "nobody has ended yet"),
        (Tenures.from_arrays(renewals=[0] * 40, ended=[True] * 40), "all ended at decision 1"),
        (Tenures.from_survivors([100, 60]), "only one renewal decision was seen"),
        (Tenures.from_arrays(renewals=[], ended=[]), "there are no customers"),
    ],
)
def test_a_fit_that_the_data_cannot_decide_says_so_and_why(model, base, reason):
    fitted = model().fit(base)
    assert "no clear maximum" in fitted.diagnosis
    assert reason in fitted.diagnosis
    assert all(math.isfinite(value) for value in fitted.params.values())
    assert any(math.isnan(error) for error in fitted.standard_errors.values())
    worth = fitted.value(Tenures.from_arrays(renewals=[1], ended=[False]), 10.0, discount_rate=0.1, periods_per_year=12)
    assert 0 <= worth.value_low[0] <= worth.value_high[0] < math.inf
    assert any(reason in note for note in worth.provenance.notes)


@pytest.mark.parametrize(
    ("columns", "told"),
    [({"z": "constant"}, "z has one value only"), ({"z": "own", "y": "twice"}, "alpha:z, alpha:y")],
)
def test_a_covariate_that_the_data_cannot_tell_is_named(columns, told):
    base, _ = simulated(2_000, seed=4)
    own = base["z"]
    kinds = {"constant": np.full(len(own), 4.0), "own": own, "twice": 2 * own + 1}
    base = evolve(base, covariates={name: kinds[kind] for name, kind in columns.items()})
    fitted = ShiftedBetaGeometric(covariates=tuple(columns)).fit(base)
    assert "no clear maximum" in fitted.diagnosis
    assert told in fitted.diagnosis
    assert all(math.isnan(fitted.standard_errors[f"alpha:{name}"]) for name in columns)


def test_customers_who_are_all_alike_are_told_from_a_fit():
    """Everybody ends with chance .3, and the counts are just those expected: alpha and beta may grow for ever."""
    fitted = ShiftedBetaGeometric().fit(Tenures.from_survivors(300 * 0.7 ** np.arange(7)))
    assert "alpha, beta not identified" in fitted.diagnosis
    assert float(fitted.survival(3)) == pytest.approx(0.7**3, abs=0.06)


def test_published_residual_lifetimes_come_back_and_the_moment_of_payment_is_told():
    """Fader and Hardie 2010, Table 3 (just before the decision); just after the last one it is a period further off."""
    base = Tenures.from_arrays(renewals=range(5), ended=[False] * 5)
    model = ShiftedBetaGeometric().at(alpha=1 / 15, beta=4 / 15)
    before = model.expected_residual_lifetime(base, discount_rate=0.1, periods_per_year=1)
    assert before.round(2).tolist() == [7.68, 9.46, 9.86, 10.06, 10.19]
    after = model.expected_residual_lifetime(base, discount_rate=0.1, periods_per_year=1, until_renewal=1.0)
    assert after == pytest.approx(before / 1.1, rel=1e-13)
    signing_up = model.expected_lifetime(discount_rate=0.1, periods_per_year=1)
    assert signing_up == pytest.approx(1 + after[0], rel=1e-13)
    monthly = model.expected_residual_lifetime(base, discount_rate=1.1**12 - 1, periods_per_year=12)
    assert monthly == pytest.approx(before, rel=1e-12)


def test_value_is_what_simulated_customers_bring():
    """Margins 12 a month, 40,000 customers: the mean within 4 standard errors."""
    base, further = simulated(40_000, seed=5)
    model = ShiftedBetaGeometric().at(alpha=1.0, beta=4.0)
    ask = {"discount_rate": 0.10, "periods_per_year": 12, "until_renewal": 0.5}
    worth = model.value(base, 12.0, horizon_periods=36, **ask)
    d = 1.1 ** (-1 / 12)
    real = 12 * math.sqrt(d) * (1 - d ** np.minimum(further, 36)) / (1 - d)
    there = ~base.ended
    assert abs((real - worth.value)[there].mean()) < 4 * real[there].std() / math.sqrt(there.sum())
    assert np.all(worth.value[base.ended] == 0)
    low, high = model.total_interval(base, 12.0, horizon_periods=36, **ask)
    assert low < real[there].sum() < high
    assert low < worth.total() < high
    assert np.all(np.diff([low, worth.total(), high]) < 0.03 * worth.total())


def test_one_customer_s_bounds_are_quantiles_of_what_she_brings():
    """No horizon, 40,000 customers: beyond each bound of a 90 % interval at most 5 %, and not much less, although a
    count of renewals has no exact quantile (the slack is 4 standard errors, .006)."""
    base, further = simulated(40_000, seed=10, alpha=1.5, beta=30.0)
    worth = ShiftedBetaGeometric().at(alpha=1.5, beta=30.0).value(base, 2.0, discount_rate=0.10, periods_per_year=12)
    d = 1.1 ** (-1 / 12)
    real = 2 * (1 - d**further) / (1 - d)
    there = ~base.ended
    assert 0.03 < np.mean((real > worth.value_high)[there]) < 0.056
    above_nothing = there & (worth.value_low > 0)
    assert above_nothing.sum() > 1_000
    assert 0.01 < np.mean((real < worth.value_low)[above_nothing]) < 0.056


@pytest.mark.parametrize("n", [60, 500])
def test_intervals_of_totals_hold_when_the_parameters_are_learnt(n):
    """Nominal 90 %, 60 bases: three binomial standard errors, and a little for what sixty customers cannot tell."""
    held = []
    for seed in range(60):
        base, further = simulated(n, 900 + seed)
        d = 1.1 ** (-1 / 12)
        real = np.sum((1 - d ** np.minimum(further, 12)) / (1 - d) * ~base.ended)
        low, high = (
            ShiftedBetaGeometric()
            .fit(base)
            .total_interval(base, 1.0, horizon_periods=12, discount_rate=0.10, periods_per_year=12)
        )
        held.append(low <= real <= high)
    slack = 3 * math.sqrt(0.09 / 60)
    assert 0.90 - slack - (0.05 if n < 100 else 0) <= np.mean(held) <= 1.0


def test_losses_turn_the_bounds_around_and_weights_count():
    base = Tenures.from_arrays(renewals=[2, 2], ended=[False, False], weight=[3.0, 1.0])
    model = ShiftedBetaGeometric().at(alpha=1.0, beta=4.0)
    worth = model.value(base, [5.0, -5.0], discount_rate=0.1, periods_per_year=12)
    assert worth.value[0] == -worth.value[1]
    assert (worth.value_low[1], worth.value_high[1]) == (-worth.value_high[0], -worth.value_low[0])
    assert worth.total() == pytest.approx(2 * worth.value[0])


def test_a_stored_model_gives_the_same_numbers_and_strangers_are_refused():
    base, _ = simulated(500, seed=6, effects=(0.2, 0.1))
    fitted = BetaDiscreteWeibull(covariates=["z"]).fit(base)
    stored = json.loads(json.dumps(fitted.to_dict()))
    again = FittedContracts.from_dict(stored)
    assert again == fitted
    ask = {"discount_rate": 0.1, "periods_per_year": 4}
    assert again.value(base, 3.0, **ask).equals(fitted.value(base, 3.0, **ask))
    for change in ({"format": 99}, {"model": "unheard-of"}, {"more": 1}):
        with pytest.raises(ModelError):
            FittedContracts.from_dict({**stored, **change})


@pytest.mark.parametrize(
    "broken",
    [
        {"recipe": None},
        {"recipe": {"prior": {"alpha": [1]}}},
        {"recipe": {"penalty": "much"}},
        {"theta": [None, 0.0]},
        {"theta": [math.nan, 0.0]},
        {"theta": [1e4, 0.0]},
        {"theta": [0.0]},
        {"doubt": [[0.0]]},
        {"doubt": [[0.0, math.inf]]},
        {"doubt": None},
        {"estimate": {"spread": [[1.0]]}},
        {"estimate": {"spread": [[1.0, 0.0], [0.0, math.nan]]}},
        {"estimate": {"unheard": 1}},
        None,
    ],
    ids=str,
)
def test_a_stored_model_that_was_tampered_with_is_refused(broken):
    stored = ShiftedBetaGeometric().fit(Tenures.from_survivors([50, 40, 33, 29])).to_dict()
    data = None
    if broken is not None:
        data = stored | {k: stored[k] | v if isinstance(v, dict) else v for k, v in broken.items()}
    with pytest.raises(ModelError):
        FittedContracts.from_dict(data)


def test_covariates_can_be_neither_written_nor_exchanged():
    base, _ = simulated(20, seed=1)
    for same in (base, base[3:], copy.deepcopy(base), pickle.loads(pickle.dumps(base))):
        with pytest.raises(TypeError):
            same.covariates["z"] = np.zeros(len(same))
        with pytest.raises(ValueError, match="read-only"):
            same.covariates["z"][0] = 1.0
        assert same.equals(base[20 - len(same) :])


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda m, b: m.at(alpha=1.0), ModelError),
        (lambda m, b: m.at(alpha=1.0, beta=-2.0), ModelError),
        (lambda m, b: m.at(alpha=1.0, beta=2.0, gamma=3.0), ModelError),
        (lambda m, b: evolve(m, covariates=["z"]).at(alpha=1.0, beta=2.0), ModelError),
        (lambda m, b: evolve(m, covariates=["z"]).fit(b), ModelError),
        (lambda m, b: evolve(m, covariates=["z", "z"]), ConfigError),
        (lambda m, b: m.at(alpha=1.0, beta=2.0).survival(1.5), ConfigError),
        (lambda m, b: m.at(alpha=1.0, beta=2.0).retention_rates(0), ConfigError),
        (lambda m, b: m.at(alpha=1.0, beta=2.0).survival(1, {"z": 1.0}), ConfigError),
        (lambda m, b: m.at(alpha=1.0, beta=2.0).expected_lifetime(discount_rate=0.0, periods_per_year=1), ConfigError),
        (lambda m, b: m.at(alpha=1.0, beta=2.0).expected_lifetime(discount_rate=0.1, periods_per_year=0), ConfigError),
        (
            lambda m, b: m.at(alpha=1.0, beta=2.0).value(b, [1, 2], discount_rate=0.1, periods_per_year=1),
            ConfigError,
        ),
        (
            lambda m, b: m.at(alpha=1.0, beta=2.0).value(b, 1, discount_rate=0.1, periods_per_year=1, interval=1.0),
            ConfigError,
        ),
        (
            lambda m, b: m.at(alpha=1.0, beta=2.0).value(b, 1, discount_rate=0.1, periods_per_year=1, until_renewal=2),
            ConfigError,
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(ask, error):
    with pytest.raises(error) as caught:
        ask(ShiftedBetaGeometric(), Tenures.from_survivors([10, 6, 5]))
    assert caught.value.remedy


def test_the_picture_shows_data_model_and_where_the_data_end():
    cohort = Tenures.from_survivors(HIGH_END[:8])
    ax = BetaDiscreteWeibull().fit(cohort).plot(cohort, periods=12)
    line, dots, end = ax.get_lines()
    assert len(line.get_xdata()) == 13
    assert dots.get_ydata()[:3] == pytest.approx([100, 86.9, 74.3])
    assert end.get_xdata()[0] == 7
    base, _ = simulated(300, seed=7, effects=(0.2, 0.0))
    drawn = ShiftedBetaGeometric(covariates=["z"]).fit(base).plot(base).get_lines()[0]
    assert drawn.get_ydata()[0] == pytest.approx(100)
    assert np.all(np.diff(drawn.get_ydata()) < 0)


def test_dropping_the_customers_who_stayed_makes_everybody_leave():
    """Wrong on purpose: without right-censoring survival comes out far too low."""
    base, _ = simulated(4_000, seed=9)
    right = ShiftedBetaGeometric().fit(base)
    wrong = ShiftedBetaGeometric().fit(base[base.ended])
    true = float(ShiftedBetaGeometric().at(alpha=1.0, beta=4.0).survival(6))
    assert float(right.survival(6)) == pytest.approx(true, abs=0.03)
    assert float(wrong.survival(6)) < true - 0.2
