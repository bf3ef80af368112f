"""She is left in peace by her own clock, whatever the clock does."""

import datetime as dt
import functools
import zoneinfo
from zoneinfo import ZoneInfo

import attrs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from retention.domain import Action
from retention.errors import ConfigError
from retention.plan import gate
from retention.plan.policies import QuietHours

CALL = Action(name="call", kind="give", channel="phone", customer_benefit="x", needs_consent=False)
CARD = Action(name="card", kind="give", channel="post", customer_benefit="x", needs_consent=False)
ZONES = sorted(zone for zone in zoneinfo.available_timezones() if not zone.startswith(("posix", "right", "System")))


def _placed(shop, policy, opens, closes=None, zone=None, action=CALL, **known):
    """Where a contact is put: (first, last) in UTC, or the reason why it is refused."""
    opens = dt.date.fromisoformat(opens) if isinstance(opens, str) else opens
    closes = opens if closes is None else dt.date.fromisoformat(closes) if isinstance(closes, str) else closes
    if zone is not None:
        known["attributes"] = {"time_zone": {"a": zone}}
    situation = shop.situation(shop.tables(["a"], as_of=opens), **known)
    one = shop.proposals(situation, [(0, action, 1.0)])
    one = attrs.evolve(one, opens=np.asarray([opens], "M8[D]"), closes=np.asarray([closes], "M8[D]"))
    review = policy.review(one, situation)
    assert bool(review.allowed[0]) != bool(review.reason[0])
    if not review.allowed[0]:
        return str(review.reason[0])
    return review.not_before[0].item(), review.not_after[0].item()


def _utc(text):
    return dt.datetime.fromisoformat(text)


def test_quiet_hours_go_over_midnight_by_her_clock(shop):
    quiet = QuietHours(time_zone="Europe/Berlin")
    assert _placed(shop, quiet, "2011-12-01") == (_utc("2011-12-01T07:00"), _utc("2011-12-01T18:59"))
    assert _placed(shop, quiet, "2011-07-01") == (_utc("2011-07-01T06:00"), _utc("2011-07-01T17:59"))
    assert _placed(shop, quiet, "2011-12-01", zone="Pacific/Auckland") == (
        _utc("2011-11-30T19:00"),
        _utc("2011-12-01T06:59"),
    )
    assert _placed(shop, quiet, "2011-12-01", zone="Asia/Kathmandu")[0] == _utc("2011-12-01T02:15")


def test_quiet_hours_within_a_day_leave_the_longer_part(shop):
    siesta = QuietHours(quiet_from="13:00", quiet_until="16:00", time_zone="UTC")
    assert _placed(shop, siesta, "2011-12-01") == (_utc("2011-12-01T00:00"), _utc("2011-12-01T12:59"))
    early = QuietHours(quiet_from="00:00", quiet_until="09:30", time_zone="UTC")
    assert _placed(shop, early, "2011-12-01") == (_utc("2011-12-01T09:30"), _utc("2011-12-01T23:59"))


def test_a_closed_day_moves_the_contact_on_within_its_window_and_no_further(shop):
    quiet = QuietHours(time_zone="UTC", closed=["saturday", "sunday"], holidays=["2011-12-05", dt.date(2011, 12, 26)])
    assert _placed(shop, quiet, "2011-12-02")[0] == _utc("2011-12-02T08:00")
    assert _placed(shop, quiet, "2011-12-03", "2011-12-10")[0] == _utc("2011-12-06T08:00")
    assert _placed(shop, quiet, "2011-12-03", "2011-12-06")[0] == _utc("2011-12-06T08:00")
    assert (
        _placed(shop, quiet, "2011-12-03", "2011-12-05")
        == "all 3 days of its window are closed (Saturdays, Sundays, holidays)"
    )
    assert _placed(shop, QuietHours(time_zone="UTC"), "2011-12-04") == (
        "the only day of its window is closed (Sundays)"
    )


def test_letters_have_no_hour(shop):
    quiet = QuietHours(time_zone="UTC", channel=["phone", "email"])
    assert _placed(shop, quiet, "2011-12-04", action=CARD) == (None, None)
    assert quiet.name == "quiet-hours-phone-email"


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "Europe", "../../etc/passwd", "/etc/passwd", 7, ["UTC"], "europe/berlin\0"]
)
def test_a_zone_that_does_not_exist_is_a_refusal_with_a_reason_even_where_there_is_a_default(shop, zone):
    said = _placed(shop, QuietHours(time_zone="UTC"), "2011-12-01", zone=zone)
    assert said == "the time zone on file for her is none that exists"


@pytest.mark.parametrize("zone", [None, "", " ", float("nan"), "unknown"])
def test_who_has_no_zone_has_that_of_the_policy_or_is_not_contacted(shop, zone):
    known = {"attributes": {"time_zone": {"a": zone}}}
    assert _placed(shop, QuietHours(time_zone="Asia/Tokyo"), "2011-12-01", **known)[0] == _utc("2011-11-30T23:00")
    said = "her time zone is not known, so neither is when she sleeps"
    assert _placed(shop, QuietHours(), "2011-12-01", **known) == said
    assert _placed(shop, QuietHours(), "2011-12-01") == said


