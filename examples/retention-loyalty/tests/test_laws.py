"""Every contribution keeps the laws of its kind, and what it promises beyond them."""

import datetime as dt

import attrs
import numpy as np
import pytest
import retention_loyalty
from retention_loyalty.outreach import DoublePoints, RestAfterRedemption
from retention_loyalty.value import SteadyRate

from retention.testing import check_plugin, conformance, sample_shop


@pytest.mark.parametrize("law", [*conformance(SteadyRate()), *conformance(DoublePoints())])
def test_the_laws_of_its_kind(law):
    law()


def test_the_whole_plugin():
    check_plugin(retention_loyalty)


def test_no_ask_in_the_two_weeks_after_a_redemption():
    shop = sample_shop()
    who = shop.proposals.customer_id[0]
    today = shop.situation.as_of
    for days, refused in ((0, True), (13, True), (14, False)):
        redeemed = {who: today - dt.timedelta(days=days)}
        known = attrs.evolve(shop.situation, attributes={"redeemed_at": redeemed})
        review = RestAfterRedemption().review(shop.proposals, known)
        hers = (shop.proposals.customer_id == who) & (shop.proposals.of_actions("kind") == "ask")
        assert np.array_equal(~review.allowed, hers & refused)
