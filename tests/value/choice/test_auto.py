"""The model that is chosen: by what it predicts of others, and not beyond what the data can tell."""

import csv
import datetime as dt
import gzip
import json

import numpy as np
import pytest

import retention as rt
from retention.errors import ConfigError, ModelError
from retention.histories import Histories, summarize
from retention.records import TransactionLog
from retention.testing import check_value_model
from retention.value import BGNBD, MBGNBD, FittedPurchases
from retention.value.choice.auto import AutoModel, leave_one_out
from retention.value.purchases.bgbb import BGBB
from retention.value.purchases.nbd import NBD
from retention.value.purchases.paretonbd import ParetoNBD
from retention.value.valuation import ValueModel

AWAY = {"bg-nbd", "mbg-nbd", "pareto-nbd"}  # the models in which customers leave


def read(path, who, money=None):
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    spent = np.ones(len(rows)) if money is None else [row[money] for row in rows]
    return TransactionLog.from_arrays(
        customer_id=[row[who] for row in rows], at=[row["date"] for row in rows], revenue=spent
    )


def made_by(model, params, n, seed):
    """A base that a model made, in whole days, with a mean margin for who came back."""
    rng = np.random.default_rng(seed)
    rows = model.kernel().simulate(params, rng.integers(20, 80, n).astype(float), rng)
    return Histories.from_arrays(
        frequency=rows.x,
        recency_days=np.where(rows.x > 0, np.maximum(np.rint(rows.t_x * 7), 1), 0),
        age_days=np.rint(rows.T * 7),
        margin_mean=np.where(rows.x > 0, np.round(rng.gamma(4.0, 8.0, n), 2), 0.0),
    )


def test_it_is_a_value_model_like_any_other():
    """It keeps every law of value models, through whatever it chooses."""
    assert isinstance(AutoModel(), ValueModel)
    assert AutoModel().name == "auto"
    check_value_model(AutoModel(candidates=[MBGNBD(), NBD()]))


def test_it_has_no_parameters_of_its_own():
    with pytest.raises(ModelError, match="auto at r"):
        AutoModel().at(r=1.0)


@pytest.mark.parametrize("model", [NBD(), BGNBD(), ParetoNBD()])
def test_leave_one_out_is_what_leaving_one_out_gives(model):
    """60 fits without one customer each: the sum within a quarter nat, nobody off by more than a fifth."""
    base = made_by(model, {"nbd": (0.8, 8.0), "bg-nbd": (0.9, 6.0, 0.6, 1.2),
                           "pareto-nbd": (1.2, 6.0, 0.9, 15.0)}[model.name], 60, seed=11)  # fmt: skip
    quick = leave_one_out(model.fit(base), base)
    slow = [
        float(model.fit(base[np.arange(60) != i]).log_likelihoods(base[[i]])[0] - base.frequency[i] * np.log(7))
        for i in range(60)
    ]
    inside = model.fit(base).log_likelihoods(base) - base.frequency * np.log(7)
    assert inside.sum() > quick.sum()  # hindsight
    assert abs(quick.sum() - sum(slow)) < 0.25
    assert np.abs(quick - slow).max() < 0.2


def test_hindsight_costs_about_one_nat_a_parameter():
    """For the right model with many customers: expectation 4, standard deviation below 1 (Akaike)."""
    base = made_by(BGNBD(), (0.9, 6.0, 0.6, 1.2), 1500, seed=3)
    fitted = BGNBD().fit(base)
    inside = fitted.log_likelihoods(base) - base.frequency * np.log(7)
    assert inside.sum() - leave_one_out(fitted, base).sum() == pytest.approx(4, abs=2)


def test_scores_do_not_depend_on_the_time_unit():
    base = made_by(BGNBD(), (0.9, 6.0, 0.6, 1.2), 300, seed=4)
    weeks, days = (leave_one_out(BGNBD(time_unit_days=unit).fit(base), base) for unit in (7.0, 1.0))
    assert weeks == pytest.approx(days, rel=1e-6)


