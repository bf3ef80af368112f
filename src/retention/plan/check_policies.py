"""An independent look at a finished plan: does it keep the contact policies it was made with?

Written apart from the policies and by other means: one contact at a time, days counted on the calendar, every minute
of a contact's hours looked up on her clock. It reads a policy's settings and never asks for its opinion. It is slow and
plain on purpose.
"""

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from attrs import frozen

from retention.domain import Action
from retention.plan.plan import Plan
from retention.plan.policies import built_in_policies
from retention.plan.proposals import ContactPolicy
from retention.plan.situation import Situation

__all__ = ["check_policies"]

_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_KINDS = {"give", "ask", "thank", "remind", "connect", "wait"}


def check_policies(plan: Plan, situation: Situation, policies: Iterable[ContactPolicy] | None = None) -> list[str]:
    """Which policies a plan breaks, a line each; an empty list if it keeps them all.

    ``policies`` are the objects that the plan was made with; None means the built-in ones. A policy that is not of this
    library cannot be judged, and a line says so. Lines give counts, never ids.

    Example:
        >>> from retention.plan import Budget, FrequencyCap, examples, plan_for, situate
        >>> situation = situate(*examples.small_base())
        >>> plan = plan_for(situation, budget=Budget(money=5, hours=1), holdout=0)
        >>> check_policies(plan, situation), check_policies(plan, situation, [FrequencyCap(max_contacts=0)])
        ([], ['frequency-cap: 2 contacts break it'])
    """
    judged = built_in_policies() if policies is None else tuple(policies)
    known = _Known.of(plan, situation, {getattr(policy, "attribute", "") for policy in judged})
    contacts = [plan.row(i) for i in range(len(plan)) if plan.decision[i] == "contact"]
    wrong = []
    for policy in judged:
        broken = _RULES.get(type(policy).__name__)
        if broken is None or not type(policy).__module__.startswith("retention.plan.policies"):
            wrong.append(f"{policy.name}: not a policy of this library, so nobody has judged it")
            continue
        count = sum(1 for row in contacts if broken(policy, row, known))
        if count:
            wrong.append(f"{policy.name}: {count} contacts break it")
    return wrong


