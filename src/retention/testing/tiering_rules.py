"""The laws of tiering rules: tiers in order, everyone in one of them, and more never ranks lower.

A rule whose cuts are fixed sums, and not shares of the base, may say ``joint = False``: a customer then gets the same
tier alone as in company.

>>> from retention.testing import check_tiering_rule
>>> from retention.tiers import MarginBands
>>> check_tiering_rule(MarginBands(names=("standard", "gold"), floors=(50.0,)))
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from attrs import define, field

from retention.domain import Tier
from retention.histories import Histories
from retention.testing._shared import (
    Subject,
    alike,
    copied,
    first_difference,
    has_a_name,
    maker,
    mixed_order,
    must,
    nothing_shared_changes,
    snapshot,
)
from retention.testing.laws import Kit, NotAsked, laws, report
from retention.testing.samples import SampleShop, sample_shop
from retention.tiers import Tiering
from retention.value import Valuation

__all__ = ["KIT", "LAWS", "check_tiering_rule"]


@define(eq=False)
class _Rule(Subject):
    """A rule, and the base that it ranks."""

    shop: SampleShop
    histories: Histories = field(init=False)
    valuation: Valuation = field(init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.histories, self.valuation = copied(self.shop.histories), copied(self.shop.valuation)

    def assign(self, rule: Any = None, rows: Any = None, previous: Tiering | None = None) -> Tiering:
        """Its tiers for the sample, or for some rows of it."""
        base, worth = self.histories, self.valuation
        if rows is not None:
            base, worth = base.take(rows), worth.take(rows)
        asked = self.thing if rule is None else rule
        tiers: Tiering = asked.assign(base, worth) if previous is None else asked.assign(base, worth, previous)
        return tiers


def _subject(thing: Any, shop: SampleShop | None = None) -> _Rule:
    return _Rule(made=maker(thing), shop=sample_shop() if shop is None else shop)


def a_row_a_customer(subject: _Rule) -> None:
    """The answer is a Tiering with the customers of the base in their order; ranks are whole numbers."""
    tiers = subject.assign()
    must(isinstance(tiers, Tiering), f"answered with a {type(tiers).__name__}, not a Tiering")
    must(np.array_equal(tiers.customer_id, subject.histories.customer_id), "the rows are not the customers in order")
    must(tiers.rank.dtype.kind in "iu", f"rank is {tiers.rank.dtype}")
    must(np.all(np.isfinite(tiers.score)), "a score is not finite")
    must(isinstance(tiers.rule, str) and tiers.rule.strip(), "the tiering does not say which rule made it")


def tiers_are_in_order(subject: _Rule) -> None:
    """``tiers`` go from lowest to highest: ranks 0, 1, 2 and so on, names of their own, floors that rise."""
    tiers = subject.assign().tiers
    must(tiers and all(isinstance(tier, Tier) for tier in tiers), "there are no tiers")
    must([tier.rank for tier in tiers] == list(range(len(tiers))), f"ranks are {[tier.rank for tier in tiers]}")
    must(len({tier.name for tier in tiers}) == len(tiers), "two tiers have one name")
    floors = [tier.floor for tier in tiers]
    must(all(low <= high for low, high in pairwise(floors)), f"floors fall: {floors}")


def everyone_has_a_tier(subject: _Rule) -> None:
    """Each rank is that of a tier, and ``tier`` is its name."""
    tiers = subject.assign()
    must(np.all((tiers.rank >= 0) & (tiers.rank < len(tiers.tiers))), "a rank is that of no tier")
    names = np.asarray([tier.name for tier in tiers.tiers])
    must(np.array_equal(names[tiers.rank], tiers.tier), "a tier's name is not that of its rank")


def the_next_tier_is_the_next(subject: _Rule) -> None:
    """``next_tier`` names the tier one rank higher, and nothing at the top."""
    tiers = subject.assign()
    names = np.asarray([*(tier.name for tier in tiers.tiers), ""])
    must(np.array_equal(names[tiers.rank + 1], tiers.next_tier), "next_tier is not the tier one rank higher")


def what_is_missing_is_not_negative(subject: _Rule) -> None:
    """``to_next`` is a sum of zero or more, and zero at the top."""
    tiers = subject.assign()
    must(np.all(np.isfinite(tiers.to_next) & (tiers.to_next >= 0)), "to_next is negative or no sum for somebody")
    top = tiers.rank == len(tiers.tiers) - 1
    must(not np.any(tiers.to_next[top]), "something is missing to the next tier at the top")


def more_never_ranks_lower(subject: _Rule) -> None:
    """Of two customers the one with the higher score has no lower rank, and equal scores have one rank."""
    tiers = subject.assign()
    order = np.lexsort((tiers.rank, tiers.score))
    score, rank = tiers.score[order], tiers.rank[order]
    must(np.all(np.diff(rank) >= 0), "a customer with a higher score has a lower rank")
    must(np.all(np.diff(rank)[np.diff(score) == 0] == 0), "two customers with one score have two ranks")


def order_does_not_matter(subject: _Rule) -> None:
    """A base in another order gets its tiers in that order."""
    order = mixed_order(len(subject.histories))
    plain, mixed = subject.assign(), subject.assign(subject.fresh(), order)
    must(alike(snapshot(plain.take(order).columns()), snapshot(mixed.columns()), 1e-9), "tiers depend on the order")


def one_is_many(subject: _Rule) -> None:
    """Where it says ``joint = False``: a customer alone gets the tier that she gets in company."""
    if getattr(subject.thing, "joint", True):
        raise NotAsked("the rule does not say joint = False: its cuts may depend on the whole base")
    together = subject.assign()
    for row in range(0, len(subject.histories), 3):
        alone = subject.assign(rows=[row])
        must(alone.tier.tolist() == [together.tier[row]], "a customer alone gets another tier than in company")


def same_base_same_tiers(subject: _Rule) -> None:
    """Asked twice it answers the same, and so does another rule made alike."""
    first = snapshot(subject.assign().columns())
    must(alike(first, snapshot(subject.assign().columns())), "asked a second time it answers otherwise")
    must(alike(first, snapshot(subject.assign(subject.fresh()).columns())), "another rule made alike answers otherwise")


def nothing_new_moves_nobody(subject: _Rule) -> None:
    """Given its own tiers of the same day as those before, it leaves everybody in hers."""
    first = subject.assign()
    again = subject.assign(previous=first)
    must(alike(snapshot(first.rank), snapshot(again.rank)), "somebody is moved although nothing happened")


def input_untouched(subject: _Rule) -> None:
    """It changes neither the histories, nor the valuation, nor the tiers before."""
    base, worth = copied(subject.shop.histories), copied(subject.shop.valuation)
    previous = copied(subject.assign())
    before = snapshot([base, worth, previous])
    subject.fresh().assign(base, worth, previous)
    for name, old, new in zip(
        ("histories", "valuation", "previous"), before, snapshot([base, worth, previous]), strict=True
    ):
        changed = first_difference(old, new)
        must(not changed, f"{name}.{changed} was changed")


def empty_in_empty_out(subject: _Rule) -> None:
    """A base without customers has tiers without customers."""
    must(len(subject.assign(rows=[])) == 0, "there are rows for an empty base")


def the_world_stays_as_it_was(subject: _Rule) -> None:
    """It prints nothing and changes no state that all code shares: environment, warnings, random states, folder."""
    rule = subject.fresh()
    with nothing_shared_changes():
        subject.assign(rule)


LAWS = laws(
    has_a_name,
    a_row_a_customer,
    tiers_are_in_order,
    everyone_has_a_tier,
    the_next_tier_is_the_next,
    what_is_missing_is_not_negative,
    more_never_ranks_lower,
    order_does_not_matter,
    one_is_many,
    same_base_same_tiers,
    nothing_new_moves_nobody,
    input_untouched,
    empty_in_empty_out,
    the_world_stays_as_it_was,
)
KIT = Kit("tiering_rule", LAWS, _subject)


def check_tiering_rule(
    rule: Any, *, shop: SampleShop | None = None, expected_failures: Mapping[str, str] | None = None
) -> None:
    """Hold a rule to every law of ``LAWS``; one BrokenLaws names all that it breaks.

    Args:
        rule: the rule, or a class or function that makes one without arguments.
        shop: the base and valuation to rank; None takes ``sample_shop()``.
        expected_failures: laws that are known to fail, by name, each with the reason.
    """
    data = {} if shop is None else {"shop": shop}
    report(rule, "tiering_rule", expected_failures=expected_failures, **data).raise_if_broken()
