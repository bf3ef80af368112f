"""541,909 real invoice lines, against the totals that their publisher states."""

from decimal import Decimal

import pytest

from retention.records import doctor, read_transactions

ROLES = {
    "customer": "CustomerID", "at": "InvoiceDate", "quantity": "Quantity", "unit_price": "UnitPrice",
    "order": "InvoiceNo", "item": "StockCode", "currency": "GBP",
}  # fmt: skip


@pytest.mark.slow
def test_the_online_retail_file_reconciles_to_its_stated_totals(shared_data):
    log = read_transactions(shared_data("online_retail_2010_2011/online_retail.parquet"), **ROLES)
    quality = log.quality
    assert quality.reconciles
    assert quality.rows_in == 541_909
    assert quality.money_in == Decimal("9747747.934")
    assert quality.set_aside.keys() == {"missing customer"}
    assert quality.set_aside["missing customer"].rows == 135_080
    assert len(log.customers.labels) == 4_372
    assert log.currency == "GBP"

    huge = log.take((log.customers.text() == "12346") | (log.customers.text() == "16446"))
    for order in ("541431", "C541433", "581483", "C581484"):
        lines = huge.orders.text() == order
        assert lines.sum() == 1
        assert huge.is_cancelled[lines].all(), "the huge orders and their credit notes undid each other"
    first = huge.take(huge.customers.text() == "12346")
    assert first.revenue.total() == 0


@pytest.mark.slow
def test_dropping_its_exact_duplicates_drops_the_stated_number(shared_data):
    path = shared_data("online_retail_2010_2011/online_retail.parquet")
    quality = read_transactions(path, duplicates="drop", **ROLES).quality
    kept = read_transactions(path, **ROLES).quality
    assert quality.reconciles
    # 5,268 in all; those of lines without a customer are set aside for that reason already.
    assert (
        quality.set_aside["exact duplicate"].rows == kept.notes["rows that repeat an earlier one in every cell, kept"]
    )
    import pandas

    frame = pandas.read_parquet(path)
    again = frame.duplicated()
    assert again.sum() == 5_268
    assert quality.set_aside["exact duplicate"].rows == (again & frame["CustomerID"].notna()).sum()


@pytest.mark.slow
def test_its_columns_are_found_from_the_headers_alone(shared_data):
    diagnosis = doctor(shared_data("online_retail_2010_2011/online_retail.parquet"))
    assert {role: name for role, name in ROLES.items() if role != "currency"} == dict(diagnosis.roles)
    assert diagnosis.quality.money_in == Decimal("9747747.934")
