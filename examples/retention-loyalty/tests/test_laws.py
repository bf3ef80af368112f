"""The whole plugin keeps the laws, and its policy what it promises beyond them."""

import datetime as dt

import attrs
import numpy as np
import retention_loyalty
from retention_loyalty.outreach import RestAfterRedemption

from retention.testing import check_plugin


def test_the_plugin_and_every_contribution_keep_the_laws():
    check_plugin(retention_loyalty)


def test_no_ask_in_the_two_weeks_after_a_redemption(shop):
    who, today = shop.proposals.customer_id[0], shop.situation.as_of
    for days, refused in ((0, True), (13, True), (14, False)):
        known = attrs.evolve(shop.situation, attributes={"redeemed_at": {who: today - dt.timedelta(days=days)}})
        review = RestAfterRedemption().review(shop.proposals, known)
        hers = (shop.proposals.customer_id == who) & (shop.proposals.of_actions("kind") == "ask")
        assert np.array_equal(~review.allowed, hers & refused)
