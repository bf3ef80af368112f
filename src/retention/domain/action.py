"""What may be done to a customer, what was done, what was refused, and what came of it."""

import datetime as dt
from typing import Literal, get_args

from attrs import field, frozen
from attrs.validators import in_

from retention.domain._checks import not_blank, not_negative, probability

__all__ = ["Kind", "Action", "Touch", "Contact", "Veto", "Outcome"]

Kind = Literal["give", "ask", "thank", "remind", "connect", "wait"]


@frozen(kw_only=True)
class Action:
    """Something that may be done to a customer: data, not code.

    ``money`` is in the log's currency, ``hours`` in working hours of attention, both per contact.
    ``customer_benefit`` says what is in it for her and may not be blank: an action that is good for the
    firm alone cannot be written down. ``needs_consent`` says whether the channel may be used only with a
    recorded permission.

    Example:
        >>> card = Action(name="thank-you card", kind="thank", channel="post", money=1.5, hours=0.1,
        ...               customer_benefit="is noticed and thanked", needs_consent=False)
        >>> card.money
        1.5
    """

    name: str = field(validator=not_blank)
    kind: Kind = field(validator=in_(get_args(Kind)))
    channel: str = field(validator=not_blank)
    money: float = field(default=0.0, validator=not_negative)
    hours: float = field(default=0.0, validator=not_negative)
    customer_benefit: str = field(validator=not_blank)
    needs_consent: bool = True
    purpose: str = field(default="marketing", validator=not_blank)


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
