"""What may be done to a customer, what was done, what was refused, and what came of it."""

import datetime as dt
from typing import Literal, get_args

from attrs import field, frozen
from attrs.validators import in_, optional

from retention.domain._checks import not_blank, not_negative, probability
from retention.errors import RetentionError

__all__ = ["Kind", "Reward", "Action", "Touch", "Contact", "Veto", "Outcome"]

Kind = Literal["give", "ask", "thank", "remind", "connect", "wait"]

Reward = Literal["goods", "discount", "points", "accommodation", "access", "recognition"]


@frozen(kw_only=True)
class Action:
    """Something that may be done to a customer: data, not code.

    ``money`` is in the log's currency, ``hours`` in working hours of attention, both per contact.
    ``customer_benefit`` says what is in it for her and may not be blank: an action that is good for the
    firm alone cannot be written down. ``needs_consent`` says whether the channel may be used only with a
    recorded permission.

    ``reward`` says what is given with it, ``reward_cost`` what that costs the firm where it is taken and
    ``perceived_value`` what it is worth to her, both in money. An *incentive* is ``conditional``: she gets it for
    something she does, and only the share ``take_up`` is expected to. A *thank-you* is unconditional. ``touchpoint``
    is True where she is met anyway (her visit, her parcel, her invoice). ``control`` is the share of those chosen for
    this action who are left alone instead, always the same ones, so that this action's effect can be measured.

    Example:
        >>> card = Action(name="thank-you card", kind="thank", channel="post", money=1.5, hours=0.1,
        ...               customer_benefit="is noticed and thanked", needs_consent=False)
        >>> card.outlay
        1.5
        >>> voucher = Action(name="voucher", kind="ask", channel="email", money=0.01, reward="discount",
        ...                  reward_cost=5, take_up=0.2, conditional=True, perceived_value=6,
        ...                  customer_benefit="five off what she buys anyway")
        >>> voucher.outlay, voucher.expected_cost
        (5.01, 1.01)
    """

    name: str = field(validator=not_blank)
    kind: Kind = field(validator=in_(get_args(Kind)))
    channel: str = field(validator=not_blank)
    money: float = field(default=0.0, validator=not_negative)
    hours: float = field(default=0.0, validator=not_negative)
    customer_benefit: str = field(validator=not_blank)
    needs_consent: bool = True
    purpose: str = field(default="marketing", validator=not_blank)
    reward: Reward | None = field(default=None, validator=optional(in_(get_args(Reward))))
    reward_cost: float = field(default=0.0, validator=not_negative)
    perceived_value: float = field(default=0.0, validator=not_negative)
    conditional: bool = False
    take_up: float = field(default=1.0, validator=probability)
    touchpoint: bool = False
    control: float = field(default=0.0, validator=probability)

    def __attrs_post_init__(self) -> None:
        faults = {
            "a reward_cost without a reward": self.reward_cost > 0 and self.reward is None,
            "a take_up below 1 without a condition": self.take_up < 1 and not self.conditional,
            "a thank-you with a condition": self.kind == "thank" and self.conditional,
            "a control of all": self.control >= 1,
        }
        for fault in (fault for fault, there in faults.items() if there):
            raise RetentionError(
                f"Action {self.name!r}: {fault}",
                rule="a reward has a type; what all get all take; thanks are unconditional; somebody gets it",
                remedy="name the reward, set conditional=True for an incentive, another kind than 'thank', control < 1",
            )

    @property
    def outlay(self) -> float:
        """The most money one contact can cost, reward included: what counts against a budget."""
        return self.money + self.reward_cost

    @property
    def expected_cost(self) -> float:
        """The money one contact is expected to cost."""
        return self.money + self.take_up * self.reward_cost


@frozen(kw_only=True)
class Touch:
    """One contact that happened, in or out."""

    customer_id: str = field(validator=not_blank)
    at: dt.date
    channel: str = field(validator=not_blank)
    kind: str = "give"
    direction: Literal["in", "out"] = field(default="out", validator=in_(("in", "out")))


@frozen(kw_only=True)
class Contact:
    """One planned contact: whom, with what, when, why, and what it is expected to earn."""

    customer_id: str = field(validator=not_blank)
    action: Action
    opens: dt.date
    closes: dt.date
    reason: str = field(validator=not_blank)
    expected_incremental_margin: float
    probability: float = field(default=1.0, validator=probability)


@frozen(kw_only=True)
class Veto:
    """A proposal that a policy refused, and why."""

    customer_id: str = field(validator=not_blank)
    action: str = field(validator=not_blank)
    policy: str = field(validator=not_blank)
    reason: str = field(validator=not_blank)


@frozen(kw_only=True)
class Outcome:
    """What came back: a reply, a purchase, a complaint, a withdrawal."""

    customer_id: str = field(validator=not_blank)
    at: dt.date
    kind: str = field(validator=not_blank)
    amount: float = 0.0
    action: str | None = None