def test_the_model_that_made_the_base_is_chosen():
    base = made_by(BGNBD(), (0.9, 6.0, 0.6, 1.2), 1000, seed=5)
    choice = AutoModel().choose(base)
    assert choice.chosen == "bg-nbd" == choice.fitted.name
    assert "ahead of mbg-nbd by" in choice.why
    assert "leave-one-out score" in choice.why
    assert choice.model[0] == "bg-nbd"
    assert np.all(np.diff(choice.score) <= 0)


def test_where_nobody_leaves_the_leaner_model_is_chosen():
    """The others come out at the same forecasts with two parameters more."""
    base = made_by(NBD(), (0.8, 8.0), 400, seed=6)
    assert AutoModel().choose(base).chosen == "nbd"


def test_a_model_without_leaving_is_not_chosen_where_customers_leave():
    base = made_by(ParetoNBD(), (1.5, 6.0, 0.6, 12.0), 400, seed=7)
    choice = AutoModel().choose(base)
    assert choice.chosen in AWAY
    assert "ahead of nbd by" in choice.why


def test_what_cannot_be_told_is_said_and_mbg_is_taken():
    """100 customers of an MBG/NBD: Pareto/NBD says the same of them."""
    base = made_by(MBGNBD(), (1.2, 6.0, 0.6, 1.2), 100, seed=8)
    choice = AutoModel(candidates=[ParetoNBD(), MBGNBD()]).choose(base)
    assert choice.chosen == "mbg-nbd"
    assert "cannot tell from pareto-nbd" in choice.why


def test_a_base_without_customers_and_one_of_fifty_are_fitted():
    nobody = AutoModel().choose(made_by(BGNBD(), (0.9, 6.0, 0.6, 1.2), 50, seed=9)[:0])
    assert nobody.score.tolist() == [0, 0, 0, 0]
    fifty = AutoModel().fit(made_by(BGNBD(), (0.9, 6.0, 0.6, 1.2), 50, seed=9))
    assert fifty.name in AWAY


def test_the_reason_travels_with_the_model_and_its_values():
    """It is among the notes of every valuation, and comes back from JSON."""
    base = made_by(BGNBD(), (0.9, 6.0, 0.6, 1.2), 300, seed=10)
    fitted = AutoModel().fit(base)
    worth = fitted.value(base, horizon_days=90, discount_rate=0.1)
    assert any(note.startswith("auto chose bg-nbd: ahead of") for note in worth.provenance.notes)
    again = FittedPurchases.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again.estimate.notes == fitted.estimate.notes
    assert again.params == fitted.params


def test_candidates_with_covariates_are_charged_for_them():
    base = made_by(BGNBD(), (0.9, 6.0, 0.6, 1.2), 200, seed=12)
    base = base.with_attributes({"odd": np.arange(200) % 2})
    fitted = NBD(rate=("odd",)).fit(base)
    charged = leave_one_out(fitted, base).sum()
    inside = (fitted.log_likelihoods(base) - base.frequency * np.log(7)).sum()
    assert inside - charged == pytest.approx(3)
    assert AutoModel(candidates=[NBD(rate=("odd",)), MBGNBD()]).choose(base).chosen == "mbg-nbd"


def test_models_of_other_events_are_not_compared_without_a_log():
    base = made_by(BGNBD(), (0.9, 6.0, 0.6, 1.2), 60, seed=13)
    with pytest.raises(ConfigError, match="bg-bb among candidates without a log"):
        AutoModel(candidates=[BGBB(), NBD()]).fit(base)
    with pytest.raises(ModelError, match="whose parameters were given"):
        leave_one_out(NBD().at(r=1.0, alpha=2.0), base)
    with pytest.raises(ConfigError, match="candidates"):
        AutoModel(candidates=[NBD(), NBD()])


# With a log: a hold-back


