"""Tiers are ordered bands of expected margin, and the way up is told to the cent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ConfigError
from retention.histories import Histories
from retention.tiers import MarginBands
from retention.value import Valuation


def valued(margins) -> tuple[Histories, Valuation]:
    n = len(margins)
    base = Histories.from_arrays(frequency=np.zeros(n, int), recency_days=np.zeros(n), age_days=np.ones(n))
    margin = np.asarray(margins, dtype=float)
    worth = Valuation(
        customer_id=base.customer_id,
        p_alive=np.ones(n),
        expected_purchases=np.ones(n),
        margin_mean=margin,
        expected_margin=margin,
        value=margin,
        value_low=margin,
        value_high=margin,
        model="given",
        horizon_days=365.0,
        discount_rate=0.0,
        interval=0.9,
    )
    return base, worth


margins = st.lists(st.floats(-1e6, 1e6), max_size=50)


@given(margins)
def test_more_expected_margin_is_never_a_lower_tier_and_the_next_floor_is_reached_by_to_next(values):
    tiering = MarginBands().assign(*valued(values))
    order = np.argsort(tiering["score"], kind="stable")
    assert (np.diff(tiering["rank"][order]) >= 0).all()
    floors = [t.floor for t in tiering.tiers]
    assert floors == sorted(set(floors))
    for i in range(len(tiering)):
        rank = int(tiering["rank"][i])
        assert tiering.tiers[rank].name == tiering["tier"][i]
        assert tiering["score"][i] >= floors[rank]
        if rank + 1 < len(tiering.tiers):
            assert tiering["next_tier"][i] == tiering.tiers[rank + 1].name
            assert tiering["score"][i] + tiering["to_next"][i] == pytest.approx(floors[rank + 1])
        else:
            assert tiering["next_tier"][i] == ""
            assert tiering["to_next"][i] == 0.0


def test_given_floors_are_kept_as_given():
    tiering = MarginBands(names=("low", "mid", "top"), floors=(10.0, 100.0)).assign(*valued([9.99, 10, 99, 100]))
    assert tiering["tier"].tolist() == ["low", "mid", "mid", "top"]


def test_a_base_of_equals_has_no_ranks_to_speak_of():
    tiering = MarginBands().assign(*valued([5.0] * 10))
    assert len(set(tiering["tier"].tolist())) == 1
    assert len({t.floor for t in tiering.tiers}) == len(tiering.tiers)


@pytest.mark.parametrize(
    "wrong",
    [{"shares": (0.5,)}, {"shares": (0.5, 0.4, 0.9)}, {"shares": (0.0, 0.5, 0.9)}, {"floors": (3.0, 2.0, 1.0)}],
)
def test_bands_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match="margin-bands"):
        MarginBands(**wrong)
