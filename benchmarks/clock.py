"""Is each customer's clock right on real shops? Promised and actual purchases, by how unusual her silence is.

    python benchmarks/clock.py FOLDER

FOLDER holds cdnow/cdnow_master.csv.gz and grocery_elog/grocery.csv.gz (public data; see the tests on real data).
Customers with at least two gaps, the model fitted on the days before and never after.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import retention as rt
from retention.histories import Histories
from retention.records import TransactionLog
from retention.timing import Rhythm

BANDS = ((0.0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 1.0))
SHOPS = (
    ("cdnow/cdnow_master.csv.gz", "1997-09-30", 273, {"revenue": "sales"}),
    ("grocery_elog/grocery.csv.gz", "2006-06-30", 364, {}),
    ("grocery_elog/grocery.csv.gz", "2006-12-31", 364, {}),
)


def promised_and_actual(path: Path, as_of: str, days: int, money: dict[str, str]) -> list[dict[str, Any]]:
    """One row a band of silence: customers, P(alive), promised share who buy within ``days``, actual share."""
    log = read(path, money)
    base = rt.summarize(log, as_of=as_of, habits=False)
    base = base[base.frequency >= 2]
    day = np.datetime64(as_of)
    later = (log.day > day) & (log.day <= day + np.timedelta64(days, "D"))
    bought = np.isin(base.customer_id, log.customers.labels[np.unique(log.customers.codes[later])])
    clock = Rhythm.fit(rt.summarize(log, as_of=as_of, habits=False))
    silence, alive = clock.silence(base), clock.p_alive(base)
    # The chance that a gap lasts longer still, had it lasted so long: the same histories, looked at later.
    columns = base.columns() | {"age_days": base.age_days + days}
    longer = clock.silence(Histories.from_arrays(**columns))
    buys = alive * (1.0 - np.divide(longer, silence, out=np.ones_like(silence), where=silence > 0))
    rows = []
    for low, high in BANDS:
        some = (silence > low) & (silence <= high)
        rows.append(
            {
                "silence": f"{low:g} to {high:g}",
                "customers": int(some.sum()),
                "p_alive": float(alive[some].mean()),
                "promised": float(buys[some].mean()),
                "actual": float(bought[some].mean()),
            }
        )
    return rows


def read(path: Path, money: dict[str, str]) -> TransactionLog:
    if money:
        return rt.read_transactions(path, customer="customer_id", at="date", margin=1.0, **money)
    from retention.frames.reading import open_source

    table = open_source(path)
    who, at = (table.columns[name] for name in ("customer_id", "date"))

    def text(column: Any) -> list[str]:
        return [column.labels[code] for code in column.values.tolist()]

    return TransactionLog.from_arrays(customer_id=text(who), at=text(at), revenue=np.ones(len(table)), margin=1.0)


def main() -> None:
    for name, as_of, days, money in SHOPS:
        print(f"{name} on {as_of}, {days} days ahead")
        for row in promised_and_actual(Path(sys.argv[1]) / name, as_of, days, money):
            print(
                f"  silence {row['silence']:11} {row['customers']:6,} customers: alive {row['p_alive']:.2f}, "
                f"promised to buy {row['promised']:.2f}, bought {row['actual']:.2f}"
            )


if __name__ == "__main__":
    main()
