"""Offers as data: what may be done for a customer, for whom, and what it may bring, written down in TOML.

An offer is an action with three segments and an assumption. *Eligible*: may she have it at all? *Applicable*: does it
make sense for her now? *Suitable*: is it good for her? They are three questions, and each excludes in its own words.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

import attrs
import numpy as np
from attrs import field, frozen

from retention.domain import Action
from retention.domain.action import Reward
from retention.errors import ConfigError, nearest
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Table, TextColumn, column
from retention.frames.texts import Labels, Told
from retention.plan import proposing
from retention.plan.proposals import Assumption, Proposals
from retention.plan.segments import Criteria
from retention.plan.situation import Situation
from retention.plan.strategies import margin_if_she_returns

__all__ = ["STAKES", "Offer", "OfferCosts", "OfferStrategy", "Screening"]

STAKES: Mapping[str, Callable[[Situation], FloatColumn]] = {
    "margin at risk": lambda s: s.outlook.at_risk_per_day * proposing.horizon(s),
    "expected margin": lambda s: s.valuation.expected_margin,
    "missing to next tier": lambda s: s.tiering.to_next,
    "leaving": lambda s: s.outlook.p_leaves * s.outlook.margin_per_day * proposing.horizon(s),
    "a purchase": lambda s: s.valuation.margin_mean,
    "if she returns": margin_if_she_returns,
}
"""What an offer can be about, in money a customer within the valuation's horizon: the lift is a share of it.

*margin at risk* is what an overdue customer may stop bringing; *expected margin* what she is expected to bring;
*missing to next tier* what she lacks of it; *leaving* what is lost where no purchase follows this one; *a purchase* the
margin of one of her purchase days; *if she returns* what a lapsed customer would bring if she came back.
"""


def _fits(names: tuple[str, ...]) -> Callable[[Any, "attrs.Attribute[Any]", Any], None]:
    def check(instance: "Offer", attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value not in names:
            raise ConfigError(
                f"offer {instance.name!r}: {attribute.name} = {value!r}",
                rule=f"{attribute.name} is one that there is",
                remedy=nearest(str(value), names),
            )

    return check


def _number(least: float, most: float = math.inf) -> Callable[[Any, "attrs.Attribute[Any]", Any], None]:
    def check(instance: "Offer", attribute: "attrs.Attribute[Any]", value: Any) -> None:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not (good and least <= value <= most):
            raise ConfigError(
                f"offer {instance.name!r}: {attribute.name} = {value!r}",
                rule=f"a number from {least:g}" + ("" if most == math.inf else f" to {most:g}"),
                remedy=f"give {attribute.name} such a number",
            )

    return check


@frozen(kw_only=True)
class Offer:
    """An action, for whom it is, and what it may bring.

    The expected gain of a contact is ``lift`` × ``stake`` (one of :data:`STAKES`); ``lift`` is an assumption until it
    is measured, and ``spread`` one standard deviation of belief as a share of it. The window is the next
    ``window_days`` days. ``eligible``, ``applicable`` and ``suitable`` are :class:`Criteria`; left out, they exclude
    nobody.

    Example:
        >>> card = Action(name="card", kind="thank", channel="post", money=1.5, customer_benefit="is thanked")
        >>> Offer(action=card, stake="expected margin", lift=0.03, eligible=Criteria({"tier": "gold"})).name
        'card'
    """

    action: Action = field(validator=attrs.validators.instance_of(Action))
    stake: str = field(default="expected margin", validator=_fits(tuple(STAKES)))
    lift: float = field(validator=_number(0.0, 1.0))
    spread: float = field(default=0.5, validator=_number(0.0))
    window_days: int = field(default=28, validator=_number(1))
    eligible: Criteria = field(factory=Criteria)
    applicable: Criteria = field(factory=Criteria)
    suitable: Criteria = field(factory=Criteria)

    @property
    def name(self) -> str:
        """The action's name."""
        return self.action.name

    def to_dict(self) -> dict[str, Any]:
        """The offer as ``[[offer]]`` has it; what equals its default is left out."""
        told: dict[str, Any] = {}
        for source in (self.action, self):
            for one in attrs.fields(type(source)):
                value = getattr(source, one.name)
                if isinstance(value, Criteria):
                    value = value.to_dict()
                if one.name != "action" and value != {} and (one.default is attrs.NOTHING or value != one.default):
                    told[one.name] = value
        if self.action.reward is not None:
            told |= {name: getattr(self.action, name) for name in ("reward_cost", "perceived_value")}
        return told


