"""The loop closed: nights contact, customers answer, the journal knows, the next nights go by what was measured."""

import datetime as dt

import attrs
import numpy as np
import pytest

from retention.journal import Journal
from retention.program import Program
from retention.records import Touches
from retention.worlds import Shop


@pytest.mark.slow
def test_where_contacts_drive_customers_away_a_shop_finds_out_and_contacts_fewer():
    """Three months of nights in a world in which each contact costs a customer's next purchase.

    Seed 1. The seeds 1 to 15 all pass, so with a confidence of 95 % fewer than one world in five would fail; by
    assumptions the same night would contact 10 to 43 % more.
    """
    harm = dict.fromkeys(("give", "ask", "thank"), -1.0)
    world = Shop.harmful(customers=3500, years=2, seed=1, response=harm).simulate()
    program = Program(money=None, hours=None, holdout=0.4, learn_days=42, consents=world.consents)
    contacts = []
    with Journal(":memory:") as journal:
        for _ in range(5):
            night = program.run(world.log, as_of=world.as_of, journal=journal)
            chosen = night.plan.decision == "contact"
            contacts.append(int(chosen.sum()))
            made = Touches.from_arrays(
                customer_id=night.plan.customer_id[chosen],
                at=np.full(contacts[-1], np.datetime64(world.as_of + dt.timedelta(days=1))),
                channel=night.plan.channel[chosen],
                kind=night.plan.kind[chosen],
            )
            journal.record_touches(made)
            world = world.live(world.as_of + dt.timedelta(days=22), made)
        known = program.run(world.log, as_of=world.as_of, journal=journal, record=False)
        assumed = attrs.evolve(program, learn_days=0).run(world.log, as_of=world.as_of, journal=journal, record=False)
    learned = known.responses
    measured = learned.evidence == "measured"
    assert measured.any()
    assert (learned.high[measured] < 1.0).any(), "it brings less than was assumed"
    assert any("(measured)" in why for why in known.plan.reason.tolist()), "and the plan says so"
    contacts_of = [int((night.plan.decision == "contact").sum()) for night in (known, assumed)]
    assert contacts_of[0] < contacts_of[1], "fewer than the same night would contact by assumptions"
    assert contacts_of[0] < contacts[0], "and fewer than at the start"
