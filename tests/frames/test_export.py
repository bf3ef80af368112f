"""What leaves the library: stable bytes, whole files, and no cell that a spreadsheet would run."""

import csv
import datetime as dt
import importlib.util
from decimal import Decimal

import numpy as np
import pandas
import polars
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import MissingExtraError, RetentionError
from retention.frames.export import escaped, write_csv, write_parquet, write_parts
from retention.frames.texts import Labels, Told
from retention.histories import Histories
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


FLOATS = st.one_of(
    st.floats(allow_subnormal=True),
    st.integers(-(10**16), 10**16).map(lambda n: n / 1e6),
    st.integers(-(10**13), 10**13).map(lambda n: (2 * n + 1) / 2**7),  # halves of the sixth decimal
    st.sampled_from([0.0, -0.0, 1e-6, 5e-7, 1.5e-6, 2.5e-6, -4.9e-7, 9.99e-5, 1e15, 2.0**52 / 1e6, 1e22]),
)


def written(value):
    """Python's own rounding, one value at a time."""
    if value != value:
        return ""
    rounded = round(value, 6) + 0.0
    whole = abs(rounded) < 1e15 and rounded == int(rounded)
    return str(int(rounded)) if whole else repr(rounded)


@given(st.lists(FLOATS, min_size=1, max_size=30), st.sampled_from([1, 40]))
def test_numbers_written_together_are_those_written_one_by_one(tmp_path_factory, values, times):
    path = write_csv({"x": values * times, "n": [1] * len(values) * times}, tmp_path_factory.getbasetemp() / "n.csv")
    _, *rows = cells_of(path)
    assert [cell for cell, _ in rows] == [written(value) for value in values] * times


@given(st.lists(st.text(alphabet='aB9,=+ \n"\t-é', max_size=4), min_size=1, max_size=30), st.sampled_from([1, 40]))
def test_text_written_together_is_text_written_one_by_one(tmp_path_factory, texts, times):
    folder = tmp_path_factory.getbasetemp()
    together = write_csv({"a": np.array(texts * times), "b": np.array(texts * times)}, folder / "one.csv").read_bytes()
    single = [write_csv({"a": [text], "b": [text]}, folder / "row.csv").read_bytes()[4:] for text in texts]
    assert together == b"a,b\n" + b"".join(single) * times


@pytest.mark.parametrize(
    "kept", [Labels.of, lambda texts: Told(lambda rows: texts[rows].tolist(), np.arange(len(texts)))]
)
def test_text_that_is_not_written_out_yet_goes_out_as_what_it_says(tmp_path, kept):
    texts = np.array(["=1", 'a "b", c', "", "ü", "=1"] * 20)
    written = write_csv({"a": texts, "n": np.arange(100)}, tmp_path / "a.csv").read_bytes()
    assert write_csv({"a": kept(texts), "n": np.arange(100)}, tmp_path / "b.csv").read_bytes() == written
    path = write_parquet({"a": kept(texts)}, tmp_path / "a.parquet", rows_per_file=None, spreadsheet=False)
    assert polars.read_parquet(path)["a"].to_list() == texts.tolist()


def test_a_column_of_nothing_has_a_line_a_row(tmp_path):
    assert write_csv({"a": ["", "x"]}, tmp_path / "a.csv").read_bytes() == b'a\n""\nx\n'
    assert write_csv({"a": np.array(["", "x"])}, tmp_path / "a.csv").read_bytes() == b'a\n""\nx\n'
    assert write_csv({"a": []}, tmp_path / "a.csv").read_bytes() == b"a\n"


def test_what_is_written_in_chunks_is_what_is_written_at_once(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    day = np.datetime64("2011-01-01") + rng.integers(0, 9, 97).astype("timedelta64[D]")
    day[::7] = np.datetime64("NaT")
    columns = {"x": rng.choice([0.0, np.nan, 1.25], 97), "d": day, "who": np.array([f"={i % 5}, x" for i in range(97)])}
    whole = write_csv(columns, tmp_path / "whole.csv").read_bytes()
    monkeypatch.setattr("retention.frames.export._CHUNK", 10)
    assert write_csv(columns, tmp_path / "parts.csv").read_bytes() == whole


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


def sheet(n=7):
    day = np.datetime64("2011-01-01") + np.arange(n)
    ids = [f"-{i}" for i in range(n)]
    return Histories.from_arrays(
        customer_id=ids, frequency=np.arange(n), recency_days=np.arange(n), age_days=np.arange(n) + 1.0,
        first_at=day, last_at=day + np.arange(n), margin=np.arange(n) / 3,
    )  # fmt: skip


def only(monkeypatch, library):
    """As if no other library were installed."""
    find = importlib.util.find_spec
    frames = {"pandas", "polars", "pyarrow", "duckdb"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in frames - {library} else find(name))


@pytest.mark.parametrize("library", ["pyarrow", "polars", "duckdb"])
def test_a_table_in_parquet_keeps_its_types_and_its_ids(tmp_path, monkeypatch, library):
    table = sheet()
    only(monkeypatch, library)
    path = table.to_parquet(tmp_path / "base.parquet")
    monkeypatch.undo()
    schema = pyarrow.parquet.read_schema(path)
    kinds = {name: str(schema.field(name).type).removeprefix("large_") for name in table.columns()}
    days = "date32[day]" if library != "duckdb" else "timestamp[us]"  # DuckDB alone is given arrays, which have no days
    assert kinds["first_at"] == days
    assert (kinds["customer_id"], kinds["margin"], kinds["frequency"]) == ("string", "double", "int64")
    back = polars.read_parquet(path)
    assert back["customer_id"].to_list() == table.customer_id.tolist()  # not "'-1": an id is what it is
    assert np.array_equal(back["margin"].to_numpy(), table.margin)


def test_a_table_in_parts_is_the_table_and_replaces_the_parts_before(tmp_path):
    table, folder = sheet(), tmp_path / "base"
    assert table.to_parquet(folder, rows_per_file=2) == folder
    assert sorted(p.name for p in folder.iterdir()) == [f"part-0000{i}.parquet" for i in range(4)]
    assert polars.read_parquet(folder)["margin"].to_list() == table.margin.tolist()
    table[:3].to_parquet(folder, rows_per_file=2)
    assert polars.read_parquet(folder)["margin"].to_list() == table.margin[:3].tolist()
    table[:0].to_parquet(folder, rows_per_file=2)  # nobody, but the columns and their types
    assert polars.read_parquet(folder).schema["customer_id"] == polars.String
    assert [p.name for p in tmp_path.iterdir()] == ["base"]


def test_a_folder_with_other_things_in_it_is_not_replaced(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "thesis.doc").write_text("ten years of work")
    (tmp_path / "file").write_text("old")
    for name in ("base", "file"):
        with pytest.raises(RetentionError, match="cannot be written"):
            sheet().to_parquet(tmp_path / name, rows_per_file=2)
    with pytest.raises(RetentionError, match="a file has rows"):
        sheet().to_parquet(tmp_path / "new", rows_per_file=0)
    assert (tmp_path / "base" / "thesis.doc").read_text() == "ten years of work"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base", "file"]


def test_parts_that_cannot_be_finished_leave_the_old_ones(tmp_path):
    table, folder = sheet(), tmp_path / "base"
    table.to_parquet(folder, rows_per_file=4)

    def parts():
        yield table[:1].columns()
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError):
        write_parts(parts(), folder)
    assert polars.read_parquet(folder)["margin"].to_list() == table.margin.tolist()
    assert [p.name for p in tmp_path.iterdir()] == ["base"]
