"""A night told in a terminal."""

import datetime as dt

from retention.report.terminal import tell


def told(night):
    night.recorded = night.adherence = None
    return " ".join(tell(night).split())


def test_what_a_year_brings_is_told_of_whole_years_only(nights):
    log = nights.receipts()
    assert "of the best order at most twice a year" in told(nights.night(log))
    early = nights.night(log.until(dt.date(2009, 6, 15)), as_of=dt.date(2009, 6, 15))
    days = early.base.age_days.max()
    assert days < 170
    assert f"of the best have ordered at most 2 times in all {days:.0f} days" in told(early)