def test_zones_may_stand_in_the_base(shop):
    tables = shop.tables(["a", "b", "c"])
    base = tables[0].with_attributes({"zone": ["Asia/Tokyo", "Europe/Berlin", "nowhere"]})
    situation = shop.situation((base, *tables[1:]))
    offers = shop.proposals(situation, [(2, CALL, 1.0), (1, CALL, 1.0), (0, CALL, 1.0)])
    review = QuietHours(attribute="zone").review(offers, situation)
    assert review.allowed.tolist() == [False, True, True]
    assert review.not_before[1:].tolist() == [_utc("2011-12-01T07:00"), _utc("2011-11-30T23:00")]


def test_a_day_that_her_country_skipped_is_closed(shop):
    """Samoa went from 29 to 31 December 2011."""
    quiet = QuietHours(time_zone="Pacific/Apia", closed=[])
    assert _placed(shop, quiet, "2011-12-30") == "the only day of its window is closed"
    first, last = _placed(shop, quiet, "2011-12-30", "2012-01-05")
    assert (first, last) == (_utc("2011-12-30T18:00"), _utc("2011-12-31T05:59"))
    weekend = QuietHours(time_zone="Pacific/Apia", closed=["saturday", "sunday"])
    assert _placed(shop, weekend, "2011-12-30", "2012-01-05")[0] == _utc("2012-01-01T18:00"), "a Monday"


def test_an_hour_that_comes_twice_is_quiet_twice(shop):
    """Berlin, 30 October 2011: 02:00 to 03:00 came twice, and 02:30 is still asleep the second time."""
    quiet = QuietHours(quiet_from="05:00", quiet_until="02:30", closed=[], time_zone="Europe/Berlin")
    # Half an hour before the change and two and a half after it: the second stretch is used.
    assert _placed(shop, quiet, "2011-10-30") == (_utc("2011-10-30T01:30"), _utc("2011-10-30T03:59"))
    ending = QuietHours(quiet_from="02:30", quiet_until="00:00", closed=[], time_zone="Europe/Berlin")
    assert _placed(shop, ending, "2011-10-30") == (_utc("2011-10-29T22:00"), _utc("2011-10-30T00:29"))


def test_an_hour_that_does_not_exist_is_nobodys(shop):
    """Berlin, 27 March 2011: from 02:00 to 03:00 at once."""
    quiet = QuietHours(quiet_from="03:00", quiet_until="02:00", closed=[], time_zone="Europe/Berlin")
    assert _placed(shop, quiet, "2011-03-27") == "the only day of its window is closed"
    wide = QuietHours(quiet_from="04:00", quiet_until="01:30", closed=[], time_zone="Europe/Berlin")
    assert _placed(shop, wide, "2011-03-27") == (_utc("2011-03-27T00:30"), _utc("2011-03-27T01:59"))


@functools.cache
def _changes(zone):
    """Days on which the clock of a zone is changed, 2010 to 2012."""
    hers, day = ZoneInfo(zone), dt.datetime(2010, 1, 1, tzinfo=dt.UTC)
    offsets = [(day + dt.timedelta(days=i)).astimezone(hers).utcoffset() for i in range(1096)]
    return [(day + dt.timedelta(days=i)).date() for i in range(1095) if offsets[i] != offsets[i + 1]]


clocks = st.builds(dt.time, st.integers(0, 23), st.sampled_from([0, 1, 29, 30, 59]))


