"""The laws of outreach strategies: known customers, finite gains, a window to come, a reason, and what it rests on.

>>> from retention.plan import WinBack
>>> from retention.testing import check_outreach_strategy
>>> check_outreach_strategy(WinBack)
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import define, field

from retention.domain import Action
from retention.plan.proposals import Assumption, Proposals
from retention.plan.situation import Situation
from retention.testing._shared import (
    Subject,
    alike,
    bare,
    copied_situation,
    first_difference,
    has_a_name,
    maker,
    mixed_order,
    must,
    nobody,
    nothing_shared_changes,
    shuffled_situation,
    snapshot,
)
from retention.testing.laws import Kit, laws, report
from retention.testing.samples import SampleShop, sample_shop

__all__ = ["KIT", "LAWS", "check_outreach_strategy"]


@define(eq=False)
class _Strategy(Subject):
    """A strategy, and the situation that it looks at."""

    shop: SampleShop
    situation: Situation = field(init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.situation = copied_situation(self.shop.situation)

    def propose(self, strategy: Any = None, situation: Situation | None = None) -> Proposals:
        """What it proposes for the sample, or for another situation."""
        asked = self.thing if strategy is None else strategy
        found: Proposals = asked.propose(self.situation if situation is None else situation)
        return found


def _subject(thing: Any, shop: SampleShop | None = None) -> _Strategy:
    return _Strategy(made=maker(thing), shop=sample_shop() if shop is None else shop)


def _known(found: Any, situation: Situation) -> None:
    must(isinstance(found, Proposals), f"proposed a {type(found).__name__}, not Proposals")
    row = found.base_row
    must(row.dtype.kind in "iu", f"base_row is {row.dtype}")
    must(np.all((row >= 0) & (row < len(situation))), "base_row is outside of the base")
    must(np.array_equal(situation.customer_id[row], found.customer_id), "base_row is not where the customer stands")


def proposes_customers_of_the_base(subject: _Strategy) -> None:
    """The answer is Proposals, each of a customer of the base: ``base_row`` is where she stands."""
    _known(subject.propose(), subject.situation)


def actions_are_listed(subject: _Strategy) -> None:
    """Each proposal's action is one of ``.actions``, and each of those is an Action."""
    found = subject.propose()
    must(all(isinstance(one, Action) for one in found.actions), "an action is no Action")
    must(found.action.dtype.kind in "iu", f"action is {found.action.dtype}")
    must(np.all((found.action >= 0) & (found.action < len(found.actions))), "an action is not among .actions")


def gains_are_finite(subject: _Strategy) -> None:
    """Gains are numbers, and their standard deviations numbers of zero or more."""
    found = subject.propose()
    must(np.all(np.isfinite(found.gain)), f"{int(np.sum(~np.isfinite(found.gain)))} gains are no numbers")
    must(np.all(np.isfinite(found.gain_sd) & (found.gain_sd >= 0)), "a standard deviation is negative or no number")


def windows_are_to_come(subject: _Strategy) -> None:
    """A window has a first and a last day in this order, and does not begin before the plan's day."""
    found, today = subject.propose(), np.datetime64(subject.situation.as_of, "D")
    must(not np.any(np.isnat(found.opens) | np.isnat(found.closes)), "a window has no first or no last day")
    must(np.all(found.opens <= found.closes), "a window closes before it opens")
    must(np.all(found.opens >= today), "a window opens before the plan's day")


def says_who_and_why(subject: _Strategy) -> None:
    """Each proposal has the name of a strategy and a reason in words."""
    found = subject.propose()
    for name in ("strategy", "reason"):
        values = getattr(found, name)
        must(not len(found) or values.dtype.kind == "U", f"{name} is {values.dtype}, not text")
        must(not np.any(np.char.str_len(np.char.strip(values.astype(np.str_))) == 0), f"a proposal has no {name}")


def says_what_it_rests_on(subject: _Strategy) -> None:
    """``evidence`` is "assumption" or "measured", and where it assumes the numbers are listed in ``.assumptions``."""
    found = subject.propose()
    words = set(found.evidence.tolist())
    must(words <= {"assumption", "measured"}, f"evidence is {sorted(words - {'assumption', 'measured'})}")
    must("assumption" not in words or found.assumptions, "it assumes, and lists no assumption")
    for one in found.assumptions:
        must(isinstance(one, Assumption), "an assumption is no Assumption")
        must(np.isfinite(one.value) and np.isfinite(one.spread) and one.spread >= 0, f"{one.name!r} is no number")
        must(one.meaning.strip() and one.name.strip(), "an assumption does not say what it means")


