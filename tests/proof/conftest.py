"""Journals made by hand, as fixtures."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from retention.domain import Action
from retention.journal import Journal
from retention.plan import Assumption, Proposals, Situation
from retention.plan.examples import small_base


@pytest.fixture(scope="session")
def plan_of():
    spec = importlib.util.spec_from_file_location("nights", Path(__file__).parents[1] / "journal" / "nights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.plan_of


@pytest.fixture
def journal():
    with Journal(":memory:") as opened:
        yield opened


@pytest.fixture
def situation():
    """Three customers, one in each of the tiers bronze, silver and gold."""
    histories, valuation, outlook, tiering = small_base()
    return Situation(as_of=histories.as_of, histories=histories, valuation=valuation, outlook=outlook, tiering=tiering)


@pytest.fixture
def proposals_of(situation):
    """Each action to each customer, gain = lift x 100, proposed by the strategy check-in."""

    def make(*actions, lifts=None, kinds=("give", "ask")):
        n, k = len(situation), len(actions)
        lifts = (0.1,) * k if lifts is None else lifts
        gain = np.tile(lifts, n) * 100.0
        today = np.full(n * k, np.datetime64(situation.as_of, "D"))
        return Proposals(
            customer_id=np.repeat(situation.customer_id, k),
            base_row=np.repeat(np.arange(n), k),
            action=np.tile(np.arange(k), n),
            gain=gain,
            gain_sd=gain / 2,
            opens=today,
            closes=today + np.timedelta64(7, "D"),
            strategy=np.full(n * k, "check-in"),
            reason=np.full(n * k, "long overdue"),
            evidence=np.full(n * k, "assumption"),
            actions=tuple(
                Action(
                    name=a, kind=kind, channel="post", money=0.5, customer_benefit="a kind word", needs_consent=False
                )
                for a, kind in zip(actions, kinds, strict=False)
            ),
            assumptions=tuple(
                Assumption(strategy="check-in", name=a, value=lift, spread=lift / 2, meaning="share kept")
                for a, lift in zip(actions, lifts, strict=True)
            ),
        )

    return make
