"""The doctor: what can be done with the data at hand, and what happens without the rest."""

import json

import polars
import pytest

from retention.errors import ColumnError, ConfigError, ReadError
from retention.frames.reading import open_source
from retention.records import complete_roles, doctor, guess_roles

FULL = {
    "Customer ID": ["7", "7", "8"], "Order Date": ["2011-01-01", "2011-02-01", "2011-02-01"],
    "Revenue": ["10", "20", "-5"], "Quantity": ["1", "2", "-1"], "Order ID": ["a", "b", "c"],
    "Category": ["x", "x", "y"], "Channel": ["web", "web", "shop"], "Cost": ["5", "5", "-2"],
    "Currency": ["EUR"] * 3, "SKU": ["p", "p", "q"], "Line ID": ["1", "2", "3"],
}  # fmt: skip
FALLBACKS = {
    "Cost": "margin truth", "Order ID": "orders", "Category": "category habits", "Channel": "channel habits",
    "Currency": "currency", "Line ID": "duplicates",
}  # fmt: skip


def states(diagnosis):
    return dict(zip(diagnosis.feature.tolist(), diagnosis.state.tolist(), strict=True))


def test_with_every_column_there_all_that_invoices_can_give_is_ready():
    diagnosis = doctor(polars.DataFrame(FULL))
    assert diagnosis.can_read
    outside = {"consent gate", "contact caps", "coverage", "complaints", "referrals"}
    assert {name for name, state in states(diagnosis).items() if state != "ready"} == outside
    assert diagnosis.unused == ()
    assert set(diagnosis.roles) == diagnosis.guessed


@pytest.mark.parametrize("gone", FULL)
def test_without_a_column_the_doctor_names_what_is_lost_and_the_fallback(gone):
    diagnosis = doctor(polars.DataFrame({name: cells for name, cells in FULL.items() if name != gone}))
    if gone in ("Customer ID", "Order Date", "Revenue"):
        role = {"Customer ID": "customer", "Order Date": "at", "Revenue": "revenue"}[gone]
        assert not diagnosis.can_read
        assert states(diagnosis)["reading"] == "missing"
        assert f"no column was found for {role}" in diagnosis.problem
        return
    assert diagnosis.can_read
    if gone in FALLBACKS:
        row = diagnosis.customer(FALLBACKS[gone])
        assert row["state"] == "fallback"
        assert row["otherwise"]
        assert row["found"] == "nothing"


def test_what_is_given_wins_over_what_is_guessed():
    frame = polars.DataFrame(FULL | {"Paid": ["1", "1", "1"]})
    diagnosis = doctor(frame, revenue="Paid", margin=0.3)
    assert diagnosis.roles["revenue"] == "Paid"
    assert "cost" not in diagnosis.roles
    assert {"revenue", "margin"}.isdisjoint(diagnosis.guessed)
    assert diagnosis.quality.money_in == 3


def test_a_problem_with_the_rows_is_told_not_raised():
    diagnosis = doctor(polars.DataFrame(FULL | {"Order Date": ["soon", "later", "never"]}))
    assert not diagnosis.can_read
    assert "at='Order Date' holds no date" in diagnosis.problem
    assert "at='Order Date' holds no date" in str(diagnosis)


def test_a_source_that_is_no_table_and_a_column_that_is_not_there_are_errors(tmp_path):
    with pytest.raises(ReadError, match="directory"):
        doctor(tmp_path)
    with pytest.raises(ColumnError, match="did you mean 'Customer ID'"):
        doctor(polars.DataFrame(FULL), customer="CustomerID")
    with pytest.raises(ConfigError, match="did you mean 'customer'"):
        doctor(polars.DataFrame(FULL), costumer="Customer ID")


def test_it_shows_itself_and_is_plain_json():
    diagnosis = doctor(polars.DataFrame(FULL))
    assert "Customer ID" in str(diagnosis)
    assert "guessed" in str(diagnosis)
    assert repr(diagnosis) == "<Diagnosis of the polars frame: 12 ready, 5 fallback, 0 missing>"
    assert json.loads(json.dumps(diagnosis.to_dict()))["features"][0]["state"] == "ready"