def log_of(base, horizon, seed):
    """Any log will do here: customers who come at random from a day of their own on."""
    rng = np.random.default_rng(seed)
    who, at = [], []
    for i in range(base):
        first, rate = rng.integers(0, 120), rng.gamma(1.0, 0.05)
        on = first + np.concatenate([[0], np.cumsum(np.ceil(rng.exponential(1 / max(rate, 1e-3), 60)))])
        on = on[on < min(horizon, first + 1 + rng.exponential(250))]
        who += [f"c{i:03d}"] * len(on)
        at += (np.datetime64("2021-01-01") + on.astype("timedelta64[D]")).tolist()
    return TransactionLog.from_arrays(customer_id=who, at=at, revenue=np.round(rng.gamma(4, 5, len(who)), 2))


def test_a_log_makes_it_a_hold_back_that_ends_with_the_histories():
    """What came after the as-of date, and customers who are not in the base, change nothing."""
    log, today = log_of(120, 500, seed=1), dt.date(2021, 12, 31)
    base = summarize(log, as_of=today)[5:]
    choice = AutoModel(candidates=[MBGNBD(), NBD()], log=log).choose(base)
    assert "hold-back log score" in choice.why
    assert choice.fitted.params == type(choice.fitted.recipe)().fit(base).params  # fitted to the whole base
    mine = np.isin(log.customers.text(), base.customer_id) & (log.day <= np.datetime64(today))
    again = AutoModel(candidates=[MBGNBD(), NBD()], log=log.take(mine)).choose(base)
    assert again.equals(choice)
    assert again.why == choice.why


def test_appraise_takes_the_log():
    log = log_of(120, 500, seed=1)
    base = rt.summarize(log, as_of="2021-12-31")
    worth = rt.appraise(base, model=AutoModel(candidates=[MBGNBD(), NBD()]), log=log)
    assert any("hold-back log score" in note for note in worth.provenance.notes)
    with pytest.raises(ConfigError, match="a log with model='bg-nbd'"):
        rt.appraise(base, model="bg-nbd", log=log)


def test_attributes_of_the_base_go_into_the_hold_back():
    log = log_of(120, 500, seed=1)
    base = summarize(log, as_of="2021-12-31")
    base = base.with_attributes({"odd": np.arange(len(base)) % 2})
    choice = AutoModel(candidates=[MBGNBD(), NBD(rate=("odd",))], log=log).choose(base)
    assert set(choice.model) == {"mbg-nbd", "nbd"}
    assert choice.parameters.tolist() != []


def test_a_hold_back_needs_customers_and_a_day():
    log = log_of(30, 500, seed=1)
    with pytest.raises(ConfigError, match="judges"):
        AutoModel(log=log).fit(summarize(log, as_of="2021-12-31"))
    with pytest.raises(ConfigError, match="without an as-of date"):
        AutoModel(log=log).fit(made_by(NBD(), (0.8, 8.0), 60, seed=1))


# Public data


def test_cdnow_cannot_tell_bg_from_mbg(shared_data):
    """Their likelihoods are 0.3 apart (-9,582.43 and -9,582.14), Pareto/NBD's 12.8 lower, NBD's far off."""
    base = summarize(read(shared_data("cdnow/cdnow_sample.csv.gz"), "sample_id", "sales"), as_of="1997-09-30")
    choice = AutoModel().choose(base)
    assert choice.chosen == "mbg-nbd"
    assert "cannot tell from bg-nbd" in choice.why
    assert "ahead of nbd by" in choice.why
    assert choice.fitted.log_likelihood == pytest.approx(-9582.1357, abs=1e-3)


def test_grocery_takes_mbg_over_bg(shared_data):
    """-15,781.94 against -15,836.57 (BTYDplus); Pareto/NBD's -15,782.39 is as good."""
    base = summarize(read(shared_data("grocery_elog/grocery.csv.gz"), "customer_id"), as_of="2006-12-31")
    choice = AutoModel().choose(base)
    assert choice.chosen == "mbg-nbd"
    assert "ahead of bg-nbd by 54" in choice.why
    assert "cannot tell from pareto-nbd" in choice.why
