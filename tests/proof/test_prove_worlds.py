"""From a plan to a verdict in simulated shops, where the truth is known."""

import datetime as dt

import attrs
import numpy as np
import pytest

import retention as rt
from retention.frames.table import Provenance
from retention.journal import Journal
from retention.plan import Review
from retention.proof.arms import arms_of, margins
from retention.proof.intervals import compare
from retention.records import Touches
from retention.worlds import Shop

WINDOW = 60


class NoCare:
    """Lets everything through, so that many contacts are made."""

    name = "no-care"

    def review(self, proposals, situation):
        return Review.veto(np.zeros(len(proposals), dtype=bool), "")


class Planned:
    """A shop on one day, looked at once; of it, plans with ever another hold-out."""

    def __init__(self, shop):
        self.world = shop.simulate()
        self.day = self.world.as_of - dt.timedelta(days=WINDOW + 10)
        self.past = self.world.until(self.day)
        self.base = rt.summarize(self.past.log, as_of=self.day)
        worth = rt.appraise(self.base, model="nbd")
        tiers = rt.assign_tiers(self.base, worth)
        self.known = (self.base, worth, rt.anticipate(self.base), tiers)

    def night(self, journal, salt):
        """Plan and record, contact, live on, and give the log of then."""
        budget = rt.Budget(money=None, hours=None)
        plan = rt.make_plan(*self.known, budget=budget, policies=[NoCare()], holdout=0.3, salt=salt)
        journal.record(plan)
        chosen = plan.contacts
        contacts = Touches.from_arrays(
            customer_id=chosen.customer_id, at=[self.day] * len(chosen), channel=chosen.channel, kind=chosen.kind
        )
        lived = self.past.live(self.day, contacts)
        return attrs.evolve(lived, as_of=self.day + dt.timedelta(days=WINDOW)).log


@pytest.fixture(scope="module")
def null():
    return Planned(Shop.null(customers=500, seed=11))


def test_in_a_null_world_works_is_said_in_at_most_one_of_forty(null):
    """100 hold-outs of one shop: 2.5 % is promised, and up to 7 pass (more has a chance of 0.4 %); so for 'harms'.
    The 400 fresh shops are in benchmarks/proof.py."""
    log = None
    said = []
    for i in range(100):
        with Journal(":memory:") as journal:
            later = null.night(journal, f"s{i}")
            log = later if log is None else log  # contact changes nothing
            assert i % 20 or later.margin.total() == log.margin.total()
            said.append(rt.prove(journal, log).verdict)
    assert said.count("works") <= 7
    assert said.count("harms") <= 7


def test_comparing_the_contacted_with_everybody_else_finds_an_effect_where_there_is_none(null):
    """Wrong on purpose: the plan picks customers who are worth more. The hold-out was picked by the same plan."""
    with Journal(":memory:") as journal:
        log = null.night(journal, "s")
        arms = arms_of(journal, until=null.day + dt.timedelta(days=WINDOW))
        proof = rt.prove(journal, log)
    everybody = null.base.customer_id
    n = len(everybody)
    rows = attrs.evolve(arms.take(np.zeros(n, dtype=int)), customer_id=everybody, provenance=Provenance())
    contacted = np.isin(everybody, arms.customer_id[arms.contacted])
    assert compare(margins(log, rows), contacted, np.zeros(n, dtype=int)).low > 0
    assert proof.low < 0 < proof.high


def test_a_world_in_which_contacts_drive_purchases_away_is_said_to_be_harmed():
    """12 hold-outs of one shop of 2,000: at least 9 'harms', no 'works'."""
    shop = Planned(Shop.harmful(customers=2000, seed=12, response=dict.fromkeys(("give", "ask", "thank"), -0.8)))
    said = []
    for i in range(12):
        with Journal(":memory:") as journal:
            said.append(rt.prove(journal, shop.night(journal, f"s{i}")).verdict)
    assert said.count("harms") >= 9
    assert "works" not in said
