"""Each law of tiering rules catches a rule made to break it, and the library's own keep them all."""

import numpy as np
import pytest
from attrs import evolve

from retention.plugins import open_registry
from retention.testing import check_tiering_rule, report, run
from retention.testing.tiering_rules import KIT, LAWS
from retention.tiers import MarginBands


class Good:
    """Three bands by fixed sums, and says so."""

    name = "good"
    joint = False
    bands = MarginBands(names=("low", "middle", "high"), floors=(20.0, 60.0))

    def assign(self, histories, valuation, previous=None):
        return self.bands.assign(histories, valuation)


class Changed(Good):
    def assign(self, histories, valuation, previous=None):
        tiers = super().assign(histories, valuation)
        return evolve(tiers, **self.change(tiers)) if len(tiers) else tiers


class Nameless(Good):
    name = None


class Reverses(Good):
    def assign(self, histories, valuation, previous=None):
        return super().assign(histories, valuation).take(np.arange(len(histories))[::-1])


class FractionsOfRanks(Changed):
    def change(self, tiers):
        return {"rank": tiers.rank + 0.0}


class TiersUpsideDown(Changed):
    def change(self, tiers):
        return {"tiers": tiers.tiers[::-1]}


class FloorsFall(Changed):
    def change(self, tiers):
        return {"tiers": tuple(evolve(tier, floor=-float(tier.rank)) for tier in tiers.tiers)}


class TwoNames(Changed):
    def change(self, tiers):
        return {"tier": np.where(tiers.rank == 0, "small", tiers.tier)}


class RankOfNoTier(Changed):
    def change(self, tiers):
        return {"rank": tiers.rank + 1}


class SkipsOne(Changed):
    def change(self, tiers):
        return {"next_tier": np.where(tiers.rank == 0, "high", tiers.next_tier)}


class OwesHer(Changed):
    def change(self, tiers):
        return {"to_next": tiers.to_next - 10.0}


class StillMore(Changed):
    def change(self, tiers):
        return {"to_next": np.where(tiers.rank == 2, 5.0, tiers.to_next)}


class TurnsThemRound(Changed):
    def change(self, tiers):
        names = np.asarray([tier.name for tier in tiers.tiers])
        return {"rank": 2 - tiers.rank, "tier": names[2 - tiers.rank]}


class FirstComeFirst(Changed):
    def change(self, tiers):
        names = np.asarray([tier.name for tier in tiers.tiers])
        rank = np.minimum(np.arange(len(tiers)), 2)
        return {"rank": rank, "tier": names[rank]}


class SharesSaidToBeSums(Good):
    bands = MarginBands()


class Remembers(Good):
    def __init__(self):
        self.asked = 0

    def assign(self, histories, valuation, previous=None):
        self.asked += 1
        return MarginBands(names=("low", "high"), floors=(10.0 * self.asked,)).assign(histories, valuation)


class PromotesEveryNight(Good):
    def assign(self, histories, valuation, previous=None):
        tiers = super().assign(histories, valuation)
        if previous is None:
            return tiers
        rank = np.minimum(previous.rank + 1, 2)
        return evolve(tiers, rank=rank, tier=np.asarray([tier.name for tier in tiers.tiers])[rank])


class Scribbles(Good):
    def assign(self, histories, valuation, previous=None):
        if previous is not None:
            previous.rank.flags.writeable = True
            previous.rank[:] = 0
        return super().assign(histories, valuation)


class NeedsSomebody(Good):
    def assign(self, histories, valuation, previous=None):
        valuation.value.max()
        return super().assign(histories, valuation)


class Quietens(Good):
    def assign(self, histories, valuation, previous=None):
        np.seterr(all="ignore")
        return super().assign(histories, valuation)


WRONG = [
    (Nameless, "has_a_name"),
    (Reverses, "a_row_a_customer"),
    (FractionsOfRanks, "a_row_a_customer"),
    (TiersUpsideDown, "tiers_are_in_order"),
    (FloorsFall, "tiers_are_in_order"),
    (TwoNames, "everyone_has_a_tier"),
    (RankOfNoTier, "everyone_has_a_tier"),
    (SkipsOne, "the_next_tier_is_the_next"),
    (OwesHer, "what_is_missing_is_not_negative"),
    (StillMore, "what_is_missing_is_not_negative"),
    (TurnsThemRound, "more_never_ranks_lower"),
    (FirstComeFirst, "order_does_not_matter"),
    (SharesSaidToBeSums, "one_is_many"),
    (Remembers, "same_base_same_tiers"),
    (PromotesEveryNight, "nothing_new_moves_nobody"),
    (Scribbles, "input_untouched"),
    (NeedsSomebody, "empty_in_empty_out"),
    (Quietens, "the_world_stays_as_it_was"),
]


@pytest.mark.parametrize(("kind", "law"), WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_rule_breaks_the_law_it_was_made_to_break(kind, law):
    assert law in run([one for one in LAWS if one.name == law], KIT.subject(kind)).broken


def test_every_law_has_a_rule_that_breaks_it():
    assert {law.name for law in LAWS} == {law for _, law in WRONG}
    assert all(law.ask for law in LAWS)


def test_fixed_sums_may_be_said_to_be_nobody_elses_business():
    check_tiering_rule(Good)
    assert report(Good)["one_is_many"] == "passed"
    assert report(MarginBands())["one_is_many"].startswith("not asked")


REGISTRY = open_registry(installed=False)


@pytest.mark.parametrize("name", REGISTRY.names("tiering_rule"))
def test_our_rules_keep_all_laws(name):
    check_tiering_rule(REGISTRY.make("tiering_rule", name))
