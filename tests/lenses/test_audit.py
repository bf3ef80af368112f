"""The audit as a whole: its dates, its notes, how it shows itself."""

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.domain import Touch
from retention.errors import ConfigError, RetentionError
from retention.lenses import audit
from retention.records.touches import Touches
from retention.records.transactions import TransactionLog

AS_OF = dt.date(2021, 12, 31)


@given(data=st.data(), touched=st.booleans())
def test_every_result_shows_itself_and_its_json_is_plain(any_rows, log_of, data, touched):
    touches = Touches.of([Touch(customer_id="a", at=AS_OF, channel="phone")]) if touched else None
    found = audit(log_of(data.draw(any_rows)), as_of=AS_OF, period_days=30, touches=touches)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
    for result in (found, found.ledger, found.levers, found.coverage, found.ranking, found.concentration):
        assert "nan" not in repr(result)
        assert result._repr_html_().startswith("<table>")


@given(data=st.data())
def test_lines_after_the_as_of_date_change_nothing(any_rows, log_of, row_of, data):
    # One known line, so that both logs are written with the same number of decimals.
    first = row_of("a", AS_OF, "1", "tea", Decimal("5.00"), Decimal("2.000"), False)
    rows = [first, *data.draw(any_rows)]
    known = [row for row in rows if row.day <= AS_OF]
    one, other = (audit(log_of(r), as_of=AS_OF, period_days=30).to_dict() for r in (rows, known))
    del one["provenance"]["data"], other["provenance"]["data"]
    assert one == other


def test_a_customer_cannot_write_into_the_page():
    log = TransactionLog.from_arrays(customer_id=["<script>"], at=["2021-05-01"], revenue=[10], currency="<b>")
    page = audit(log, as_of=AS_OF, touches=Touches.none())._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<b>" not in page


def test_the_audit_says_how_far_the_log_reaches():
    def notes(first, last="2021-12-30"):
        log = TransactionLog.from_arrays(customer_id=["a", "b"], at=[first, last], revenue=[10, 10])
        return "; ".join(audit(log, as_of=AS_OF).notes)

    assert "only partly covered" in notes("2020-06-01")
    assert "none as reactivated" in notes("2020-06-01")
    assert "not covered at all" in notes("2021-06-01")
    # The previous period is the 365 days from 2020-01-01 on, for 2020 was a leap year.
    assert "only partly covered" not in notes("2020-01-02")
    assert "only partly covered" in notes("2020-01-03")
    assert "none as reactivated" in notes("2020-01-02")
    assert "none as reactivated" not in notes("2020-01-01")
    assert "days before the as-of date" in notes("2019-06-01", "2021-06-01")
    assert "days before the as-of date" not in notes("2019-06-01")


def test_margin_that_is_really_revenue_is_said_to_be():
    log = TransactionLog.from_arrays(customer_id=["a"], at=["2021-05-01"], revenue=[10])
    assert any("no margin was given" in note for note in audit(log, as_of=AS_OF).notes)


def test_an_order_undone_across_the_border_is_told(log_of, row_of):
    def half(back, amount):
        return row_of("a", AS_OF - dt.timedelta(days=back), "1", "tea", Decimal(amount), Decimal(amount), True)

    straddling = audit(log_of([half(31, 50), half(3, -50)]), as_of=AS_OF, period_days=30)
    assert any("-50 of revenue in the current period" in note for note in straddling.notes)
    assert straddling.ledger.flow("customers").opening == 0
    within = audit(log_of([half(4, 50), half(3, -50)]), as_of=AS_OF, period_days=30)
    assert not any("undone" in note for note in within.notes)


def test_the_same_audit_twice_is_the_same():
    log = TransactionLog.from_arrays(customer_id=["a", "b"], at=["2021-05-01", "2020-05-01"], revenue=[10, 20])
    assert repr(audit(log, as_of=AS_OF)) == repr(audit(log, as_of="2021-12-31"))
    assert audit(log, as_of=AS_OF).to_dict() == audit(log, as_of=dt.datetime(2021, 12, 31, 9)).to_dict()


@pytest.mark.parametrize(
    "wrong", [{"as_of": "yesterday"}, {"as_of": None}, {"period_days": 0}, {"period_days": 1.5}, {"period_days": True}]
)
def test_what_is_no_date_and_what_is_no_period_is_refused(wrong):
    log = TransactionLog.from_arrays(customer_id=[], at=[], revenue=[])
    with pytest.raises(ConfigError):
        audit(log, **{"as_of": AS_OF} | wrong)


def test_sums_beyond_exact_money_are_refused_not_wrapped():
    huge = 4 * 10**18
    with pytest.raises(RetentionError, match="beyond what exact money can hold"):
        TransactionLog.from_arrays(customer_id=["a", "a", "a"], at=["2021-05-01"] * 3, revenue=[huge] * 3)


def test_an_audit_draws_nothing_until_asked():
    code = "import retention.lenses, sys; sys.exit('matplotlib' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
