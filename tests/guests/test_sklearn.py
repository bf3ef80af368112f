"""A regressor learns what customers brought, from what was known before, and its bounds hold as often as they say."""

import datetime as dt
import json
import sys

import numpy as np
import pytest
from attrs import evolve

import retention as rt
from retention.errors import ConfigError, MissingExtraError, ModelError
from retention.guests import SklearnModel
from retention.guests.sklearn import FEATURES, features
from retention.histories import Histories, summarize
from retention.plugins import using
from retention.records import TransactionLog
from retention.testing import check_value_model
from retention.worlds import Shop

AS_OF = dt.date(2011, 12, 31)
CUT = dt.date(2010, 12, 31)

AHEAD = "a regressor knows nothing far beyond the horizon that it learned, and refuses"
EXPECTED = {
    "purchases_grow_with_the_horizon": AHEAD,
    "finite_for_everyone_who_can_exist": AHEAD,
    "money_in_cents_is_money": "what it learns is in the money of the log, whatever that of the histories",
}


@pytest.fixture(scope="module")
def log():
    return Shop.corner_shop(seed=1).simulate().log


@pytest.fixture(scope="module")
def base(log):
    return summarize(log, as_of=AS_OF)


@pytest.fixture(scope="module")
def linear():
    pytest.importorskip("sklearn")
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), Ridge(alpha=1.0))


@pytest.fixture(scope="module")
def fitted(log, base, linear):
    return SklearnModel(regressor=linear, log=log).fit(base)


def test_a_pipeline_keeps_the_laws_of_value_models(log, base, linear):
    few = base[::5]
    check_value_model(SklearnModel(regressor=linear, log=log), few, expected_failures=EXPECTED)


def test_the_default_regressor_keeps_them_too(log, base):
    pytest.importorskip("sklearn")
    check_value_model(SklearnModel(log=log), base[::5], expected_failures=EXPECTED)


def test_a_regressor_without_a_seed_gets_one(log, base):
    """Trees drawn at random are the same trees each time."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    recipe = SklearnModel(regressor=ensemble.ExtraTreesRegressor(8), log=log)
    first, again = (recipe.fit(base).value(base, horizon_days=365, discount_rate=0.1) for _ in range(2))
    assert first.equals(again)
    assert recipe.regressor.random_state is None


def test_what_it_is_told_was_known_on_the_day_of_the_cut(log, base, fitted):
    """Whatever happens after the cut, only what it is to forecast changes; and what is after today changes nothing."""
    tripled = evolve(log, revenue=log.revenue.times(1.0), margin=log.margin)
    later = log.day > np.datetime64(CUT)
    dearer = np.where(later, 3, 1) * tripled.margin.minor
    other = evolve(log, margin=evolve(log.margin, minor=dearer))
    refitted = SklearnModel(regressor=fitted.regressor, log=other).fit(base)
    width = len(FEATURES)
    for mine, theirs in ((fitted.learned, refitted.learned), (fitted.judged, refitted.judged)):
        assert np.array_equal(mine[:, : width + 2], theirs[:, : width + 2])
        assert not np.array_equal(mine[:, -1], theirs[:, -1])
    early = summarize(log, as_of=CUT)
    asked = SklearnModel(regressor=fitted.regressor, log=log, horizon_days=182)
    known = SklearnModel(regressor=fitted.regressor, log=log.until(CUT), horizon_days=182)
    assert np.array_equal(asked.fit(early).learned, known.fit(early).learned)


def test_what_it_learns_is_what_came(log, base, fitted):
    """Purchase days and margin of the year, counted line by line."""
    lines = log.until(AS_OF)
    inside = (lines.day > np.datetime64(CUT)) & ~lines.is_cancelled
    then = summarize(log.until(CUT), as_of=CUT, habits=False)
    mine = np.isin(lines.customers.text(), then.customer_id) & inside
    money = float(lines.margin.to_float()[mine].sum())
    bought = mine & ~lines.is_return
    visits = len({(who, day) for who, day in zip(lines.customers.text()[bought], lines.day[bought], strict=True)})
    told = np.concatenate([fitted.learned, fitted.judged])
    assert len(told) == len(then)
    assert told[:, -1].sum() == pytest.approx(money, rel=1e-9)
    assert told[:, -3].sum() == visits


def test_a_regressor_that_knows_the_rule_forecasts_it():
    """Customers who bring 10 a week and come every week bring 520 a year more, forecast to a per mille."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    start, weeks = np.datetime64("2010-01-04"), np.arange(104)
    sums = np.linspace(5, 15, 60)
    log = TransactionLog.from_arrays(
        customer_id=np.repeat([f"k{i:02d}" for i in range(60)], 104),
        at=np.tile(start + 7 * weeks.astype("timedelta64[D]"), 60),
        revenue=np.repeat(np.round(sums, 2), 104),
    )
    base = summarize(log, as_of=(start + np.timedelta64(7 * 104 - 1, "D")).item())
    model = SklearnModel(regressor=linear_model.LinearRegression(), log=log, horizon_days=364).fit(base)
    worth = model.value(base, horizon_days=364, discount_rate=0.0)
    assert worth.value == pytest.approx(52 * np.round(sums, 2), rel=1e-3)
    assert worth.expected_purchases == pytest.approx(np.full(60, 52.0), abs=0.01)
    assert model.p_alive(base) == pytest.approx(np.ones(60), abs=0.01)


