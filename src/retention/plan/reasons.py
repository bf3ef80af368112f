"""Why, or why not, for every customer of a base: one plain sentence with her numbers, made when it is asked for."""

from typing import Any, Self

import numpy as np
from attrs import frozen

from retention.domain import Action
from retention.frames.table import FloatColumn, IntColumn
from retention.frames.texts import Labels, Told
from retention.plan.budget import Budget
from retention.plan.choose import Choice
from retention.plan.proposals import Proposals
from retention.plan.situation import Situation
from retention.plan.vetoes import VetoTable

__all__ = ["reasons"]

# What tells a customer's story: her contact, else the budget that stopped one, else the cost, else the veto.
_WEIGHT = {"passed over": -1, "vetoed": 0, "no gain": 1, "budget": 2, "drawn": 3, "hold-out": 3, "chosen": 3}

_CENTS = [f".{cent:02d}" for cent in range(100)]


def reasons(
    situation: Situation,
    proposals: Proposals,
    vetoes: VetoTable,
    refused: IntColumn,
    choice: Choice,
    *,
    budget: Budget,
    holdout: float,
) -> Any:
    """A sentence for every customer, in the order of the base; ``refused`` are the proposals that the vetoes are of."""
    width: Any = np.int32 if len(proposals) < 2**31 else np.int64
    story = np.full(len(situation), -1, dtype=width)
    told = _story_order(proposals, choice)
    story[proposals.base_row[told]] = told  # the last of hers stays
    currency = situation.histories.currency
    say = _Reasons(
        idle=situation.outlook.idle_days,
        margin=situation.valuation.expected_margin,
        horizon=situation.valuation.horizon_days,
        unit=f" {currency}" if currency else "",
        story=story,
        proposals=proposals,
        choice=choice,
        refusals=_Refusals.of(vetoes, proposals.base_row[refused]),
        holdout=holdout,
        left=f"{_left(budget.money, choice.spent_money, 'money')} and "
        f"{_left(budget.hours, choice.spent_hours, 'hours')} left",
    )
    return Told(say, np.arange(len(situation)))


@frozen(eq=False, kw_only=True)
class _Refusals:
    """Which policies refused what was proposed for a customer, and why, in the order of the vetoes."""

    row: IntColumn
    said: Labels

    @classmethod
    def of(cls, vetoes: VetoTable, rows: IntColumn) -> Self:
        """From the vetoes and the customers that they are of."""
        policy, why = Labels.of(vetoes.policy), Labels.of(vetoes.reason)
        pairs, codes = np.unique(policy.codes.astype(np.int64) * len(why.labels) + why.codes, return_inverse=True)
        texts = [f"{policy.labels[pair // len(why.labels)]} ({why.labels[pair % len(why.labels)]})" for pair in pairs]
        order = np.argsort(rows, kind="stable")
        return cls(row=rows[order], said=Labels(codes.reshape(-1)[order], np.asarray(texts, dtype=np.str_)))

    def told(self, rows: IntColumn) -> list[str]:
        """For each of these customers who refused and why, each veto once."""
        first, last = (np.searchsorted(self.row, rows, side=side).tolist() for side in ("left", "right"))
        return ["; ".join(dict.fromkeys(self.said[i:j].tolist())) for i, j in zip(first, last, strict=True)]