@frozen(eq=False, repr=False, kw_only=True)
class OfferCosts(Table):
    """One row an offer: what it costs the firm and what it is worth to her."""

    key = "offer"

    offer: TextColumn = column("name of its action")
    kind: TextColumn = column("give, ask, thank, remind, connect or wait")
    reward: TextColumn = column("what is given with it; empty for nothing")
    conditional: BoolColumn = column("whether she has to do something for it: an incentive, and not thanks")
    touchpoint: BoolColumn = column("whether she is met anyway")
    money: FloatColumn = column("of the contact", unit="money")
    reward_cost: FloatColumn = column("of the reward where it is taken", unit="money")
    take_up: FloatColumn = column("share that takes it")
    expected_cost: FloatColumn = column("money that one contact is expected to cost", unit="money")
    outlay: FloatColumn = column("most money that one contact can cost", unit="money")
    perceived_value: FloatColumn = column("worth of the reward to her", unit="money")
    hours: FloatColumn = column("attention", unit="hours")


@frozen(eq=False, repr=False, kw_only=True)
class Screening(Table):
    """One row a customer and offer that she is not made, and which of the three questions says so."""

    customer_id: TextColumn = column("who")
    offer: TextColumn = column("what she is not offered")
    why: TextColumn = column("'not eligible', 'not applicable' or 'not suitable': the first that says no")
    reason: TextColumn = column("in words")

    def counts(self) -> dict[str, dict[str, int]]:
        """By offer and question, how many customers it leaves out."""
        found: dict[str, dict[str, int]] = {}
        for offer, why in zip(self.offer.tolist(), self.why.tolist(), strict=True):
            found.setdefault(offer, {}).setdefault(why, 0)
            found[offer][why] += 1
        return found

    def __repr__(self) -> str:
        told = [f"{o}: {', '.join(f'{n:,} {why}' for why, n in c.items())}" for o, c in self.counts().items()]
        return f"<Screening: {'; '.join(told) or 'nobody is left out'}>"


def _wishes(given: Mapping[str, Iterable[str]]) -> Mapping[str, tuple[str, ...]]:
    return {name: tuple(rewards) for name, rewards in given.items()}


def _in_a_row(given: Iterable[Offer]) -> tuple[Offer, ...]:
    return tuple(given)