def test_bounds_hold_as_often_as_they_say():
    """Forecasts of one half of the customers, by a model that saw the other half alone.

    Conformal bounds of 80 % hold for 80 % or a little more: of 7 shops with some 200 judged customers each, whose
    errors were ranked among some 50, the mean has a standard error below 0.025; 0.72 is missed once in a thousand.
    """
    ensemble = pytest.importorskip("sklearn.ensemble")
    regressor = ensemble.ExtraTreesRegressor(15, min_samples_leaf=5, random_state=1)
    held = []
    for seed in range(7):
        log = Shop.corner_shop(seed=seed).simulate().log
        everyone = summarize(log, as_of=AS_OF, habits=False)
        first, second = everyone[::2], everyone[1::2]
        model = SklearnModel(regressor=regressor, log=log).fit(first)
        then = summarize(log.until(CUT), as_of=CUT, habits=False)
        then = then[np.isin(then.customer_id, second.customer_id)]
        worth = model.value(then, horizon_days=365, discount_rate=0.0, interval=0.80)
        came = second.margin[np.searchsorted(second.customer_id, then.customer_id)] - then.margin
        held.append(np.mean((worth.value_low <= came) & (came <= worth.value_high)))
    assert 0.72 < np.mean(held) < 0.92


def test_no_purchase_day_brings_more_than_twice_a_usual_one(log, base):
    """Counts and margins are forecasts of their own; a margin over a count of next to nothing would be no price."""
    pytest.importorskip("sklearn")
    model = SklearnModel(log=log).fit(base)
    worth = model.value(base, horizon_days=365, discount_rate=0.1)
    days, margin = model.learned[:, -3], model.learned[:, -1]
    middle = np.median(np.abs(margin[days > 0]) / days[days > 0])
    usual = np.maximum(np.abs(base.margin) / (base.frequency + 1), middle)
    count, money = (model._said(which, base) for which in (0, 2))
    absurd = np.abs(money) > 2 * usual * np.maximum(count, 1e-6)
    assert absurd.any(), "some would have had such a price"
    assert (np.abs(worth.margin_mean) <= 2 * usual * (1 + 1e-12)).all()
    assert worth.expected_margin == pytest.approx(worth.expected_purchases * worth.margin_mean)
    assert worth.expected_margin == pytest.approx(money), "the margin is what was asked for, and stays"
    assert worth.expected_purchases[~absurd] == pytest.approx(np.maximum(count, 1e-6)[~absurd])
    assert np.array_equal(worth.expected_purchases, model.expected_purchases(base, 365))


@pytest.mark.parametrize("interval", [0.05, 0.9])
def test_bounds_include_the_forecast_even_where_all_held_out_were_overrated(base, fitted, interval):
    for shift in (-5.0, 5.0):
        leaning = evolve(fitted, errors=np.sort(fitted._errors + shift))
        worth = leaning.value(base, horizon_days=365, discount_rate=0.1, interval=interval)
        assert (worth.value_low <= worth.value).all()
        assert (worth.value <= worth.value_high).all()


def test_other_horizons_are_in_proportion_and_far_ones_are_refused(base, fitted):
    half, whole = (fitted.value(base, horizon_days=days, discount_rate=0.0) for days in (182.5, 365.0))
    assert half.value == pytest.approx(whole.value / 2)
    widths = [one.value_high - one.value for one in (half, whole)]
    assert (widths[0] >= widths[1] / 2 - 1e-9).all()
    assert any("in proportion" in note for note in half.provenance.notes)
    assert fitted.expected_purchases(base, 730.0) == pytest.approx(2 * fitted.expected_purchases(base, 365.0))
    with pytest.raises(ConfigError, match="731 days ahead"):
        fitted.expected_purchases(base, 731.0)


