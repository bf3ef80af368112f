"""Is each customer's clock right on real shops? Promised and actual purchases by how unusual her silence is; then its
log scores and surprise rate beside BG/NBD and two simple rules.

    python benchmarks/clock.py FOLDER

FOLDER holds cdnow/cdnow_master.csv.gz and grocery_elog/grocery.csv.gz (public data; see the tests on real data).
Customers with at least two gaps, the model fitted on the days before and never after.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import retention as rt
from retention.records import TransactionLog
from retention.timing import LogT, Rhythm, backtest
from retention.value import BGNBD

BANDS = ((0.0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 1.0))
SHOPS = (
    ("cdnow/cdnow_master.csv.gz", "1997-09-30", 273, {"revenue": "sales"}),
    ("grocery_elog/grocery.csv.gz", "2006-06-30", 364, {}),
    ("grocery_elog/grocery.csv.gz", "2006-12-31", 364, {}),
)

ORIGINS = {
    "cdnow/cdnow_master.csv.gz": (
        {"revenue": "sales"}, ["1997-06-30", "1997-08-29", "1997-10-28", "1997-12-27", "1998-02-25"], [28, 91],
    ),
    "grocery_elog/grocery.csv.gz": (
        {}, ["2006-07-01", "2006-09-29", "2006-12-28", "2007-03-28", "2007-06-26"], [7, 28, 91],
    ),
}  # fmt: skip


def promised_and_actual(path: Path, as_of: str, days: int, money: dict[str, str]) -> list[dict[str, Any]]:
    """One row a band of silence: customers, P(alive), promised share who buy within ``days``, actual share."""
    log = read(path, money)
    base = rt.summarize(log, as_of=as_of, habits=False)
    base = base[base.frequency >= 2]
    day = np.datetime64(as_of)
    later = (log.day > day) & (log.day <= day + np.timedelta64(days, "D"))
    bought = np.isin(base.customer_id, log.customers.labels[np.unique(log.customers.codes[later])])
    clock = Rhythm.fit(rt.summarize(log, as_of=as_of, habits=False))
    silence, alive, buys = clock.silence(base), clock.p_alive(base), clock.p_purchase(base, float(days))
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
    for name, (money, cuts, days) in ORIGINS.items():
        tried = backtest(read(Path(sys.argv[1]) / name, money), cutoffs=cuts, models=[LogT(), BGNBD()], days=days)
        print(f"{name}: who comes within d days, from {len(cuts)} cuts")
        for row in map(tried.scores.row, range(len(tried.scores))):
            print(
                f"  {row['days']:3.0f} days {row['model']:8} log score {row['log_score']:.4f}, "
                f"behind {row['behind']:.4f} +- {row['behind_error']:.4f}, auc {row['auc']:.3f}, "
                f"calibration error {row['calibration_error']:.4f}"
            )
        for row in map(tried.surprise.row, range(len(tried.surprise))):
            print(f"  surprise {row['model']:8} {row['surprise']:.2f} [{row['low']:.2f}, {row['high']:.2f}]")


if __name__ == "__main__":
    main()