@frozen(eq=False)
class _Known:
    """What is on file, by customer."""

    plan: Plan
    situation: Situation
    touches: Mapping[str, list[dict[str, Any]]]
    consents: Mapping[str, list[dict[str, Any]]]
    attributes: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, plan: Plan, situation: Situation, attributes: Iterable[str]) -> "_Known":
        by_id: list[dict[str, list[dict[str, Any]]]] = []
        for table in (situation.touches, situation.consents):
            mine: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for one in (table.row(i) for i in range(len(table))) if table is not None else ():
                mine[one["customer_id"]].append(one)
            by_id.append(dict(mine))
        told: dict[str, Mapping[str, Any]] = {}
        for source in (situation.histories.attributes, situation.attributes):  # the latter overrules
            for name in set(attributes) & set(source):
                if isinstance(source[name], Mapping):
                    told[name] = {str(who): value for who, value in source[name].items()}
                else:
                    told[name] = dict(zip(situation.customer_id.tolist(), list(source[name]), strict=True))
        return cls(plan, situation, by_id[0], by_id[1], told)

    def actions(self, row: Mapping[str, Any]) -> list[Action]:
        same = ("action", "channel", "kind")
        return [a for a in self.plan.actions if (a.name, a.channel, a.kind) == tuple(row[name] for name in same)]

    def sent(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Her contacts that are not plainly inbound, each with its day; one without a day is of today."""
        return [
            {**one, "at": min(one["at"] or self.situation.as_of, self.situation.as_of)}
            for one in self.touches.get(row["customer_id"], [])
            if one["direction"] != "in"
        ]

    def of_her(self, attribute: str, row: Mapping[str, Any]) -> Any:
        return self.attributes.get(attribute, {}).get(row["customer_id"])


def _about(policy: Any, row: Mapping[str, Any], known: _Known) -> bool:
    """Whether the rule is about this contact."""
    purposes = {action.purpose.strip().casefold() for action in known.actions(row)}
    return (
        (policy.channel is None or row["channel"].strip().casefold() in policy.channel)
        and (policy.action_kind is None or row["kind"] in policy.action_kind)
        and (policy.purpose is None or bool(purposes & set(policy.purpose)))
    )


def _may_count(policy: Any, touch: Mapping[str, Any]) -> bool:
    """Whether a contact on file may have been one of those that the rule is about."""
    channel, kind = touch["channel"].strip().casefold(), touch["kind"].strip().casefold()
    other_channel = policy.channel is not None and channel and channel not in policy.channel
    other_kind = policy.action_kind is not None and kind in _KINDS and kind not in policy.action_kind
    return not other_channel and not other_kind


def _within(policy: Any, row: Mapping[str, Any], known: _Known, days: int) -> int:
    """How many contacts that count lie in the ``days`` days that end today."""
    today = known.situation.as_of
    return sum(1 for touch in known.sent(row) if (today - touch["at"]).days < days and _may_count(policy, touch))


def _consent(policy: Any, row: Mapping[str, Any], known: _Known) -> bool:
    return any(action.needs_consent and not _consented(policy, row, action, known) for action in known.actions(row))


def _consented(policy: Any, row: Mapping[str, Any], action: Action, known: _Known) -> bool:
    asked = (action.channel.strip().casefold(), action.purpose.strip().casefold())
    said = [
        (record["at"] or dt.date.min, not record["granted"])
        for record in known.consents.get(row["customer_id"], [])
        if (record["channel"].strip().casefold(), record["purpose"].strip().casefold()) == asked
        and (record["at"] or dt.date.min) <= known.situation.as_of
    ]
    if not said or max(said)[1]:
        return False
    return policy.valid_days is None or bool((known.situation.as_of - max(said)[0]).days < policy.valid_days)


def _blank(value: Any) -> bool:
    return value is None or str(value).strip().lower() in ("", "nan", "unknown")


def _words(row: Mapping[str, Any], known: _Known) -> str:
    return str(known.situation.causes.get(row["customer_id"], "")).strip().lower()


def _deceased(policy: Any, row: Mapping[str, Any], known: _Known) -> bool:
    return any(word in policy.causes for word in re.findall(r"\w+", _words(row, known)))


def _uncontrollable(policy: Any, row: Mapping[str, Any], known: _Known) -> bool:
    return _words(row, known) in policy.causes and row["kind"] not in policy.allows


def _complaint(policy: Any, row: Mapping[str, Any], known: _Known) -> bool:
    waits = row["customer_id"] in known.situation.open_complaints
    return waits and row["kind"] in policy.blocks and _about(policy, row, known)


def _cap(policy: Any, row: Mapping[str, Any], known: _Known) -> bool:
    return _about(policy, row, known) and _within(policy, row, known, policy.days) + 1 > int(policy.max_contacts)


def _gap(policy: Any, row: Mapping[str, Any], known: _Known) -> bool:
    return _about(policy, row, known) and _within(policy, row, known, policy.days) > 0


def _gives(policy: Any, row: Mapping[str, Any], known: _Known) -> bool:
    """Her contacts retold in order: an ask sets the count to nothing, for its whole day."""
    if row["kind"] not in policy.asks:
        return False
    by_day: dict[dt.date, list[dict[str, Any]]] = defaultdict(list)
    for touch in known.sent(row):
        by_day[touch["at"]].append(touch)
    count = 0
    for day in sorted(by_day):
        kinds = [touch["kind"].strip().casefold() for touch in by_day[day]]
        if any(kind in policy.asks or kind not in _KINDS for kind in kinds):
            count = 0
        elif day < known.situation.as_of:
            count += sum(
                1
                for touch, kind in zip(by_day[day], kinds, strict=True)
                if kind in policy.counts and touch["direction"].strip().casefold() == "out"
            )
    return count < int(policy.gives)


def _saturation(policy: Any, row: Mapping[str, Any], known: _Known) -> bool:
    if not _about(policy, row, known):
        return False
    limit = (policy.limits or {}).get(row["customer_id"])
    limit = known.of_her(policy.attribute, row) if limit is None else limit
    limit = policy.default if _blank(limit) else limit
    if limit is None or isinstance(limit, bool):
        return True
    try:
        most = Fraction(float(limit))
    except (TypeError, ValueError, OverflowError):
        return True
    return bool(most < _within(policy, row, known, policy.days) + 1)


def _quiet(policy: Any, row: Mapping[str, Any], known: _Known) -> bool:
    if not _about(policy, row, known):
        return False
    zone = known.of_her(policy.attribute, row)
    zone = policy.time_zone if _blank(zone) else zone
    first, last = row["not_before"], row["not_after"]
    if not isinstance(zone, str) or first is None or last is None or last < first:
        return True
    rules = (policy.quiet_from, policy.quiet_until, policy.closed, policy.holidays)
    return _heard(zone, first, last, row["opens"], row["closes"], *rules)


@lru_cache(maxsize=100_000)
def _heard(
    zone: str,
    first: dt.datetime,
    last: dt.datetime,
    opens: dt.date,
    closes: dt.date,
    quiet_from: dt.time,
    quiet_until: dt.time,
    closed: tuple[str, ...],
    holidays: tuple[dt.date, ...],
) -> bool:
    """Whether any minute between two instants of UTC is one in which she wants to be left in peace."""
    try:
        hers = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return True
    at = first.replace(tzinfo=dt.UTC)
    while at <= last.replace(tzinfo=dt.UTC):
        local = at.astimezone(hers)
        clock = local.time().replace(fold=0)
        if quiet_from < quiet_until:
            asleep = quiet_from <= clock < quiet_until
        else:
            asleep = clock >= quiet_from or clock < quiet_until
        day = local.date()
        if asleep or not opens <= day <= closes or _WEEK[day.weekday()] in closed or day in holidays:
            return True
        at += dt.timedelta(minutes=1)
    return False


_RULES: Mapping[str, Callable[[Any, Mapping[str, Any], _Known], bool]] = {
    "ConsentPolicy": _consent,
    "DoNotContact": lambda policy, row, known: row["customer_id"] in known.situation.do_not_contact,
    "Deceased": _deceased,
    "UncontrollableCause": _uncontrollable,
    "OpenComplaint": _complaint,
    "FrequencyCap": _cap,
    "MinimumGap": _gap,
    "GivesBeforeAsk": _gives,
    "Saturation": _saturation,
    "QuietHours": _quiet,
}
