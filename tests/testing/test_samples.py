"""The sample shop is small, fixed, and full of customers who make a plugin stumble."""

import numpy as np

from retention.testing import sample_histories, sample_shop
from retention.testing.samples import even_gaps


def test_the_sample_shop_has_the_customers_it_promises():
    shop = sample_shop()
    who = shop.histories.customer_id.tolist()
    at = {name: position for position, name in enumerate(who)}
    base, known = shop.histories, shop.situation
    assert base.age_days[at["new-today"]] == 0
    assert base.idle_days[at["silent-for-years"]] > 3 * 365
    assert base.frequency[at["daily"]] == base.recency_days[at["daily"]]
    assert base.margin[at["brings-back"]] < 0
    assert base.revenue[at["for-nothing"]] == 0
    assert "only-returns" not in at
    assert sum(base.left_out.values()) == 1
    assert known.causes["late-ms-doe"] == "deceased"
    assert "complains" in known.open_complaints
    assert "leave-me-alone" in known.do_not_contact
    assert np.sum(known.touches.customer_id == "worn-out") > 20
    for sign in (",", '"', "'", "=", "<script>", "&", " ", "ö", "山"):
        assert any(sign in one for one in who), sign
    assert not np.any(known.touches.at >= np.datetime64(shop.as_of, "D"))
    for channel in ("phone", "e-mail", "sms"):
        agreed = known.consents.granted_to(channel, on=shop.as_of)
        assert not agreed & {"withdrew", "no-consent", "agrees-tomorrow"}
        assert len(agreed) > 20


def test_proposals_are_of_everyone_and_every_kind_but_waiting():
    shop = sample_shop()
    assert {action.kind for action in shop.proposals.actions} == {"give", "ask", "thank", "remind", "connect"}
    each, count = np.unique(shop.proposals.customer_id, return_counts=True)
    assert set(each) == set(shop.histories.customer_id)
    assert set(count) == {len(shop.proposals.actions)}


def test_gaps_of_the_sample_are_those_of_as_many_days():
    """Gaps of whole days: even ones have the largest sum of logs that gaps with that sum can have."""
    base = sample_histories()
    most = even_gaps(base.frequency, base.recency_days)["gap_log_sum"]
    assert np.all(base.gap_log_sum <= most + 1e-9)
    assert np.all(base.gap_log_sum >= 0)
    assert np.any(base.gap_log_sum < most - 0.1)
