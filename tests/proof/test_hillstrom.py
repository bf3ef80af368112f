"""The public e-mail experiment of 64,000 customers: what is known of it comes out, and nothing more is claimed."""

import csv
import gzip

import numpy as np
import pytest

from retention.proof import evaluate_policy, personalise, uplift_curve, uplift_scores

KNOWN = ("recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel")
TEXT = ("history_segment", "zip_code", "channel", "segment")


@pytest.fixture
def experiment(shared_data):
    with gzip.open(shared_data("hillstrom/hillstrom.csv.gz"), "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns = {name: values if name in TEXT else values.astype(float) for name, values in columns.items()}
    return {name: columns[name] for name in KNOWN}, columns["segment"], columns["visit"], columns["spend"]


CHANCES = dict.fromkeys(("No E-Mail", "Womens E-Mail", "Mens E-Mail"), 1 / 3)


def test_no_policy_is_proven_better_than_the_mens_mail_to_all(experiment):
    """Two repeats; the policy's value varies by 0.05 between splits, and the bounds leave room for that."""
    features, arm, visit, spend = experiment
    found = personalise(features, arm, spend, proxy=visit, propensities=CHANCES, control="No E-Mail", repeats=2)
    assert found.best == "Mens E-Mail"
    assert found.decision == "one for all"
    assert found.sentence.startswith("one for all: no policy beats 'Mens E-Mail' to all: difference ")
    assert set(found.recommend(features)) == {"Mens E-Mail"}
    table = found.policy_table
    value = dict(zip(table.policy, table.value, strict=True))
    # The publisher's totals by arm.
    for name, spent, customers in (
        ("No E-Mail", 13908.33, 21306),
        ("Womens E-Mail", 23038.11, 21387),
        ("Mens E-Mail", 30311.69, 21307),
    ):
        assert value[f"{name} to all"] == pytest.approx(spent / customers, abs=0.015)
    assert table.customer("Mens E-Mail to all")["error"] == pytest.approx(0.122, abs=0.005)
    assert value["personal"] > 1.30
    assert found.low < 0 < found.high


def test_a_simple_rule_fixed_beforehand_is_worth_what_was_published(experiment):
    """Mens buyers get the mens mail, the others the womens: 1.428 a customer."""
    features, arm, _, spend = experiment
    rule = np.where(features["mens"] == 1, "Mens E-Mail", "Womens E-Mail")
    found = evaluate_policy(arm, spend, 1 / 3, rule, context=features)
    assert found.value == pytest.approx(1.428, abs=0.03)
    assert found.verdict == "estimated"
    assert not found.notes


def test_the_womens_mail_is_ranked_well_by_what_it_changes(experiment):
    """The best published learners reach an area of 0.0074 to 0.0079 with an error of 0.0011; chance reaches 0."""
    features, arm, visit, _ = experiment
    rows = arm != "Mens E-Mail"
    mine = {name: values[rows] for name, values in features.items()}
    names = {"treatment": "Womens E-Mail", "control": "No E-Mail"}
    lift = uplift_scores(mine, arm[rows], visit[rows], **names, repeats=3)
    curve = uplift_curve(lift, arm[rows] == "Womens E-Mail", visit[rows])
    assert 0.0062 < curve.qini < 0.0090
    assert curve.error == pytest.approx(0.0010, abs=0.0002)
    assert curve.low > 0
