"""Each law of readers catches one made to break it, and the library's own keeps them all."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars
import pytest
from attrs import evolve

from retention.plugins import open_registry
from retention.records import read_transactions
from retention.records.quality import Quality
from retention.testing import check_reader, report, run
from retention.testing.readers import KIT, LAWS

COLUMNS = {"customer": "who", "at": "day", "revenue": "sum"}


class Good:
    name = "good"

    def read(self, source, **options):
        return read_transactions(source, **COLUMNS, **options)


class Nameless(Good):
    name = None


class GivesAFrame(Good):
    def read(self, source, **options):
        return super().read(source).to_frame(like="pandas")


class GivesNothing(Good):
    def read(self, source, **options):
        log = super().read(source)
        return evolve(log.take([]), quality=Quality.clean(rows=0, money=Decimal(0)))


class LosesTheDays(Good):
    def read(self, source, **options):
        log = super().read(source)
        return evolve(log, at=np.where(log.line > log.line[0], log.at, np.datetime64("NaT", "s")))


class DropsALine(Good):
    def read(self, source, **options):
        log = super().read(source)
        return log.take(np.arange(len(log)) > 0)


class CountsWrong(Good):
    def read(self, source, **options):
        log = super().read(source)
        return evolve(log, quality=evolve(log.quality, rows_in=log.quality.rows_in + 1))


class Remembers(Good):
    def __init__(self):
        self.read_before = 0

    def read(self, source, **options):
        self.read_before += 1
        log = super().read(source)
        return log + log if self.read_before > 1 else log


class TidiesUp(Good):
    """Writes the file anew."""

    def read(self, source, **options):
        if isinstance(source, pd.DataFrame):
            source.dropna(inplace=True)
        else:
            source.write_text(source.read_text().replace("on a Sunday", ""))
        return super().read(source)


class Prints(Good):
    def read(self, source, **options):
        print("reading")
        return super().read(source)


WRONG = [
    (Nameless, "has_a_name"),
    (GivesAFrame, "gives_a_log"),
    (GivesNothing, "gives_a_log"),
    (LosesTheDays, "every_line_has_a_day_and_a_customer"),
    (DropsALine, "nothing_is_lost"),
    (CountsWrong, "nothing_is_lost"),
    (Remembers, "reading_twice_gives_the_same"),
    (TidiesUp, "source_untouched"),
    (Prints, "the_world_stays_as_it_was"),
]


@pytest.fixture(params=["a file", "a frame"])
def source(request, tmp_path):
    lines = "who,day,sum\n7,2011-01-03,9.99\n7,on a Sunday,5\n8,2011-02-01,12.50\n,2011-02-02,1\n8,2011-02-01,-2.50\n"
    path = tmp_path / "till.csv"
    path.write_text(lines)
    return path if request.param == "a file" else pd.read_csv(path, dtype=str)


@pytest.mark.parametrize(("kind", "law"), WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_reader_breaks_the_law_it_was_made_to_break(kind, law, source):
    assert law in run([one for one in LAWS if one.name == law], KIT.subject(kind, source=source)).broken


def test_every_law_has_a_reader_that_breaks_it():
    assert {law.name for law in LAWS} == {law for _, law in WRONG}
    assert all(law.ask for law in LAWS)


def test_what_a_reader_does_to_its_source_is_seen_before_anything_else_has_read_it(source):
    assert "source_untouched" in report(TidiesUp, source=source).broken


def test_without_a_source_only_the_name_is_asked_for():
    told = report(Good)
    assert told.passed
    assert {finding.status for finding in told.findings if finding.law != "has_a_name"} == {"not asked"}


REGISTRY = open_registry(installed=False)


@pytest.mark.parametrize("name", REGISTRY.names("reader"))
def test_our_readers_keep_all_laws(name, source, tmp_path):
    check_reader(Good, source)
    if name == "scan":  # which takes tables that are clean in their types
        frame = polars.DataFrame(
            {"who": [7, 7, 8, None], "day": [dt.date(2011, 1, day) for day in (3, 3, 5, 7)], "sum": [9.99, -9.99, 1, 2]}
        )
        source = tmp_path / "lines.parquet"
        frame.write_parquet(source)
    check_reader(REGISTRY.make("reader", name), source, **COLUMNS)
