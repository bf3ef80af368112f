"""Why, or why not, for every customer of a base: one plain sentence with her numbers."""

import numpy as np

from retention.domain import Action
from retention.frames.table import TextColumn
from retention.plan.budget import Budget
from retention.plan.choose import Choice
from retention.plan.proposals import Proposals
from retention.plan.situation import Situation
from retention.plan.vetoes import VetoTable

__all__ = ["reasons"]

# What tells a customer's story: her contact, else the budget that stopped one, else the cost, else the veto.
_WEIGHT = {"passed over": -1, "vetoed": 0, "no gain": 1, "budget": 2, "drawn": 3, "hold-out": 3, "chosen": 3}


def reasons(
    situation: Situation,
    proposals: Proposals,
    vetoes: VetoTable,
    choice: Choice,
    *,
    budget: Budget,
    holdout: float,
) -> TextColumn:
    """A sentence for every customer, in the order of the base."""
    horizon = situation.valuation.horizon_days
    unit = f" {situation.histories.currency}" if situation.histories.currency else ""
    told = [
        f"no strategy proposes a contact: silent for {idle:.0f} days, {margin:,.2f}{unit} of expected margin in "
        f"{horizon:.0f} days"
        for idle, margin in zip(
            situation.outlook.idle_days.tolist(), situation.valuation.expected_margin.tolist(), strict=True
        )
    ]
    refused: dict[str, dict[str, None]] = {}
    vetoed = zip(vetoes.customer_id.tolist(), vetoes.policy.tolist(), vetoes.reason.tolist(), strict=True)
    for who, policy, why in vetoed:
        refused.setdefault(who, {})[f"{policy} ({why})"] = None
    money_left = _left(budget.money, choice.spent_money, "money")
    hours_left = _left(budget.hours, choice.spent_hours, "hours")
    for p in _story_order(proposals, choice.fate):
        action, fate, source = proposals.actions[proposals.action[p]], str(choice.fate[p]), proposals.evidence[p]
        cost = (f"{action.outlay:,.2f}{unit} and " if action.outlay else "") + f"{action.hours:g} hours"
        hoped = f"{proposals.gain[p]:,.2f}{unit} for {cost} ({source})"
        if fate == "chosen" and choice.explored[p]:
            text = f"{proposals.reason[p]}; drawn by chance among what could be done for her: a {action.name}, "
            text += f"expected to bring {hoped}"
        elif fate == "drawn":
            text = f"drawn by chance to be left alone tonight, so that something is learned; a {action.name} was "
            text += f"expected to bring {hoped}"
        elif fate == "chosen":
            text = f"{proposals.reason[p]}; a {action.name} is expected to bring {hoped}"
        elif fate == "hold-out":
            # An action with a control of its own has the two lots in one: who is in either is left alone.
            left = holdout + (1.0 - holdout) * action.control
            whom = f"all who would get a {action.name}" if action.control else "all customers"
            text = (
                f"held out with {left:.0%} of {whom}, so that the effect can be measured; "
                f"a {action.name} was expected to bring {hoped}"
            )
        elif fate == "budget":
            text = (
                f"no room in the budgets: a {action.name} is expected to bring {hoped}, "
                f"with {money_left} and {hours_left} left{_priced(choice, action, proposals.gain[p], unit)}"
            )
        elif fate == "no gain":
            text = f"not worth its cost: a {action.name} is expected to bring {hoped}"
        else:
            by = "; ".join(refused.get(str(proposals.customer_id[p]), {}))
            text = f"refused by {by}; a {action.name} was expected to bring {hoped}"
        told[int(proposals.base_row[p])] = text
    return np.asarray(told, dtype=np.str_).reshape(len(situation))


def _priced(choice: Choice, action: Action, gain: float, unit: str) -> str:
    """What the same money and hours bring with others."""
    uses = {"money": action.outlay, "hours": action.hours, f"{action.channel.casefold()} contacts": 1.0}
    elsewhere = sum(use * max(choice.prices.get(name, 0.0), 0.0) for name, use in uses.items())
    elsewhere += action.expected_cost
    return f"; with others what it takes brings {elsewhere:,.2f}{unit}" if elsewhere > gain * (1 + 1e-9) else ""


def _story_order(proposals: Proposals, fate: TextColumn) -> list[int]:
    """Positions, the one that tells a customer's story last among hers."""
    if not len(proposals):
        return []
    weight = np.asarray([_WEIGHT[f] for f in fate.tolist()], dtype=np.int64)
    order = np.lexsort((proposals.strategy, proposals.of_actions("name"), proposals.net, weight))
    return [int(p) for p in order if weight[p] >= 0]


def _left(limit: float | None, spent: float, of_what: str) -> str:
    return f"unlimited {of_what}" if limit is None else f"{max(limit - spent, 0.0):,.2f} {of_what}"
