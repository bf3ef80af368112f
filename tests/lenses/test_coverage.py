"""Coverage: exact counts of whom nobody was in touch with."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.domain import Touch
from retention.errors import ConfigError
from retention.lenses import audit
from retention.records.touches import Touches
from retention.records.transactions import TransactionLog

AS_OF = dt.date(2021, 12, 31)


def test_without_a_contact_log_coverage_is_unknown_never_none_and_never_all(log_of, row_of):
    log = log_of([row_of("a", AS_OF, "1", "tea", Decimal(5), Decimal(2), False)])
    coverage = audit(log, as_of=AS_OF).coverage
    assert (coverage.untouched, coverage.customers_share, coverage.margin_share) == (None, None, None)
    assert len(coverage) == 0
    assert "unknown: no contact log was given" in repr(coverage)
    assert "%" not in repr(coverage)
    # An empty contact log is another thing: it says that nobody was touched.
    assert audit(log, as_of=AS_OF, touches=Touches.none()).coverage.customers_share == 1


_touches = st.lists(
    st.builds(
        Touch,
        customer_id=st.sampled_from(["a", "b", "c", "d", "e", "f", "stranger"]),
        at=st.sampled_from([-1, 0, 1, 89, 90, 91, 300]).map(lambda back: AS_OF - dt.timedelta(days=back)),
        channel=st.just("phone"),
        direction=st.sampled_from(["in", "out"]),
    ),
    max_size=12,
)


@given(data=st.data(), contacts=_touches, share=st.sampled_from([0, 0.2, 0.5, 1]))
def test_coverage_is_what_i_count_by_hand(any_rows, log_of, data, contacts, share):
    rows = [row for row in data.draw(any_rows) if 0 <= (AS_OF - row.day).days < 60]
    coverage = audit(
        log_of(rows), as_of=AS_OF, period_days=30, touches=Touches.of(contacts), valuable_share=share
    ).coverage
    base = sorted({row.who for row in rows if row.bought})
    margin = {who: sum(row.margin for row in rows if row.who == who) for who in base}
    heard = {t.customer_id for t in contacts if 0 <= (AS_OF - t.at).days < 90}
    silent = [who for who in base if who not in heard]
    assert (coverage.customers, coverage.untouched) == (len(base), len(silent))
    if base:
        assert coverage.customers_share == len(silent) / len(base)
    if sum(margin.values()) > 0:
        assert coverage.margin_share == pytest.approx(
            float(sum(margin[who] for who in silent) / sum(margin.values())), rel=1e-12, abs=1e-12
        )
    else:
        assert coverage.margin_share is None
    size = -(-len(base) * int(share * 10) // 10)
    best = sorted(base, key=lambda who: (-margin[who], who))[:size]
    assert coverage["customer_id"].tolist() == [who for who in best if margin[who] > 0 and who in silent]
    for who, last in zip(coverage["customer_id"], coverage["last_touch"].tolist(), strict=True):
        assert last == max((t.at for t in contacts if t.customer_id == who and t.at <= AS_OF), default=None)


def test_contacts_with_strangers_are_counted_and_left_out(log_of, row_of):
    log = log_of([row_of("a", AS_OF, "1", "tea", Decimal(5), Decimal(2), False)])
    strangers = Touches.of([Touch(customer_id="z", at=AS_OF, channel="phone")])
    coverage = audit(log, as_of=AS_OF, touches=strangers).coverage
    assert coverage.untouched == 1
    assert any("1 contacts are with people who have no line" in note for note in coverage.provenance.notes)


def test_nobody_to_keep_in_touch_with_is_fine():
    log = TransactionLog.from_arrays(customer_id=[], at=[], revenue=[])
    coverage = audit(log, as_of=AS_OF, touches=Touches.none()).coverage
    assert (coverage.customers, coverage.untouched, coverage.customers_share) == (0, 0, None)
    assert "nobody" in coverage.verdict()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_its_range_is_refused(share):
    log = TransactionLog.from_arrays(customer_id=[], at=[], revenue=[])
    with pytest.raises(ConfigError, match="valuable_share"):
        audit(log, as_of=AS_OF, valuable_share=share)