@given(
    zone=st.sampled_from(ZONES),
    data=st.data(),
    quiet_from=clocks,
    quiet_until=clocks,
    closed=st.sets(st.sampled_from(["monday", "saturday", "sunday"])),
)
@settings(max_examples=300)
@example(zone="Australia/Lord_Howe", data=None, quiet_from=dt.time(1, 30), quiet_until=dt.time(1, 45), closed=set())
def test_no_minute_of_a_contact_is_quiet_in_any_zone_on_any_day(shop, zone, data, quiet_from, quiet_until, closed):
    """Every minute is looked up on her clock; half of the days are days on which it is changed."""
    if quiet_from == quiet_until:
        return
    changes = _changes(zone)
    days = [st.dates(dt.date(2010, 1, 2), dt.date(2012, 12, 20))]
    if changes:
        days.append(st.sampled_from(changes).flatmap(lambda d: st.sampled_from([d, d + dt.timedelta(days=1)])))
    opens = dt.date(2011, 4, 3) if data is None else data.draw(st.one_of(days))
    closes = opens + dt.timedelta(days=0 if data is None else data.draw(st.integers(0, 4)))
    quiet = QuietHours(quiet_from=quiet_from, quiet_until=quiet_until, closed=tuple(closed), time_zone=zone)
    hers, names = ZoneInfo(zone), ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

    def peace(minute):
        local = minute.astimezone(hers)
        clock = local.time()
        over = clock >= quiet_from or clock < quiet_until
        asleep = quiet_from <= clock < quiet_until if quiet_from < quiet_until else over
        return not asleep and opens <= local.date() <= closes and names[local.weekday()] not in closed

    placed = _placed(shop, quiet, opens, closes)
    start = dt.datetime.combine(opens, dt.time(), dt.UTC) - dt.timedelta(days=1)
    if isinstance(placed, str):
        # Refused: then there is no such minute in the whole window.
        minutes = (closes - opens).days * 1440 + 3 * 1440
        assert not any(peace(start + dt.timedelta(minutes=m)) for m in range(0, minutes, 7))
        return
    first, last = (at.replace(tzinfo=dt.UTC) for at in placed)
    span = int((last - first).total_seconds() // 60)
    assert span >= 0
    assert all(peace(first + dt.timedelta(minutes=m)) for m in range(span + 1))
    # And nothing is given away: the minutes around it are not free.
    assert not (
        peace(first - dt.timedelta(minutes=1))
        and (first - dt.timedelta(minutes=1)).astimezone(hers).date() == first.astimezone(hers).date()
    )
    after = last + dt.timedelta(minutes=1)
    assert not (peace(after) and after.astimezone(hers).date() == first.astimezone(hers).date())


@pytest.mark.parametrize(("quiet_from", "quiet_until"), [("20:00", "08:00"), ("02:30", "01:30"), ("00:00", "03:00")])
def test_every_zone_of_the_world_sleeps_on_the_days_on_which_its_clock_is_changed(shop, quiet_from, quiet_until):
    """All zones at once, as a plan does it; every fifth minute and both ends are looked up."""
    quiet = QuietHours(quiet_from=quiet_from, quiet_until=quiet_until, closed=[])
    by_day = {}
    for zone in ZONES:
        for day in _changes(zone)[:2]:
            for after in (0, 1):
                by_day.setdefault(day + dt.timedelta(days=after), []).append(zone)
    looked = 0
    for day, zones in by_day.items():
        ids = [f"c{i}" for i in range(len(zones))]
        situation = shop.situation(shop.tables(ids, as_of=day), attributes={"time_zone": zones})
        review = quiet.review(shop.proposals(situation, [(i, CALL, 1.0) for i in range(len(ids))]), situation)
        for zone, ok, first, last in zip(zones, review.allowed, review.not_before, review.not_after, strict=True):
            if not ok:
                continue
            hers, minutes = ZoneInfo(zone), int((last - first).astype(int))
            for after in (*range(0, minutes, 5), minutes):
                at = (first.item() + dt.timedelta(minutes=after)).replace(tzinfo=dt.UTC).astimezone(hers)
                over = at.time() >= quiet.quiet_from or at.time() < quiet.quiet_until
                within = quiet.quiet_from <= at.time() < quiet.quiet_until
                assert at.date() == day
                assert not (within if quiet.quiet_from < quiet.quiet_until else over), (zone, day)
            looked += 1
    assert looked > 500


def test_two_policies_leave_what_both_leave_and_nothing_where_they_pick_different_days(shop):
    situation = shop.situation(shop.tables(["a"], as_of=dt.date(2011, 12, 2)))
    one = shop.proposals(situation, [(0, CALL, 1.0)])
    day = QuietHours(time_zone="UTC")
    late = QuietHours(time_zone="UTC", quiet_from="22:00", quiet_until="12:00", name="late")
    passed, _, _ = gate([day, late], one, situation)
    assert passed.not_before[0].item() == _utc("2011-12-02T12:00")
    assert passed.not_after[0].item() == _utc("2011-12-02T19:59")
    closed = QuietHours(time_zone="UTC", holidays=["2011-12-02"], name="holidays")
    open_longer = attrs.evolve(one, closes=one.closes + 5)
    passed, vetoes, _ = gate([day, closed], open_longer, situation)
    assert not passed.allowed[0]
    assert vetoes.policy.tolist() == ["holidays and quiet-hours"]


@pytest.mark.parametrize(
    "settings_",
    [
        {"quiet_from": "8 pm"},
        {"quiet_from": "20:00:30"},
        {"quiet_from": 20},
        {"quiet_from": "08:00"},
        {"closed": ["sun"]},
        {"closed": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]},
        {"closed": 7},
        {"holidays": ["Christmas"]},
        {"holidays": 3},
        {"time_zone": "Europe/Berlino"},
        {"time_zone": 1},
        {"attribute": ""},
    ],
)
def test_hours_and_days_that_mean_nothing_are_refused_when_the_policy_is_made(settings_):
    with pytest.raises(ConfigError):
        QuietHours(**settings_)
