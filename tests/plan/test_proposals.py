"""A strategy of one's own writes its proposals in one line."""

import attrs
import numpy as np
import pytest

from retention.domain import Action
from retention.errors import PlanError
from retention.plan import Proposals, Situation
from retention.plan.examples import small_base

CARD = Action(name="card", kind="thank", channel="post", money=1.5, customer_benefit="is thanked")


@pytest.fixture
def known():
    base, worth, when, tiers = small_base()
    return Situation(as_of=base.as_of, histories=base, valuation=worth, outlook=when, tiering=tiers)


def test_a_mask_and_its_positions_say_the_same(known):
    mask = np.asarray([True, False, True])
    first = Proposals.of(known, mask, CARD, strategy="mine", gain=3.0, reason="because")
    second = Proposals.of(known, [0, 2], CARD, strategy="mine", gain=[3.0, 3.0], reason=["because", "because"])
    for name, values in first.columns().items():
        np.testing.assert_array_equal(values, second.columns()[name])
    assert first["customer_id"].tolist() == ["anna", "cleo"]


def test_who_has_another_number_of_gains_than_customers_is_told(known):
    with pytest.raises(PlanError, match="gain of shape"):
        Proposals.of(known, [0, 2], CARD, strategy="mine", gain=np.ones(3), reason="because")


def test_nobody_is_nobody(known):
    none = Proposals.of(known, [], CARD, strategy="mine", gain=1.0, reason="because")
    assert len(none) == 0
    assert len(Proposals.joined([none])) == 0


def test_what_is_given_later_does_not_change_it(known):
    gain = np.asarray([3.0, 4.0])
    told = Proposals.of(known, [0, 2], CARD, strategy="mine", gain=gain, reason="because")
    gain[0] = 99.0
    assert told["gain"].tolist() == [3.0, 4.0]
    assert attrs.evolve(told)["gain"].tolist() == [3.0, 4.0]
