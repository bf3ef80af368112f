"""The laws of contact policies: a policy may refuse and never adds, and what it does not know counts against a contact.

Two things a policy may say of itself. ``joint = True``: what it answers to a proposal depends on the other proposals it
is asked about (a cap on all letters of a night); without it every answer is hers alone. ``monotone = True``: more
contacts on file never make a veto of it disappear, as with every cap and gap; a rule like "two gives come before an
ask" is none.

>>> from retention.plan.policies import FrequencyCap
>>> from retention.testing import check_contact_policy
>>> check_contact_policy(FrequencyCap(max_contacts=1))
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import numpy as np
from attrs import define, field

from retention.plan.proposals import Proposals, Review
from retention.plan.situation import Situation
from retention.records import Consents, Touches
from retention.testing._shared import (
    Subject,
    alike,
    bare,
    copied,
    copied_situation,
    first_difference,
    has_a_name,
    maker,
    mixed_order,
    moved,
    must,
    nobody,
    nothing_shared_changes,
    shuffled_situation,
    snapshot,
)
from retention.testing.laws import Kit, NotAsked, laws, report
from retention.testing.samples import SampleShop, sample_shop

__all__ = ["KIT", "LAWS", "check_contact_policy"]

_DAY = dt.timedelta(days=1)


@define(eq=False)
class _Policy(Subject):
    """A policy, and what it is asked about."""

    shop: SampleShop
    situation: Situation = field(init=False)
    proposals: Proposals = field(init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.proposals, self.situation = self.untouched()

    def untouched(self) -> tuple[Proposals, Situation]:
        """Proposals and situation in copies that nobody has seen yet."""
        return copied(self.shop.proposals), copied_situation(self.shop.situation)

    def review(self) -> Review:
        """Its answer to the sample."""
        return _review(self.thing, self.proposals, self.situation)


def _review(policy: Any, proposals: Proposals, situation: Situation) -> Review:
    answer: Review = policy.review(proposals, situation)
    return answer


def _subject(thing: Any, shop: SampleShop | None = None) -> _Policy:
    return _Policy(made=maker(thing), shop=sample_shop() if shop is None else shop)


def _whole(answer: Any, n: int) -> None:
    must(isinstance(answer, Review), f"answered with a {type(answer).__name__}, not a Review")
    for name, kind, what in (("allowed", "b", "True or False"), ("reason", "U", "text")):
        values = getattr(answer, name)
        must(np.shape(values) == (n,), f"{name} is of shape {np.shape(values)} for {n} proposals")
        must(np.asarray(values).dtype.kind == kind or not n, f"{name} is {np.asarray(values).dtype}, not {what}")
        must(not np.ma.is_masked(values), f"{name} leaves some proposals without an answer")
    times = (answer.not_before, answer.not_after)
    must((times[0] is None) == (times[1] is None), "not_before and not_after come together or not at all")
    for name, given in zip(("not_before", "not_after"), times, strict=True):
        if given is not None:
            must(given.shape == (n,), f"{name} is of shape {given.shape} for {n} proposals")
            must(given.dtype.kind == "M", f"{name} is {given.dtype}, not instants")


def _opened(before: Review, after: Review, what: str) -> None:
    """Fail where a proposal that was refused is allowed now."""
    count = int(np.sum(~np.asarray(before.allowed, dtype=bool) & np.asarray(after.allowed, dtype=bool)))
    must(not count, f"{count} proposals are let through {what}")


def answers_every_proposal(subject: _Policy) -> None:
    """The answer is a Review with True or False and a text for each proposal: it adds none and leaves none out."""
    _whole(subject.review(), len(subject.proposals))


def a_veto_has_a_reason(subject: _Policy) -> None:
    """Where it refuses it says why, in words."""
    answer = subject.review()
    silent = ~np.asarray(answer.allowed, dtype=bool) & (np.char.str_len(np.char.strip(answer.reason)) == 0)
    must(not silent.any(), f"{int(silent.sum())} proposals are refused without a reason")


def reasons_name_nobody(subject: _Policy) -> None:
    """Its reasons hold no customer id: they are shown, logged and counted."""
    answer = subject.review()
    told = 0
    for who, reason in zip(subject.proposals.customer_id.tolist(), np.asarray(answer.reason).tolist(), strict=True):
        distinctive = len(who) >= 4 and not who.replace("-", "").replace(" ", "").isalpha()
        told += distinctive and who.casefold() in reason.casefold()
    must(not told, f"{told} reasons hold the id of the customer they are about")


def windows_are_in_order(subject: _Policy) -> None:
    """Where it allows a contact within a time of day, that time does not end before it begins."""
    answer = subject.review()
    if answer.not_before is None or answer.not_after is None:
        return
    upside_down = np.asarray(answer.allowed, dtype=bool) & (answer.not_before > answer.not_after)
    must(not upside_down.any(), f"{int(upside_down.sum())} allowed proposals may be made in no minute at all")


def same_question_same_answer(subject: _Policy) -> None:
    """Asked twice in a row it answers the same, and so does another made alike: no dice, no memory of its own."""
    first = snapshot(subject.review())
    must(alike(first, snapshot(subject.review())), "asked a second time it answers otherwise")
    again = _review(subject.fresh(), subject.proposals, subject.situation)
    must(alike(first, snapshot(again)), "another object made alike answers otherwise")


def input_untouched(subject: _Policy) -> None:
    """It changes neither the proposals nor the situation."""
    proposals, situation = subject.untouched()
    before = snapshot([proposals, situation])
    _review(subject.fresh(), proposals, situation)
    after = snapshot([proposals, situation])
    for name, old, new in zip(("proposals", "situation"), before, after, strict=True):
        changed = first_difference(old, new)
        must(not changed, f"{name}.{changed} was changed")


def order_does_not_matter(subject: _Policy) -> None:
    """Proposals in another order get their answers in that order, and so do those of a base in another order."""
    plain = subject.review()
    order = mixed_order(len(subject.proposals))
    among = _review(subject.fresh(), subject.proposals.take(order), subject.situation)
    must(_answers(among) == _answers(plain, order), "proposals in another order are answered otherwise")
    seats = mixed_order(len(subject.situation))
    elsewhere = _review(subject.fresh(), moved(subject.proposals, seats), shuffled_situation(subject.situation, seats))
    must(
        _answers(elsewhere) == _answers(plain), "a base, contacts and consents in another order are answered otherwise"
    )


def one_is_many(subject: _Policy) -> None:
    """A proposal alone is answered as in company, unless the policy says ``joint = True``."""
    if getattr(subject.thing, "joint", False):
        raise NotAsked("the policy says that it is joint")
    together = _answers(subject.review())
    rows = list(_few(subject))
    for row in rows:
        alone = _review(subject.thing, subject.proposals.take([row]), subject.situation)
        must(_answers(alone) == [together[row]], "a proposal alone is answered otherwise than in company")
    some = _review(subject.thing, subject.proposals.take(rows), subject.situation)
    must(_answers(some) == [together[row] for row in rows], "a few proposals are answered otherwise than in company")


def _few(subject: _Policy) -> Iterator[int]:
    """Some of the proposals: spread over the whole table, and the first of each answer."""
    texts = np.asarray(subject.review().reason, dtype=np.str_)
    firsts = np.unique(texts, return_index=True)[1]
    yield from sorted({*firsts.tolist()[:20], *range(0, len(subject.proposals), 23)})


def _answers(answer: Review, rows: Any = slice(None)) -> list[tuple[Any, ...]]:
    columns = [np.asarray(answer.allowed)[rows].tolist(), np.asarray(answer.reason)[rows].tolist()]
    columns += [
        np.asarray(t)[rows].astype(str).tolist() for t in (answer.not_before, answer.not_after) if t is not None
    ]
    return list(zip(*columns, strict=True))


def nothing_asked_nothing_answered(subject: _Policy) -> None:
    """Of no proposals there is an empty answer, also where the base is empty."""
    _whole(_review(subject.thing, Proposals.none(), subject.situation), 0)
    _whole(_review(subject.thing, subject.proposals.take([]), nobody(subject.situation)), 0)


def silence_is_safe(subject: _Policy) -> None:
    """Where nothing is known (no consents, contacts, attributes, causes) it answers, and does not raise.

    What it answers is its own affair: a guard that cannot know what it guards against refuses.
    """
    known = bare(subject.situation)
    _whole(_review(subject.fresh(), subject.proposals, known), len(subject.proposals))


def no_consents_open_no_door(subject: _Policy) -> None:
    """Without consent data, or with an empty file of them, nothing is let through that is refused with them.

    ``situation.consents`` is None where none were given at all, and that is no consent.
    """
    before = subject.review()
    none = attrs.evolve(subject.situation, consents=None)
    _opened(before, _review(subject.fresh(), subject.proposals, none), "when no consent data are given")
    empty = attrs.evolve(subject.situation, consents=Consents.of([]))
    _opened(before, _review(subject.fresh(), subject.proposals, empty), "when no consent is on file")


def the_future_opens_no_door(subject: _Policy) -> None:
    """Contacts and consents dated on later days let nothing through that is refused without them."""
    known, today = subject.situation, subject.situation.as_of
    touches = known.touches.take(known.touches.at < np.datetime64(today, "D"))
    consents = known.consents
    past = attrs.evolve(
        known,
        touches=touches,
        consents=None if consents is None else consents.take(~(consents.at > np.datetime64(today, "D"))),
    )
    later = [(who, days) for who in known.customer_id.tolist() for days in (1, 3, 40)]
    who = [one for one, _ in later]
    at = np.datetime64(today, "D") + np.asarray([days for _, days in later], dtype="timedelta64[D]")
    coming = touches
    for kind, channel in (("give", "phone"), ("thank", "post"), ("connect", "shop")):
        more = {"channel": [channel] * len(who), "kind": [kind] * len(who)}
        coming = coming.joined(Touches.from_arrays(customer_id=who, at=at, **more))
    promised = Consents.of([]) if past.consents is None else past.consents
    for channel, purpose in sorted({(a.channel, a.purpose) for a in subject.proposals.actions}):
        asked = {"channel": [channel] * len(who), "purpose": [purpose] * len(who)}
        promised = promised.joined(Consents.from_arrays(customer_id=who, at=at, **asked))
    before = _review(subject.fresh(), subject.proposals, past)
    for name, future in (
        ("contacts", attrs.evolve(past, touches=coming)),
        ("consents", attrs.evolve(past, consents=promised)),
    ):
        after = _review(subject.fresh(), subject.proposals, future)
        _opened(before, after, f"because of {name} of days to come")


def more_contacts_open_no_door(subject: _Policy) -> None:
    """Where it says ``monotone = True``: with more contacts on file no veto of it disappears."""
    if not getattr(subject.thing, "monotone", False):
        raise NotAsked("the policy does not say that it is monotone")
    known, before = subject.situation, subject.review()
    who = known.customer_id.tolist()
    for channel, kind in (
        ("phone", "give"),
        ("E-Mail", "ask"),
        ("post", "thank"),
        ("sms", "remind"),
        ("fax", "connect"),
    ):
        for ago in (0, 1, 6, 20, 200):
            more = Touches.from_arrays(
                customer_id=who,
                at=[known.as_of - max(ago, 1) * _DAY if ago else None for _ in who],
                channel=[channel] * len(who),
                kind=[kind] * len(who),
            )
            busier = attrs.evolve(known, touches=known.touches.joined(more))
            after = _review(subject.fresh(), subject.proposals, busier)
            _opened(before, after, f"because of one more contact ({kind}, {channel})")


def the_world_stays_as_it_was(subject: _Policy) -> None:
    """It prints nothing and changes no state that all code shares: environment, warnings, random states, folder."""
    policy = subject.fresh()
    with nothing_shared_changes():
        _review(policy, subject.proposals, subject.situation)


LAWS = laws(
    has_a_name,
    answers_every_proposal,
    a_veto_has_a_reason,
    reasons_name_nobody,
    windows_are_in_order,
    same_question_same_answer,
    input_untouched,
    order_does_not_matter,
    one_is_many,
    nothing_asked_nothing_answered,
    silence_is_safe,
    no_consents_open_no_door,
    the_future_opens_no_door,
    more_contacts_open_no_door,
    the_world_stays_as_it_was,
)
KIT = Kit("contact_policy", LAWS, _subject)


def check_contact_policy(
    policy: Any, *, shop: SampleShop | None = None, expected_failures: Mapping[str, str] | None = None
) -> None:
    """Hold a policy to every law of ``LAWS``; one BrokenLaws names all that it breaks.

    Args:
        policy: the policy, or a class or function that makes one without arguments.
        shop: the situation and proposals to ask about; None takes ``sample_shop()``.
        expected_failures: laws that are known to fail, by name, each with the reason.
    """
    data = {} if shop is None else {"shop": shop}
    report(policy, "contact_policy", expected_failures=expected_failures, **data).raise_if_broken()
