"""What is left net of the programme: from gross sales, to the cent, with what contacts and rewards cost."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

import numpy as np
from attrs import evolve

from retention.domain import Action
from retention.domain.days import as_day
from retention.frames.coded import Coded
from retention.frames.table import TextColumn
from retention.journal import Journal
from retention.proof._shared import rows_of
from retention.records.money import Amounts
from retention.records.touches import Touches
from retention.records.transactions import TransactionLog
from retention.value.accounts.costs import ServingCosts
from retention.value.accounts.postings import Postings
from retention.value.accounts.statement import NetStatement, net_statement

__all__ = ["FORGOTTEN", "programme_statement"]

FORGOTTEN = "(forgotten)"
"""The id under which a statement has the cost of contacts with people who asked to be forgotten."""


def programme_statement(
    journal: Journal,
    log: TransactionLog,
    costs: ServingCosts,
    *,
    as_of: str | dt.date,
    actions: Iterable[Action] = (),
    discounts: Any = None,
    rewards: Postings | None = None,
    service: Postings | None = None,
    points: Any = None,
) -> NetStatement:
    """From gross sales to net value with what the programme cost, to the cent: contacts and rewards as the journal has
    them.

    ``net = margin - rewards - points - contacts - cost_to_serve`` for each customer and in sum, exactly; the arguments
    are those of :func:`retention.value.net_statement`, which says what each line is. Here

    - ``contacts`` is the money of every planned contact up to and including ``as_of`` that was not called off, and the
      price of its channel (``costs.contact``) for each touch without a plan;
    - ``rewards`` is, beside what ``costs`` and ``rewards`` say, what was given with contacts: for an action among
      ``actions`` its money is a contact's and its reward a reward. Outcomes of kind ``"reward"`` count as they came;
      where there is none of an action, what it was expected to cost does, and a note says so. Of an action that is not
      among them all its money, the reward at most, is a contact's.

    What was spent on people who asked to be forgotten is in the row :data:`FORGOTTEN`.
    """
    day, end = as_day(as_of), np.datetime64(as_day(as_of), "D")
    contacts = journal.contacts().counted
    contacts = contacts.take(contacts.at <= end)
    planned = contacts.take(contacts.status != "not planned")
    free = contacts.take((contacts.status == "not planned") & (contacts.customer_id != ""))
    given, notes = journal.outcomes(), []
    given = given.take((given.kind == "reward") & (given.at <= end))
    known = {action.name: action for action in actions}
    told = {name for name, action in known.items() if action.reward is not None} & set(given.action.tolist())
    given = given.take(np.isin(given.action, sorted(told)))
    guessed = sorted({a for a in planned.action.tolist() if a in known and known[a].reward_cost > 0 and a not in told})
    if guessed:
        notes.append(f"rewards of {', '.join(map(repr, guessed))} count as far as they were expected to be taken")
    other = np.asarray([a not in known for a in planned.action.tolist()], dtype=bool)
    cost = np.where(other, planned.money, [known[a].money if a in known else 0.0 for a in planned.action.tolist()])
    reward = np.asarray(
        [known[a].take_up * known[a].reward_cost if a in guessed else 0.0 for a in planned.action.tolist()], dtype=float
    )
    lost = contacts.take((contacts.status == "not planned") & (contacts.customer_id == ""))
    strangers = [float(costs.of_contact(channel)) for channel in lost.channel.tolist()]
    spent = _postings([planned.customer_id, lost.customer_id], [planned.at, lost.at], [cost, strangers])
    taken = _postings([planned.customer_id, given.customer_id], [planned.at, given.at], [reward, given.amount])

    parts = [one for one in (service, spent, taken) if one is not None]
    statement = net_statement(
        log,
        costs,
        as_of=day,
        touches=Touches.from_arrays(customer_id=free.customer_id, at=free.at, channel=free.channel, kind=free.kind),
        discounts=discounts,
        rewards=rewards,
        service=Postings(
            customers=_joined([one.customers.text() for one in parts]),
            day=np.concatenate([one.day for one in parts]),
            amounts=_added([one.amounts for one in parts]),
        ),
        points=points,
    )
    # They came in with the cost of serving, which leaves net as it is; now each goes to its own line.
    minor = {name: amounts.minor for name, amounts in statement.exact.items()}
    decimals = statement.exact["net"].decimals
    for line, posted in (("contacts", spent), ("rewards", taken)):
        owners = rows_of(posted.customers.labels, statement.customer_id)[posted.customers.codes]
        sums = Amounts(posted.amounts.at_scale(decimals), decimals).by_group(owners, len(statement))
        minor[line], minor["cost_to_serve"] = minor[line] + sums, minor["cost_to_serve"] - sums
    return NetStatement.of(
        statement.customer_id,
        minor,
        decimals,
        currency=statement.currency,
        provenance=evolve(statement.provenance).with_notes(*notes),
    )


def _postings(who: list[Any], at: list[Any], amount: list[Any]) -> Postings:
    ids = np.concatenate([np.asarray(one, dtype=np.str_) for one in who])
    return Postings.of(
        customer_id=np.where(ids == "", FORGOTTEN, ids),
        at=np.concatenate([np.asarray(one, dtype="datetime64[D]") for one in at]),
        amount=np.concatenate([np.asarray(one, dtype=np.float64) for one in amount]),
    )


def _joined(texts: list[TextColumn]) -> Coded:
    return Coded.of(np.concatenate(texts))


def _added(amounts: list[Amounts]) -> Amounts:
    whole = amounts[0]
    for one in amounts[1:]:
        whole = whole.joined(one)
    return whole