def one_proposal_a_customer_and_action(subject: _Strategy) -> None:
    """Nobody is proposed twice for the same action."""
    found = subject.propose()
    pairs = Counter(zip(found.base_row.tolist(), found.action.tolist(), strict=True))
    twice = sum(count > 1 for count in pairs.values())
    must(not twice, f"{twice} customers are proposed twice for one action")


def same_question_same_answer(subject: _Strategy) -> None:
    """Asked twice in a row it proposes the same, and so does another made alike: no dice, no memory of its own."""
    first = snapshot(subject.propose())
    must(alike(first, snapshot(subject.propose())), "asked a second time it proposes otherwise")
    must(alike(first, snapshot(subject.propose(subject.fresh()))), "another strategy made alike proposes otherwise")


def input_untouched(subject: _Strategy) -> None:
    """It does not change the situation."""
    situation = copied_situation(subject.shop.situation)
    before = snapshot(situation)
    subject.propose(subject.fresh(), situation)
    changed = first_difference(before, snapshot(situation))
    must(not changed, f"situation.{changed} was changed")


def order_does_not_matter(subject: _Strategy) -> None:
    """A base, contacts and consents in another order bring the same proposals, in whatever order."""
    mixed = shuffled_situation(subject.situation, mixed_order(len(subject.situation)))
    plain, other = subject.propose(), subject.propose(subject.fresh(), mixed)
    _known(other, mixed)
    same = _listed(plain).keys() == _listed(other).keys()
    must(same, "other customers or actions are proposed when the base stands in another order")
    for key, (numbers, texts) in _listed(plain).items():
        told, words = _listed(other)[key]
        must(np.allclose(numbers, told, rtol=1e-9, atol=1e-12), "gains depend on the order of the base")
        must(texts == words, "windows or words depend on the order of the base")


def _listed(found: Proposals) -> dict[tuple[Any, ...], tuple[Any, tuple[str, ...]]]:
    """Every proposal by customer and action."""
    rows = zip(*(found.columns()[name].tolist() for name in ("gain", "gain_sd")), strict=True)
    words = zip(
        *(found.columns()[n].astype(str).tolist() for n in ("opens", "closes", "reason", "evidence")), strict=True
    )
    keys = zip(found.customer_id.tolist(), [found.actions[i] for i in found.action.tolist()], strict=True)
    return dict(zip(keys, zip(rows, words, strict=True), strict=True))


def nobody_in_nothing_out(subject: _Strategy) -> None:
    """For a base without customers there are no proposals."""
    found = subject.propose(situation=nobody(subject.situation))
    must(isinstance(found, Proposals) and not len(found), "there are proposals for an empty base")


def silence_is_no_fault(subject: _Strategy) -> None:
    """Where nothing but the tables is known (no consents, contacts, attributes, causes) it does not raise."""
    known = bare(subject.situation)
    _known(subject.propose(subject.fresh(), known), known)


def the_world_stays_as_it_was(subject: _Strategy) -> None:
    """It prints nothing and changes no state that all code shares: environment, warnings, random states, folder."""
    strategy = subject.fresh()
    with nothing_shared_changes():
        subject.propose(strategy)


LAWS = laws(
    has_a_name,
    proposes_customers_of_the_base,
    actions_are_listed,
    gains_are_finite,
    windows_are_to_come,
    says_who_and_why,
    says_what_it_rests_on,
    one_proposal_a_customer_and_action,
    same_question_same_answer,
    input_untouched,
    order_does_not_matter,
    nobody_in_nothing_out,
    silence_is_no_fault,
    the_world_stays_as_it_was,
)
KIT = Kit("outreach_strategy", LAWS, _subject)


def check_outreach_strategy(
    strategy: Any, *, shop: SampleShop | None = None, expected_failures: Mapping[str, str] | None = None
) -> None:
    """Hold a strategy to every law of ``LAWS``; one BrokenLaws names all that it breaks.

    A strategy that proposes nothing for the sample shop keeps most laws without a trial: give it a ``shop`` in which it
    has something to say.

    Args:
        strategy: the strategy, or a class or function that makes one without arguments.
        shop: the situation to look at; None takes ``sample_shop()``.
        expected_failures: laws that are known to fail, by name, each with the reason.
    """
    data = {} if shop is None else {"shop": shop}
    report(strategy, "outreach_strategy", expected_failures=expected_failures, **data).raise_if_broken()
