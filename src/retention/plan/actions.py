"""The built-in actions: what a small shop can do for a customer, with what it costs.

Costs are starting values in the log's currency and in working hours; pass a strategy your own actions to change them
(``attrs.evolve(CHECK_IN_CARD, money=2.20)``). A ``touchpoint`` is where she is met anyway: in her parcel, at the
counter.
"""

from retention.domain import Action

__all__ = [
    "CHECK_IN_CALL",
    "CHECK_IN_EMAIL",
    "CHECK_IN_CARD",
    "TIER_EMAIL",
    "TIER_NOTE",
    "THANK_CARD",
    "THANK_IN_PERSON",
    "THANK_CALL",
    "HANDOVER_CALL",
    "HANDOVER_LETTER",
    "KEEP_IN_TOUCH_CARD",
    "KEEP_IN_TOUCH_EMAIL",
    "KEEP_IN_TOUCH_WORD",
    "WIN_BACK_CALL",
    "WIN_BACK_EMAIL",
    "WIN_BACK_CARD",
    "NEED_EMAIL",
    "NEED_WORD",
    "ACTIONS",
]

CHECK_IN_CALL = Action(
    name="check-in call",
    kind="give",
    channel="phone",
    hours=0.2,
    customer_benefit="someone asks how she is doing and puts right what went wrong",
)
CHECK_IN_EMAIL = Action(
    name="check-in e-mail",
    kind="give",
    channel="email",
    hours=0.02,
    customer_benefit="is asked whether all is well, and can answer when she likes",
)
CHECK_IN_CARD = Action(
    name="check-in card",
    kind="give",
    channel="post",
    money=1.50,
    hours=0.05,
    customer_benefit="a hand-written line shows that she is missed",
    needs_consent=False,
)
TIER_EMAIL = Action(
    name="next-tier e-mail",
    kind="ask",
    channel="email",
    hours=0.02,
    customer_benefit="learns how little is missing to the better terms of the next tier",
)
TIER_NOTE = Action(
    name="next-tier note",
    kind="ask",
    channel="in person",
    hours=0.03,
    customer_benefit="learns, in her parcel or at the counter, how little is missing to the next tier",
    needs_consent=False,
    touchpoint=True,
)
THANK_CARD = Action(
    name="thank-you card",
    kind="thank",
    channel="post",
    money=1.50,
    hours=0.05,
    customer_benefit="is noticed and thanked",
    needs_consent=False,
)
THANK_IN_PERSON = Action(
    name="thank-you in person",
    kind="thank",
    channel="in person",
    hours=0.05,
    customer_benefit="is greeted by name and thanked at her next visit",
    needs_consent=False,
    touchpoint=True,
)
THANK_CALL = Action(
    name="thank-you call",
    kind="thank",
    channel="phone",
    hours=0.15,
    customer_benefit="is thanked in person, with nothing to sell",
)
HANDOVER_CALL = Action(
    name="handover call",
    kind="connect",
    channel="phone",
    hours=0.25,
    customer_benefit="is introduced by name to whoever serves her where she goes, and need not start anew",
)
HANDOVER_LETTER = Action(
    name="handover letter",
    kind="connect",
    channel="post",
    money=1.50,
    hours=0.1,
    customer_benefit="learns how to take her account with her, and whom to ask",
    needs_consent=False,
)
KEEP_IN_TOUCH_EMAIL = Action(
    name="keep-in-touch e-mail",
    kind="remind",
    channel="email",
    hours=0.02,
    customer_benefit="finds help at hand about when she needs it, and can answer when she likes",
)
KEEP_IN_TOUCH_CARD = Action(
    name="keep-in-touch card",
    kind="remind",
    channel="post",
    money=1.50,
    hours=0.05,
    customer_benefit="is thought of about when she needs something, without being asked for anything",
    needs_consent=False,
)
KEEP_IN_TOUCH_WORD = Action(
    name="keep-in-touch word",
    kind="remind",
    channel="in person",
    hours=0.05,
    customer_benefit="is greeted by name and asked what she is planning next",
    needs_consent=False,
    touchpoint=True,
)
WIN_BACK_CALL = Action(
    name="win-back call",
    kind="give",
    channel="phone",
    hours=0.25,
    customer_benefit="is asked what went wrong, and has it put right if she likes",
)
WIN_BACK_EMAIL = Action(
    name="win-back e-mail",
    kind="give",
    channel="email",
    hours=0.02,
    customer_benefit="finds the door open, and can say why she stayed away",
)
WIN_BACK_CARD = Action(
    name="win-back card",
    kind="give",
    channel="post",
    money=1.50,
    hours=0.05,
    customer_benefit="a hand-written line tells her that she is welcome back",
    needs_consent=False,
)
NEED_EMAIL = Action(
    name="need-reminder e-mail",
    kind="remind",
    channel="email",
    hours=0.01,
    customer_benefit="is reminded of what she is about to run out of, and does not run out",
)
NEED_WORD = Action(
    name="need-reminder word",
    kind="remind",
    channel="in person",
    hours=0.02,
    customer_benefit="is asked at the counter whether she still has enough of what she uses up",
    needs_consent=False,
    touchpoint=True,
)

ACTIONS = (
    CHECK_IN_CALL,
    CHECK_IN_EMAIL,
    CHECK_IN_CARD,
    TIER_EMAIL,
    TIER_NOTE,
    THANK_CARD,
    THANK_IN_PERSON,
    THANK_CALL,
    HANDOVER_CALL,
    HANDOVER_LETTER,
    KEEP_IN_TOUCH_EMAIL,
    KEEP_IN_TOUCH_CARD,
    KEEP_IN_TOUCH_WORD,
    WIN_BACK_CALL,
    WIN_BACK_EMAIL,
    WIN_BACK_CARD,
    NEED_EMAIL,
    NEED_WORD,
)
"""All of them."""
