"""The account that the shop owner reads."""

import json
from decimal import Decimal

import numpy as np
import pytest

from retention.errors import ConfigError
from retention.records import Quality, RowsSetAside, SetAside, read_transactions


@pytest.fixture
def quality(tmp_path):
    path = tmp_path / "<b>shop.csv"
    path.write_text("c,d,r\n7,2011-01-01,1.10\n,2011-01-01,2.20\n7,never,-4.40\n7,2011-01-02,?\n")
    return read_transactions(path, customer="c", at="d", revenue="r").quality


def test_printing_it_shows_every_reason_with_rows_and_money(quality):
    shown = str(quality)
    for words in ("came in", "kept", "missing customer", "impossible date", "1 without a readable amount", "-4.40"):
        assert words in shown
    assert "reconciles to the cent" in shown
    assert repr(quality).count("\n") == 0


def test_an_account_that_does_not_add_up_says_so():
    for wrong in (
        Quality(rows_in=2, rows_kept=1, money_in=Decimal(3), money_kept=Decimal(3)),
        Quality(rows_in=1, rows_kept=1, money_in=Decimal(3), money_kept=Decimal("2.99")),
        Quality(rows_in=2, rows_kept=1, set_aside={"x": SetAside(1, Decimal("0.01"))}),
    ):
        assert not wrong.reconciles
        assert "DOES NOT RECONCILE" in repr(wrong)


def test_the_html_is_escaped():
    nasty = Quality(set_aside={"<script>": SetAside(0, Decimal(0))}, notes={"<img>": 1})._repr_html_()
    assert "<script>" not in nasty
    assert "<img>" not in nasty
    assert "&lt;script&gt;" in nasty


def test_rows_set_aside_can_be_listed_by_reason(quality):
    assert quality.rows_set_aside().line.tolist() == [3, 4, 5]
    assert quality.rows_set_aside()["column"].tolist() == ["c", "d", "r"]
    assert quality.rows_set_aside("impossible date").line.tolist() == [4]
    with pytest.raises(ConfigError, match="missing customer"):
        quality.rows_set_aside("missing costumer")
    assert "<b>" not in quality.rows_set_aside()._repr_html_()


def test_two_accounts_add_up(quality):
    both = quality + quality + Quality.clean(rows=3, money=Decimal("0.30"))
    assert both.reconciles
    assert both.rows_in == 11
    assert both.money_in == Decimal("-1.90")
    assert both.set_aside["impossible date"] == (2, Decimal("-8.80"), 0)
    assert len(both.rows_set_aside()) == 6
    assert (Quality() + quality) == quality == (quality + Quality())


def test_it_is_plain_json(quality):
    plain = json.loads(json.dumps(quality.to_dict()))
    assert plain["reconciles"] is True
    assert Decimal(plain["set_aside"]["impossible date"]["money"]) == Decimal("-4.40")


def test_lists_join():
    some = RowsSetAside(line=np.array([2]), reason=np.array(["x"]), column=np.array([""]), source=np.array(["a"]))
    assert some.joined(RowsSetAside.none()).equals(some)
