"""The account of a messy file is what an independent reader of the file counts."""

import csv
import datetime as dt
import re
from collections import Counter
from decimal import Decimal

import numpy as np
import pytest

from retention.errors import ConfigError
from retention.records.reading import read_transactions
from retention.worlds import Shop, World

WORLD = Shop.corner_shop(seed=7).simulate()
ADDED = ("duplicate", "blank_customer", "impossible_date", "zero_price", "absurd_price", "no_price", "ragged")
OPTIONS = [
    {"seed": 1},
    {"seed": 2, "delimiter": ","},
    {"seed": 3, "encoding": "cp1252"},
    {"seed": 4, "delimiter": "\t", "encoding": "utf-8"},
]
DATES = {
    r"\d{4}-\d\d-\d\d \d\d:\d\d": ("%Y-%m-%d %H:%M", None),
    r"\d\d\.\d\d\.\d{4} \d\d:\d\d": ("%d.%m.%Y %H:%M", "date_dotted"),
    r"\d\d/\d\d/\d{4} \d\d:\d\d": ("%d/%m/%Y %H:%M", "date_slashed"),
    r"\d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d": ("%d %b %Y %H:%M", "date_worded"),
}


def money(text: str) -> tuple[Decimal, set[str]] | None:
    """An amount by its last separator, which two digits follow."""
    found = re.fullmatch(r"(-?[\d.,]+)([.,])(\d\d)", text)
    if not found:
        return None
    whole, point, cents = found.groups()
    kinds = {"decimal_comma"} if point == "," else set()
    if re.search(r"[.,]", whole):
        kinds.add("thousands")
        assert re.fullmatch(r"-?\d{1,3}([.,]\d{3})+", whole)
        assert point not in whole
    return Decimal(re.sub(r"[.,]", "", whole) + "." + cents), kinds


def date(text: str) -> tuple[dt.datetime, str | None] | None:
    for pattern, (style, kind) in DATES.items():
        if re.fullmatch(pattern, text):
            try:
                return dt.datetime.strptime(text, style), kind
            except ValueError:
                return None
    return None


def read(path, encoding: str, delimiter: str) -> tuple[list[dict], Counter, Counter]:
    """The good rows, then rows and money by kind of mess, found by looking at the cells alone."""
    with open(path, encoding=encoding, newline="") as file:
        header, *body = csv.reader(file, delimiter=delimiter)
    assert header[0] == "Invoice"
    rows, counts, sums = [], Counter(), Counter()
    previous = None
    for cells in body:
        kinds = set()
        row = dict(zip(header, cells, strict=False))
        if len(cells) < len(header):
            kinds.add("ragged")
        elif cells == previous:
            kinds.add("duplicate")
        when = date(row["Date"])
        if when is None:
            kinds.add("impossible_date")
        elif when[1]:
            kinds.add(when[1])
        if len(cells) == len(header) and not row["Customer"]:
            kinds.add("blank_customer")
        if row["Invoice"].startswith("C"):
            kinds.add("credit_note")
        if row["Name"][:1] in ("=", "+", "@", "-"):
            kinds.add("formula")
        price = money(row.get("Unit price", ""))
        total = Decimal(0)
        if "ragged" not in kinds and price is None:
            kinds.add("no_price")
        if price is not None:
            total = price[0] * int(row["Qty"])
            kinds |= price[1]
            kinds |= {"zero_price"} if price[0] == 0 else set()
            kinds |= {"absurd_price"} if price[0] > 1_000_000 else set()
        for kind in kinds:
            counts[kind] += 1
            sums[kind] += total
        counts["all"] += 1
        sums["all"] += total
        if not kinds & set(ADDED):
            cost = money(row["Cost"])[0]
            rows.append(row | {"at": when[0], "revenue": total, "margin": total - cost})
        previous = cells
    return rows, counts, sums


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_account_is_what_an_independent_reader_counts(tmp_path, options):
    account = WORLD.write_invoices(tmp_path / "shop.csv", **options)
    rows, counts, sums = read(tmp_path / "shop.csv", account.encoding, account.delimiter)
    assert (account.rows, account.money) == (counts["all"], sums["all"])
    for planted in account.planted:
        if planted.kind != "cancelled":  # not in the cells of one row: see below
            found = counts[planted.kind], sums[planted.kind]
            assert (planted.rows, planted.money) == found, planted.kind
    assert (account.log_rows, account.log_money) == (len(rows), sum(row["revenue"] for row in rows))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_without_the_added_rows_the_file_is_the_log(tmp_path, options):
    account = WORLD.write_invoices(tmp_path / "shop.csv", **options)
    rows, _, _ = read(tmp_path / "shop.csv", account.encoding, account.delimiter)
    log = WORLD.log
    written = [
        (r["Invoice"], r["Customer"], r["at"], r["Category"], r["Channel"], int(r["Qty"]), r["revenue"], r["margin"])
        for r in rows
    ]
    kept = [
        (t.order, t.customer_id, t.at, t.category, str(channel), int(quantity), t.revenue, t.margin)
        for t, channel, quantity in zip(
            (log.row(i) for i in range(len(log))), log.channels.text(), log.quantity, strict=True
        )
    ]
    assert written == kept