def test_it_is_stored_without_pickle_and_read_with_the_same_numbers(base, fitted):
    told = json.loads(json.dumps(fitted.to_dict()))
    again = type(fitted).from_dict(told)
    assert again.value(base, horizon_days=365, discount_rate=0.1).equals(
        fitted.value(base, horizon_days=365, discount_rate=0.1)
    )
    assert not any(f'"{who}"' in json.dumps(told) for who in base.customer_id)


def test_what_was_tampered_with_is_refused(fitted):
    told = fitted.to_dict()
    with pytest.raises(ModelError, match="only estimators of scikit-learn"):
        type(fitted).from_dict({**told, "regressor": {"class": "os.system", "params": {}}})
    with pytest.raises(ModelError, match="only estimators of scikit-learn"):
        type(fitted).from_dict({**told, "regressor": {"class": "sklearn.utils.deprecated", "params": {}}})
    with pytest.raises(ModelError, match="forecasts otherwise"):
        type(fitted).from_dict({**told, "errors": [error + 1 for error in told["errors"]]})


def test_a_strangers_regressor_works_but_is_not_stored(log, base):
    dummy = pytest.importorskip("sklearn.dummy")

    class Mine(dummy.DummyRegressor):
        pass

    model = SklearnModel(regressor=Mine(), log=log).fit(base)
    assert np.unique(model.value(base, horizon_days=365, discount_rate=0.0).value).size == 1
    with pytest.raises(ModelError, match="Mine"):
        model.to_dict()


def test_it_says_what_it_needs(log, base):
    pytest.importorskip("sklearn")
    with pytest.raises(ConfigError, match="without a log"):
        SklearnModel().fit(base)
    with pytest.raises(ConfigError, match="as-of date"):
        SklearnModel(log=log).fit(Histories.from_arrays(frequency=[1], recency_days=[3], age_days=[5]))
    with pytest.raises(ConfigError, match="customers known 365 days before"):
        SklearnModel(log=log).fit(base[:10])
    with pytest.raises(ConfigError, match="regressor of type str"):
        SklearnModel(regressor="forest")
    for more in ({"horizon_days": 0}, {"horizon_days": 10**7}, {"horizon_days": True}, {"held_out": "x"}):
        with pytest.raises(ConfigError, match="whole number of days"):
            SklearnModel(**more)
    for share in (1e-9, 0.999999):
        with pytest.raises(ConfigError, match="leaves 0 on one side"):
            SklearnModel(log=log, held_out=share).fit(base)
    with pytest.raises(ConfigError, match="days before 2011"):
        SklearnModel(log=log, horizon_days=36_500).fit(base)


def test_what_is_no_regressor_and_no_probability_is_refused(log, base, fitted):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    for classifier in (LogisticRegression(), make_pipeline(LogisticRegression())):
        with pytest.raises(ConfigError, match="a classifier, LogisticRegression"):
            SklearnModel(regressor=classifier, log=log).fit(base)
    for interval in (0.0, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="interval="):
            fitted.value(base, horizon_days=365, discount_rate=0.1, interval=interval)


def test_without_the_library_the_error_names_the_extra(log, base, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match="'sklearn'"):
        SklearnModel(log=log).fit(base)


def test_it_is_a_model_like_any_other(log, base, linear):
    """rt.appraise takes it as an object, and by name where it is on board; features are all finite."""
    model = SklearnModel(regressor=linear, log=log, name="our-ridge")
    worth = rt.appraise(base, model=model)
    assert worth.model == "our-ridge"
    with using(model, installed=False) as registry:
        assert ["our-ridge" in registry.names(kind) for kind in ("value_model", "timing")] == [True, False]
        assert rt.appraise(base, model="our-ridge").equals(worth)


def test_by_name_it_is_given_the_log(log, base):
    assert rt.appraise(base, model="sklearn", log=log).model == "sklearn"
    with pytest.raises(ConfigError, match="log"):
        rt.appraise(base, model="sklearn")
    with pytest.raises(ConfigError, match="learns from one"):
        rt.appraise(base, model="bg-nbd", log=log)
    night = rt.Program(model="sklearn", clock="lifelines", policies=["consent"]).run(log)
    assert night.worth.model == "sklearn"


def test_features_are_finite(base):
    told = features(base)
    assert told.shape == (len(base), len(FEATURES))
    assert np.isfinite(told).all()
