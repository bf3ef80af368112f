"""Members, donors, accounts: the same program runs on every kind of relationship, unchanged."""

import csv
import gzip

import numpy as np
import pytest

import retention as rt
from retention.program import Program


def test_donors_and_their_gifts(tmp_path):
    """A charity: no orders, no prices, a gift a year, and a gift is all margin."""
    rng = np.random.default_rng(5)
    path = tmp_path / "gifts.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["Donor", "Gift date", "Gift"])
        for donor in range(120):
            for year in range(2001, 2012):
                if rng.random() < 0.6:
                    out.writerow([f"D{donor:03}", f"{year}-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}", 25])
    night = Program(
        source=str(path), read={"customer": "Donor", "at": "Gift date", "revenue": "Gift", "margin": 1.0}, hours=2
    ).run()
    assert len(night.base) > 100
    assert np.isfinite(night.worth["value"]).all()
    assert night.plan["reason"].tolist().count("") == 0


def test_accounts_and_their_contracts_won(tmp_path):
    """Business accounts: a few large deals each, some of them lost ones of no money."""
    rng = np.random.default_rng(6)
    path = tmp_path / "deals.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["account", "product", "close_date", "close_value"])
        for account in range(40):
            for _ in range(rng.integers(1, 15)):
                out.writerow(
                    [
                        f"Account {account} & Sons",
                        rng.choice(["basic", "plus"]),
                        f"2017-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}",
                        rng.choice([0, 550, 4821, 26768]),
                    ]
                )
    night = Program(
        source=str(path),
        read={
            "customer": "account",
            "at": "close_date",
            "revenue": "close_value",
            "category": "product",
            "margin": 0.6,
        },
        hours=5,
        money=100,
    ).run()
    assert len(night.base) == 40
    assert (night.plan["decision"] == "contact").any()


def test_real_deals_of_a_seller_to_businesses(shared_data, tmp_path):
    """8,800 deals, 1,425 of them without an account: read, reconciled, planned."""
    with gzip.open(shared_data("crm_b2b_pipeline/sales_pipeline.csv.gz"), "rt") as deals:
        rows = [row for row in csv.DictReader(deals) if row["deal_stage"] == "Won"]
    path = tmp_path / "won.csv"
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, rows[0].keys())
        out.writeheader()
        out.writerows(rows)
    log = rt.read_transactions(
        path, customer="account", at="close_date", revenue="close_value", category="product", margin=0.6
    )
    assert log.quality.rows_in == 4_238
    assert log.quality.money_in == 10_005_534
    assert log.quality.reconciles
    night = Program(hours=10).run(log)
    assert len(night.base) == len({row["account"] for row in rows if row["account"]})


@pytest.mark.parametrize("word", ["member", "patient", "account"])
def test_a_header_of_the_trade_is_understood(word):
    from retention.records import guess_roles

    assert guess_roles([f"{word} id", "date", "amount"])["customer"] == f"{word} id"