@pytest.mark.parametrize("seed", range(4))
def test_the_corner_shop_has_every_kind_of_mess(tmp_path, seed):
    """A file that lacks a kind would let a reader pass that cannot read it."""
    account = Shop.corner_shop(seed=seed).simulate().write_invoices(tmp_path / "shop.csv")
    assert {planted.kind for planted in account.planted if planted.rows == 0} == set()
    assert len(account.planted) >= 12
    assert account["thousands"].rows > account["absurd_price"].rows


def test_rows_and_money_reconcile_to_the_cent(tmp_path):
    account = WORLD.write_invoices(tmp_path / "shop.csv")
    added = [planted for planted in account.planted if planted.added]
    assert {planted.kind for planted in added} == set(ADDED)
    assert account.rows == len(WORLD.log) + sum(planted.rows for planted in added)
    assert account.money == WORLD.log.revenue.total() + sum(planted.money for planted in added)


def test_cancelled_orders_come_in_pairs_that_leave_nothing(tmp_path):
    account = WORLD.write_invoices(tmp_path / "shop.csv", mess=False)
    lines = (tmp_path / "shop.csv").read_text(encoding="utf-8-sig").splitlines()
    pairs = Counter()
    for number in account["cancelled"].lines:
        invoice, _, customer, _, item, _, _, quantity, price, _ = lines[number - 1].split(";")
        pairs[customer, item, abs(int(quantity)), price] += 1 if int(quantity) > 0 else -1
        assert invoice.startswith("C") == (int(quantity) < 0)
    assert account["cancelled"].money == 0
    assert set(pairs.values()) == {0}


def test_lines_of_the_account_point_at_the_rows(tmp_path):
    account = WORLD.write_invoices(tmp_path / "shop.csv")
    lines = (tmp_path / "shop.csv").read_text(encoding="utf-8-sig").split("\n")
    assert all(";;;" in lines[number - 1] for number in account["blank_customer"].lines)
    assert all(lines[number - 1] == lines[number - 2] for number in account["duplicate"].lines)
    assert all("9" * 7 not in lines[number - 1] for number in account["zero_price"].lines)


def test_a_tidy_file_has_only_a_shops_ordinary_life_in_it(tmp_path):
    account = WORLD.write_invoices(tmp_path / "shop.csv", mess=False, encoding="utf-8")
    assert {planted.kind for planted in account.planted if planted.rows} == {"credit_note", "cancelled"}
    assert (account.rows, account.money) == (len(WORLD.log), WORLD.log.revenue.total())
    assert not (tmp_path / "shop.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_same_seed_same_bytes_and_another_seed_other_bytes(tmp_path):
    written = {}
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        WORLD.write_invoices(tmp_path / name, seed=seed)
        written[name] = (tmp_path / name).read_bytes()
    assert written["a"] == written["b"] != written["c"]
    assert written["a"].startswith(b"\xef\xbb\xbf")


def test_the_old_till_writes_bytes_that_are_no_utf_8(tmp_path):
    WORLD.write_invoices(tmp_path / "shop.csv", encoding="cp1252")
    with pytest.raises(UnicodeDecodeError):
        (tmp_path / "shop.csv").read_text(encoding="utf-8")
    assert "Thé à la menthe" in (tmp_path / "shop.csv").read_text(encoding="cp1252")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_our_own_reader_finds_the_same_mess_and_gives_the_world_back(tmp_path, options):
    account = WORLD.write_invoices(tmp_path / "shop.csv", **options)
    log = read_transactions(
        tmp_path / "shop.csv",
        customer="Customer",
        at="Date",
        quantity="Qty",
        unit_price="Unit price",
        cost="Cost",
        order="Invoice",
        category="Category",
        channel="Channel",
        item="Item",
        duplicates="drop",
    )
    assert (log.quality.rows_in, log.quality.money_in) == (account.rows, account.money)
    bought = log.take(log.revenue.minor != 0)  # samples of no money are kept by the reader
    assert len(log) - len(bought) == account["zero_price"].rows
    assert bought.revenue.total() == WORLD.log.revenue.total()
    assert bought.margin.total() == WORLD.log.margin.total()
    assert bought.customers.text().tolist() == WORLD.log.customers.text().tolist()
    assert np.array_equal(bought.at, WORLD.log.at)
    assert np.array_equal(bought.is_return, WORLD.log.is_return)
    assert np.array_equal(bought.is_cancelled, WORLD.log.is_cancelled)


def test_asking_for_a_kind_that_is_not_there_names_the_nearest(tmp_path):
    account = World.write_invoices(WORLD, tmp_path / "shop.csv")
    with pytest.raises(ConfigError, match="did you mean 'ragged'"):
        account["raged"]