@frozen(eq=False, kw_only=True)
class _Reasons:
    """The numbers from which the sentences follow: those of each customer, and the proposal that tells her story."""

    idle: FloatColumn
    margin: FloatColumn
    horizon: float
    unit: str
    story: IntColumn
    proposals: Proposals
    choice: Choice
    refusals: _Refusals
    holdout: float
    left: str

    def __call__(self, rows: IntColumn) -> list[str]:
        """The sentences of these customers."""
        end = f"{self.unit} of expected margin in {self.horizon:.0f} days"
        idle = self.idle[rows].tolist()
        days = {one: f"no strategy proposes a contact: silent for {one:.0f} days, " for one in set(idle)}
        told = [f"{days[one]}{margin}{end}" for one, margin in zip(idle, _amounts(self.margin[rows]), strict=True)]
        story = self.story[rows]
        some = np.flatnonzero(story >= 0)
        for i, text in zip(some.tolist(), self._stories(story[some]), strict=True):
            told[i] = text
        return told

    def _stories(self, which: IntColumn) -> list[str]:
        """What these proposals say of their customers."""
        proposals, choice = self.proposals, self.choice
        fates = choice.fate[which]
        vetoed = np.flatnonzero(fates == "vetoed")
        refusals = np.full(len(which), "", dtype=object)
        refusals[vetoed] = self.refusals.told(proposals.base_row[which[vetoed]])
        columns = (
            proposals.action[which],
            fates,
            proposals.evidence[which],
            proposals.gain[which],
            proposals.reason[which],
            choice.explored[which],
            refusals,
        )
        priced = [(action, self._cost(action), self._elsewhere(action)) for action in proposals.actions]
        stories = zip(*(column.tolist() for column in columns), strict=True)
        return [self._story(*priced[at], *values) for at, *values in stories]

    def _story(
        self,
        action: Action,
        cost: str,
        elsewhere: float,
        fate: str,
        source: str,
        gain: float,
        reason: str,
        explored: bool,
        refusals: str,
    ) -> str:
        hoped = f"{gain:,.2f}{self.unit} for {cost} ({source})"
        if fate == "chosen" and explored:
            return (
                f"{reason}; drawn by chance among what could be done for her: a {action.name}, "
                f"expected to bring {hoped}"
            )
        if fate == "drawn":
            return (
                f"drawn by chance to be left alone tonight, so that something is learned; a {action.name} was "
                f"expected to bring {hoped}"
            )
        if fate == "chosen":
            return f"{reason}; a {action.name} is expected to bring {hoped}"
        if fate == "hold-out":
            # An action with a control of its own has the two lots in one: who is in either is left alone.
            share = self.holdout + (1.0 - self.holdout) * action.control
            whom = f"all who would get a {action.name}" if action.control else "all customers"
            return (
                f"held out with {share:.0%} of {whom}, so that the effect can be measured; "
                f"a {action.name} was expected to bring {hoped}"
            )
        if fate == "budget":
            more = elsewhere > gain * (1 + 1e-9)
            others = f"; with others what it takes brings {elsewhere:,.2f}{self.unit}" if more else ""
            return f"no room in the budgets: a {action.name} is expected to bring {hoped}, with {self.left}{others}"
        if fate == "no gain":
            return f"not worth its cost: a {action.name} is expected to bring {hoped}"
        return f"refused by {refusals}; a {action.name} was expected to bring {hoped}"

    def _cost(self, action: Action) -> str:
        """What it takes, in words."""
        return (f"{action.outlay:,.2f}{self.unit} and " if action.outlay else "") + f"{action.hours:g} hours"

    def _elsewhere(self, action: Action) -> float:
        """What the same money and hours bring with others."""
        prices = self.choice.prices
        uses = {"money": action.outlay, "hours": action.hours, f"{action.channel.casefold()} contacts": 1.0}
        return sum(use * max(prices.get(name, 0.0), 0.0) for name, use in uses.items()) + action.expected_cost


def _amounts(values: FloatColumn) -> list[str]:
    """Each as ``f"{value:,.2f}"`` writes it: in bulk those whose second decimal is beyond doubt."""
    with np.errstate(over="ignore", invalid="ignore"):
        cents = values * 100.0
        near = np.rint(cents)
        # The product is off by less than 2e-16 of itself: what is not that close to a half is rounded as it should be.
        sure = (values > 0) & (cents < 2.0**52) & (np.abs(np.abs(cents - near) - 0.5) > 1e-15 * cents)
    whole, rest = np.divmod(np.where(sure, near, 0.0).astype(np.int64), 100)
    units = whole.tolist()
    written = {unit: f"{unit:,}" for unit in set(units)}
    told = [written[unit] + _CENTS[cent] for unit, cent in zip(units, rest.tolist(), strict=True)]
    for i in np.flatnonzero(~sure).tolist():
        told[i] = f"{values[i]:,.2f}"
    return told


def _story_order(proposals: Proposals, choice: Choice) -> IntColumn:
    """Positions of proposals, the one that tells a customer's story last among hers."""
    fate = Labels.of(choice.fate)
    weight = np.asarray([_WEIGHT[name] for name in fate.labels.tolist()], dtype=np.int64)[fate.codes]
    some = np.flatnonzero(weight >= 0)
    name = Labels(proposals.action[some], np.asarray([a.name for a in proposals.actions], dtype=np.str_))
    strategy = Labels.of(proposals.strategy[some])
    return some[np.lexsort((strategy.ranks(), name.ranks(), proposals.net[some], weight[some]))]


def _left(limit: float | None, spent: float, of_what: str) -> str:
    return f"unlimited {of_what}" if limit is None else f"{max(limit - spent, 0.0):,.2f} {of_what}"