@frozen(kw_only=True, repr=False)
class OfferStrategy:
    """A strategy that is data: every offer to everybody whom it fits.

    ``segments`` are named :class:`Criteria`. ``wants`` says of some of them what rewards their customers want: to a
    customer in such a segment an offer is suitable only if it gives one of these rewards, or none at all. Where she is
    in several, any of their wishes will do; who is not known to be in any has no wishes on file.

    Offers made where she is met anyway (``touchpoint``) come first among :attr:`actions`, and of two actions worth the
    same the allocator takes the first.

    Raises:
        ConfigError: two offers of one name, or wishes of a segment that is not there or for no reward type.

    Example:
        >>> from retention.plan import examples, situate
        >>> from retention.plan import read_offers
        >>> offers = read_offers({"offer": [{
        ...     "name": "birthday card", "kind": "give", "channel": "post", "money": 1.5, "needs_consent": False,
        ...     "customer_benefit": "somebody thought of her", "stake": "expected margin", "lift": 0.05,
        ...     "eligible": {"tier": ["gold", "silver"]}, "applicable": {"overdue": False},
        ... }]})
        >>> situation = situate(*examples.small_base())
        >>> offers.propose(situation).customer_id.tolist(), offers.screened(situation)
        (['bea'], <Screening: birthday card: 1 not eligible, 1 not applicable>)
    """

    offers: tuple[Offer, ...] = field(default=(), converter=_in_a_row)
    segments: Mapping[str, Criteria] = field(factory=dict)
    wants: Mapping[str, tuple[str, ...]] = field(factory=dict, converter=_wishes)
    name: str = "offers"

    def __attrs_post_init__(self) -> None:
        names = [offer.name for offer in self.offers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(
                f"two offers named {twice[0]!r}",
                rule="an offer is an arm of its own: what it brings is measured by its name",
                remedy="rename one of them",
            )
        for name, rewards in self.wants.items():
            for given, known, what in [(name, self.segments, "segment")] + [
                (reward, get_args(Reward), "reward") for reward in rewards
            ]:
                if given not in known:
                    raise ConfigError(
                        f"segment {name!r}: wants {', '.join(map(str, rewards))}",
                        rule=f"wants names reward types, of a segment that there is; {given!r} is no {what}",
                        remedy=nearest(str(given), known),
                    )

    @property
    def ordered(self) -> tuple[Offer, ...]:
        """The offers with those where she is met anyway first, else as they were written."""
        return tuple(sorted(self.offers, key=lambda offer: not offer.action.touchpoint))

    @property
    def actions(self) -> tuple[Action, ...]:
        """Their actions, in that order."""
        return tuple(offer.action for offer in self.ordered)

    @property
    def thanks(self) -> tuple[Offer, ...]:
        """Rewards and thanks without a condition."""
        return tuple(
            o for o in self.offers if not o.action.conditional and (o.action.reward or o.action.kind == "thank")
        )

    @property
    def incentives(self) -> tuple[Offer, ...]:
        """Offers of something for something."""
        return tuple(offer for offer in self.offers if offer.action.conditional)

    def propose(self, situation: Situation) -> Proposals:
        """Every offer to everybody who may have it, for whom it makes sense now, and for whom it is good."""
        offers = self.ordered
        parts = []
        for index, offer in enumerate(offers):
            stake = np.asarray(STAKES[offer.stake](situation), dtype=np.float64)
            fits = ~np.any([out for _, out, _ in self._questions(offer, situation)], axis=0)
            rows = np.flatnonzero(fits & np.isfinite(stake) & (stake > 0) & (offer.lift > 0))
            parts.append((rows, np.full(len(rows), index), stake[rows]))
        if not sum(len(rows) for rows, _, _ in parts):
            return Proposals.none()
        rows, which, stake = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.lexsort((which, rows))
        rows, which, stake = rows[order].astype(np.int64), which[order].astype(np.int64), stake[order]
        lift, spread, days = (np.asarray([getattr(o, a) for o in offers]) for a in ("lift", "spread", "window_days"))
        today = np.full(len(rows), np.datetime64(situation.as_of, "D"))
        gain = lift[which] * stake
        fitting = [_fitting(offer) for offer in offers]

        def tell(at: IntColumn) -> list[str]:
            amounts = proposing.monies(stake[at], situation)
            chosen = zip(which[at].tolist(), amounts, strict=True)
            return [f"{offers[k].stake}: {amount}{fitting[k]}" for k, amount in chosen]

        made: dict[str, Any] = {
            "customer_id": Labels(rows, situation.customer_id),
            "strategy": Labels.constant(self.name, len(rows)),
            "reason": Told(tell, np.arange(len(rows))),
            "evidence": Labels.constant("assumption", len(rows)),
        }
        return Proposals(
            base_row=rows,
            action=which,
            gain=gain,
            gain_sd=gain * spread[which],
            opens=today,
            closes=today + (days[which].astype(np.int64) - 1).astype("timedelta64[D]"),
            actions=tuple(offer.action for offer in offers),
            assumptions=tuple(
                Assumption(
                    strategy=self.name,
                    name=offer.name,
                    value=offer.lift,
                    spread=offer.lift * offer.spread,
                    meaning=f"share of what is at stake ({offer.stake}) that the contact brings",
                )
                for offer in offers
            ),
            **made,
        )

    def screened(self, situation: Situation) -> Screening:
        """Who is not made which offer, and which of the three questions says so (the first that does).

        Whoever passes all three and has nothing at stake is proposed nothing either, and is not listed.
        """
        parts: list[tuple[IntColumn, str, str, str]] = []
        for offer in self.ordered:
            left = np.ones(len(situation), dtype=bool)
            for why, out, reason in self._questions(offer, situation):
                rows = np.flatnonzero(left & out)
                parts.append((rows, offer.name, why, reason))
                left &= ~out
        count = [len(rows) for rows, *_ in parts]
        where = np.concatenate([np.zeros(0, dtype=np.int64), *(rows for rows, *_ in parts)])

        def repeated(position: int) -> TextColumn:
            return np.repeat(np.asarray([part[position] for part in parts], dtype=np.str_), count)

        return Screening(
            customer_id=situation.customer_id[where], offer=repeated(1), why=repeated(2), reason=repeated(3)
        )

    def costs(self) -> OfferCosts:
        """What every offer costs, reward included, and what the reward is worth to her."""
        offers = self.ordered
        figures = ("money", "reward_cost", "take_up", "expected_cost", "outlay", "perceived_value", "hours")
        columns: dict[str, Any] = {
            name: np.asarray([getattr(o.action, name) for o in offers], dtype=np.float64) for name in figures
        }
        return OfferCosts(
            offer=np.asarray([o.name for o in offers], dtype=np.str_),
            kind=np.asarray([o.action.kind for o in offers], dtype=np.str_),
            reward=np.asarray([o.action.reward or "" for o in offers], dtype=np.str_),
            conditional=np.asarray([o.action.conditional for o in offers], dtype=bool),
            touchpoint=np.asarray([o.action.touchpoint for o in offers], dtype=bool),
            **columns,
        )

    def to_dict(self) -> dict[str, Any]:
        """What :func:`read_offers` makes the same strategy of."""
        told: dict[str, Any] = {"offer": [offer.to_dict() for offer in self.offers]}
        if self.segments:
            told["segment"] = {
                name: rules.to_dict() | ({"wants": list(self.wants[name])} if name in self.wants else {})
                for name, rules in self.segments.items()
            }
        return told

    def to_toml(self) -> str:
        """The same as a TOML file."""
        told = self.to_dict()
        blocks = [("[[offer]]", offer) for offer in told["offer"]]
        blocks += [(f"[segment.{_toml(name)}]", rules) for name, rules in told.get("segment", {}).items()]
        return "\n".join(
            head + "\n" + "".join(f"{_key(key)} = {_toml(value)}\n" for key, value in body.items())
            for head, body in blocks
        )

    def _questions(self, offer: Offer, situation: Situation) -> list[tuple[str, BoolColumn, str]]:
        """The questions in their order: what a no is called, whom it leaves out, and in which words."""
        asked: list[tuple[str, BoolColumn, str]] = [
            (f"not {word}", ~rules.among(situation), f"not known to be so: {rules}")
            for word, rules in (
                ("eligible", offer.eligible),
                ("applicable", offer.applicable),
                ("suitable", offer.suitable),
            )
            if rules
        ]
        if offer.action.reward is not None and self.wants:
            wishes, pleased = np.zeros((2, len(situation)), dtype=bool)
            for name, rewards in self.wants.items():
                mask = self.segments[name].among(situation)
                wishes |= mask
                pleased |= mask & (offer.action.reward in rewards)
            asked.append(("not suitable", wishes & ~pleased, f"she wants something else than {offer.action.reward}"))
        return asked or [("not eligible", np.zeros(len(situation), dtype=bool), "")]

    def __repr__(self) -> str:
        return f"<OfferStrategy {self.name!r}: {len(self.offers)} offers, {len(self.segments)} segments>"


def _fitting(offer: Offer) -> str:
    told = [str(rules) for rules in (offer.eligible, offer.applicable, offer.suitable) if rules]
    return f"; {'; '.join(told)}" if told else ""


def _toml(value: Any) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for the one control character that JSON lets pass.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, int | float) else value.isoformat()


def _key(key: str) -> str:
    plain = key and all(c.isascii() and (c.isalnum() or c in "_-") for c in key)
    return key if plain else _toml(key)
