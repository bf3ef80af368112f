"""Does it pay to name what a customer needs next? Next categories and reminders on real logs, beside simple rules.

    python benchmarks/needs.py FOLDER
    python benchmarks/needs.py --customers 100000

Hit rates of the next category against the most popular ones and against what each bought most; how many reminders come
near the need, against one fixed calendar; and what was promised within two weeks against what came. FOLDER holds
online_retail_2010_2011/online_retail.parquet and complete_journey/ (public data; see the tests on real data).
``--customers`` times the needs of so many made-up customers, with peak memory.
"""

import argparse
import time
import tracemalloc
from pathlib import Path

import pandas as pd

from retention.records import TransactionLog
from retention.timing import backtest_needs, next_needs
from retention.worlds import Pantry


def wholesaler(folder: Path) -> TransactionLog:
    """Five-digit stock codes of known customers, returns left out."""
    table = pd.read_parquet(folder / "online_retail_2010_2011" / "online_retail.parquet")
    code = table["StockCode"].astype(str)
    bought = table["CustomerID"].notna() & (table["Quantity"] > 0) & (table["UnitPrice"] > 0)
    table = table[bought & code.str.match(r"^\d{5}")]
    return TransactionLog.from_arrays(
        customer_id=table["CustomerID"].astype(int).astype(str).to_numpy(),
        at=table["InvoiceDate"].to_numpy().astype("datetime64[s]"),
        revenue=(table["Quantity"] * table["UnitPrice"]).round(2).to_numpy(),
        margin=0.4,
        category=table["StockCode"].astype(str).str[:5].to_numpy(),
        quantity=table["Quantity"].to_numpy(dtype=float),
    )


def grocer(folder: Path) -> TransactionLog:
    """The published sample of lines, by product category."""
    lines = pd.read_parquet(folder / "complete_journey" / "transactions_sample.parquet")
    products = pd.read_csv(folder / "complete_journey" / "products.csv.gz")[["product_id", "product_category"]]
    table = lines[lines["sales_value"] > 0].merge(products, on="product_id", how="left")
    return TransactionLog.from_arrays(
        customer_id=table["household_id"].astype(str).to_numpy(),
        at=table["transaction_timestamp"].dt.tz_localize(None).to_numpy().astype("datetime64[s]"),
        revenue=table["sales_value"].round(2).to_numpy(),
        margin=0.3,
        category=table["product_category"].fillna("").to_numpy(),
        quantity=table["quantity"].clip(lower=1).to_numpy(dtype=float),
    )


def told(name: str, log: TransactionLog, cutoffs: list[str]) -> None:
    tried = backtest_needs(log, cutoffs=cutoffs)
    print(f"\n## {name}, known until {' and '.join(cutoffs)}\n")
    for row in (tried.next.row(i) for i in range(len(tried.next))):
        print(
            f"named {row['top']}: needs {row['hit_rate']:6.1%}   {row['against']:11} {row['rule_hit_rate']:6.1%}   "
            f"difference {row['low']:+.1%} to {row['high']:+.1%}   {row['verdict']}"
        )
    for row in (tried.reminders.row(i) for i in range(len(tried.reminders))):
        if row["reminders"]:
            bounds = f"{row['ahead_low']:+.1%} to {row['ahead_high']:+.1%}"
            ahead = f"need-timed ahead by {bounds}   {row['verdict']}" if row["verdict"] else ""
            print(f"reminders by {row['rule']:16} {row['reminders']:6,}, near the need {row['near']:6.1%}   {ahead}")
    print(f"within two weeks promised {tried.due_expected:,.0f}, came {tried.due_actual:,.0f}")


def cost(customers: int) -> None:
    log = (world := Pantry(customers=customers, seed=1).simulate()).log
    tracemalloc.start()
    start = time.process_time()
    needs = next_needs(log, as_of=world.as_of)
    spent, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    print(f"{customers:,} customers, {len(log):,} lines, {len(needs):,} needs:", end=" ")
    print(f"{spent:.1f} s of CPU, {peak / 2**20:,.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--customers", type=int, default=0)
    asked = parser.parse_args()
    if asked.folder:
        told("a wholesaler of gifts, by stock code", wholesaler(asked.folder), ["2011-06-30", "2011-08-31"])
        told("a grocer, one line in twenty, by category", grocer(asked.folder), ["2017-06-30", "2017-09-30"])
    if asked.customers or not asked.folder:
        cost(asked.customers or 20_000)
