"""The main job on half a million real invoice lines."""

import json
from decimal import Decimal

import numpy as np
import pytest

import retention as rt
from retention.cli import main

COLUMNS = {
    "customer": "CustomerID",
    "at": "InvoiceDate",
    "quantity": "Quantity",
    "unit_price": "UnitPrice",
    "order": "InvoiceNo",
    "item": "StockCode",
    "currency": "GBP",
}


@pytest.fixture(scope="module")
def frame():
    import os
    from pathlib import Path

    import pyarrow.parquet as pq

    folder = Path(os.environ.get("RETENTION_DATA", Path(__file__).parents[2] / "shared" / "data"))
    path = folder / "online_retail_2010_2011" / "online_retail.parquet"
    if not path.exists():
        pytest.skip("real data is not there (set RETENTION_DATA to its folder)")
    return pq.read_table(path)


def test_a_cut_of_the_wholesaler_goes_from_invoices_to_a_plan_and_a_report(frame, tmp_path, capsys):
    """Every fifth customer, and every fifth of the lines without one: reconciled with totals counted by numpy."""
    import pyarrow.parquet as pq

    who = np.asarray(frame["CustomerID"].cast("string").fill_null("").to_pylist(), dtype=np.str_)
    number = np.array([int(float(w)) if w else i for i, w in enumerate(who.tolist())])
    cut = frame.filter(number % 5 == 0)
    path = tmp_path / "cut.parquet"
    pq.write_table(cut, path)

    code = main(["run", str(path), "--margin", "0.35", "--out", str(tmp_path), "--json", "--currency", "GBP"])
    told = json.loads(capsys.readouterr().out)
    assert code == 0
    assert told["lines_read"] == len(cut)
    assert told["contacts"] > 0
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert (tmp_path / "plan.csv").read_text("utf-8").count("\n") == told["customers"] + 1

    log = rt.read_transactions(cut, margin=0.35, **COLUMNS)
    price = [Decimal(repr(p)) for p in cut["UnitPrice"].to_pylist()]
    money = [q * p for q, p in zip(cut["Quantity"].to_pylist(), price, strict=True)]
    known = [bool(w) for w in who[number % 5 == 0].tolist()]
    assert log.quality.reconciles
    assert log.quality.money_in == sum(money)
    assert log.quality.rows_kept == sum(known)
    assert log.quality.money_kept == sum(m for m, k in zip(money, known, strict=True) if k)
