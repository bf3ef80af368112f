"""What leaves the library: stable bytes, whole files, and no cell that a spreadsheet would run."""

import csv
import datetime as dt
from decimal import Decimal

import numpy as np
import pandas
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import MissingExtraError, RetentionError
from retention.frames.export import escaped, write_csv, write_parquet
from retention.records import TransactionLog

STARTS = ("=", "+", "-", "@", "\t", "\r")
TEXTS = st.lists(
    st.one_of(st.text(max_size=9), st.tuples(st.sampled_from(STARTS), st.text(max_size=5)).map("".join)), max_size=9
).map(lambda cells: [c for c in cells if not any("\ud800" <= x <= "\udfff" for x in c)])


def cells_of(path):
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))


@given(TEXTS)
def test_no_exported_text_starts_like_a_formula_and_none_is_lost(tmp_path_factory, texts):
    path = write_csv({"=name": texts, "n": list(range(len(texts)))}, tmp_path_factory.getbasetemp() / "x.csv")
    header, *rows = cells_of(path)
    assert not header[0].startswith(STARTS)
    assert len(rows) == len(texts)
    for (cell, _), text in zip(rows, texts, strict=True):
        assert not cell.startswith(STARTS)
        assert cell in (text, "'" + text)
        unseen = "".join(map(chr, range(33))) + "\u00a0\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
        begins = text.lstrip(unseen + "".join(c for c in text if c.isspace()))
        assert cell == text or begins[:1] in tuple("=+-@＝＋－＠") or text.lstrip(" \u00a0")[:1] in tuple("\t\r\n")


@given(TEXTS)
def test_the_same_holds_in_parquet(tmp_path_factory, texts):
    path = write_parquet({"name": texts, "n": list(range(len(texts)))}, tmp_path_factory.getbasetemp() / "x.parquet")
    cells = pandas.read_parquet(path)["name"].tolist()
    assert cells == [escaped(text) for text in texts]
    assert not any(cell.startswith(STARTS) for cell in cells)


def test_numbers_are_not_touched_and_nothing_is_an_empty_cell(tmp_path):
    columns = {
        "f": [-1.5, float("nan"), 0.1 + 0.2, -0.0, 1e20],
        "i": [-1, 0, 1, 2, 3],
        "d": [Decimal("-1.10"), None, Decimal(2), 3, -4.5],
        "b": [True, False, True, False, True],
        "t": [dt.date(2011, 1, 2), None, dt.date(2011, 1, 3), "x", "-y"],
        "at": np.array(["2011-01-02", "NaT", "2011-01-03", "2011-01-04", "2011-01-05"], dtype="datetime64[D]"),
        "when": np.array(["2011-01-02T03:04:05"] * 5, dtype="datetime64[s]"),
    }
    _, *rows = cells_of(write_csv(columns, tmp_path / "a.csv"))
    f, i, d, b, t, at, when = (list(column) for column in zip(*rows, strict=True))
    assert f == ["-1.5", "", "0.3", "0", "1e+20"]
    assert i == ["-1", "0", "1", "2", "3"]
    assert d == ["-1.10", "", "2", "3", "-4.5"]
    assert b == ["true", "false", "true", "false", "true"]
    assert t == ["2011-01-02", "", "2011-01-03", "x", "'-y"]
    assert at == ["2011-01-02", "", "2011-01-03", "2011-01-04", "2011-01-05"]
    assert when[0] == "2011-01-02T03:04:05"


def test_a_table_is_written_with_stable_bytes(tmp_path):
    log = TransactionLog.from_arrays(customer_id=["=7", "ü"], at=["2011-01-01", "2011-01-02"], revenue=["-1.50", "2"])
    one, two = write_csv(log, tmp_path / "1.csv").read_bytes(), write_csv(log, tmp_path / "2.csv").read_bytes()
    assert one == two
    assert b"\r" not in one
    assert one.decode("utf-8").splitlines()[1].startswith("1,'=7,2011-01-01T00:00:00,-1.5")
    assert polars.read_parquet(write_parquet(log, tmp_path / "1.parquet"))["revenue"].to_list() == [-1.5, 2.0]


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_failed_export_leaves_the_old_file_and_no_other(tmp_path, write):
    target = tmp_path / "plan"
    target.write_text("old")
    with pytest.raises(RetentionError, match="lengths"):
        write({"a": [1], "b": [1, 2]}, target)
    with pytest.raises(RetentionError, match="cannot be written"):
        write({"a": [1]}, tmp_path / "nowhere" / "plan")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RetentionError, match="cannot be written"):
        write({"a": [1]}, tmp_path / "folder")
    assert target.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "plan"]


def test_parquet_without_its_library_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="parquet"):
        write_parquet({"a": [1]}, tmp_path / "a.parquet")


@pytest.mark.parametrize("before", ["\v", "\f", "\0", "\u2003", "\u200b", "\ufeff", " \ufeff\u00a0"])
def test_a_formula_does_not_hide_behind_what_is_not_seen(before):
    assert escaped(before + "=1+1") == "'" + before + "=1+1"
    assert escaped(before + "Ann") == before + "Ann"