HEADERS = {
    "UCI Online Retail": (
        ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"],
        {"order": "InvoiceNo", "item": "StockCode", "quantity": "Quantity", "at": "InvoiceDate",
         "unit_price": "UnitPrice", "customer": "CustomerID"},
    ),
    "UCI Online Retail II": (
        ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"],
        {"order": "Invoice", "item": "StockCode", "quantity": "Quantity", "at": "InvoiceDate", "unit_price": "Price",
         "customer": "Customer ID"},
    ),
    "Shopify": (
        ["Name", "Email", "Currency", "Subtotal", "Total", "Created at", "Lineitem quantity", "Lineitem name",
         "Lineitem price", "Lineitem sku"],
        {"order": "Name", "customer": "Email", "currency": "Currency", "at": "Created at",
         "quantity": "Lineitem quantity", "unit_price": "Lineitem price", "item": "Lineitem sku"},
    ),
    "German": (
        ["Kundennummer", "Rechnungsdatum", "Rechnungs-Nr.", "Nettobetrag", "Menge", "Warengruppe", "Vertriebskanal",
         "Deckungsbeitrag", "Währung"],
        {"customer": "Kundennummer", "at": "Rechnungsdatum", "order": "Rechnungs-Nr.", "revenue": "Nettobetrag",
         "quantity": "Menge", "category": "Warengruppe", "channel": "Vertriebskanal", "margin": "Deckungsbeitrag",
         "currency": "Währung"},
    ),
    "French": (
        ["N° client", "Date de facture", "N° facture", "Quantité", "Prix unitaire", "Catégorie", "Marge"],
        {"customer": "N° client", "at": "Date de facture", "order": "N° facture", "quantity": "Quantité",
         "unit_price": "Prix unitaire", "category": "Catégorie", "margin": "Marge"},
    ),
    "Spanish": (
        ["ID Cliente", "Fecha", "Factura", "Importe", "Categoría", "Canal", "Coste", "Moneda"],
        {"customer": "ID Cliente", "at": "Fecha", "order": "Factura", "revenue": "Importe", "category": "Categoría",
         "channel": "Canal", "cost": "Coste", "currency": "Moneda"},
    ),
    "Stripe": (
        ["id", "Created (UTC)", "Amount", "Amount Refunded", "Currency", "Fee", "Customer ID", "Status"],
        {"at": "Created (UTC)", "revenue": "Amount", "currency": "Currency", "customer": "Customer ID"},
    ),
    "WooCommerce": (
        ["Order Number", "Order Status", "Order Date", "Email (Billing)", "Order Total Amount", "Item Name"],
        {"order": "Order Number", "at": "Order Date", "customer": "Email (Billing)", "revenue": "Order Total Amount"},
    ),
    "order totals alone": (["client", "date", "Total"], {"customer": "client", "at": "date", "revenue": "Total"}),
    "nothing known": (["a", "b"], {}),
}  # fmt: skip


@pytest.mark.parametrize("export", HEADERS)
def test_the_headers_of_well_known_exports_are_understood(export):
    names, roles = HEADERS[export]
    assert guess_roles(names) == roles


def test_the_total_of_an_order_is_no_guess_where_it_would_be_counted_twice():
    lines = {"order": ["1", "1", "2"], "customer": ["a", "a", "b"], "date": ["2011-01-01"] * 3, "total": [50, 50, 5]}
    assert "revenue" not in complete_roles(open_source(polars.DataFrame(lines)), {})
    assert complete_roles(open_source(polars.DataFrame(lines)), {"revenue": "total"})["revenue"] == "total"
    once = {name: cells[1:] for name, cells in lines.items()}
    assert complete_roles(open_source(polars.DataFrame(once)), {})["revenue"] == "total"


def test_guesses_give_way_to_what_is_given():
    names = ["customer", "date", "amount", "quantity", "price", "margin", "cost"]
    table = open_source(polars.DataFrame({name: ["1"] for name in names}))
    assert complete_roles(table, {}).keys() == {"customer", "at", "revenue", "quantity", "margin"}
    assert complete_roles(table, {"unit_price": "price"}).keys() >= {"quantity", "unit_price"}
    assert "revenue" not in complete_roles(table, {"unit_price": "price"})
    assert "margin" not in complete_roles(table, {"cost": "cost"})
    assert "cost" not in complete_roles(table, {"margin": 0.3})
    assert "revenue" not in complete_roles(table, {"customer": "amount"})
