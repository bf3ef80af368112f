"""A host application that brings its own policy in code: a clinic's till, with its own table of people to leave alone.

Run it: ``python app.py`` makes a small shop, plans a night and prints what the application would put on its screens.
"""

import json
import sqlite3
import tempfile
from pathlib import Path

import attrs
import numpy as np

import retention as rt
from retention.plan import Review
from retention.worlds.demo import make_demo


@attrs.frozen
class InCare:
    """Nobody who is with a member of staff this week: she has our full attention already."""

    database: sqlite3.Connection
    name: str = "in-care"

    def review(self, proposals, situation):
        """Refuse whoever has an open case on the plan's day."""
        asked = "SELECT customer FROM cases WHERE opened <= :day AND (closed IS NULL OR closed > :day)"
        cases = [who for (who,) in self.database.execute(asked, {"day": situation.as_of.isoformat()})]
        return Review.veto(np.isin(proposals.customer_id, cases), "she is with a member of staff")


def tonight(folder: Path) -> dict:
    """One night of the host: its own database beside the library's journal."""
    program = rt.Program.load(make_demo(folder))
    plain = program.run()
    database = sqlite3.connect(folder / "clinic.db")
    database.execute("CREATE TABLE IF NOT EXISTS cases (customer TEXT, opened TEXT, closed TEXT)")
    someone = plain.plan.contacts["customer_id"][0]
    database.execute("INSERT INTO cases VALUES (?, '2000-01-01', NULL)", (str(someone),))
    night = attrs.evolve(program, plugins=[InCare(database)]).run()
    return {
        "contacts": len(night.plan.contacts),
        "screen": [row["action"] for row in (night.plan.lead_list().row(i) for i in range(3))],
        "left alone": night.plan.why(str(someone)).to_dict()["vetoes"][-1]["reason"],
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(tonight(Path(folder)), indent=2))
