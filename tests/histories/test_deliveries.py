"""Files of receipts are taken in once each, whatever they are called and wherever they lie."""

import datetime as dt

import polars
import pytest

from retention.errors import ConfigError, ReadError
from retention.histories import HistoryStore, take_in_files
from retention.records import scan_transactions

pytest.importorskip("duckdb")
NAMED = {"customer": "who", "at": "day", "revenue": "sum"}


def write(path, rows, ids=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    who, day, money = zip(*rows, strict=True)
    frame = polars.DataFrame({"who": who, "day": day, "sum": money}).with_columns(polars.col("day").str.to_date())
    if ids is not None:
        frame = frame.with_columns(line=polars.Series(ids))
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)


def revenue(store):
    base = store.histories().collect()
    return dict(zip(base.customer_id.tolist(), base.revenue.tolist(), strict=True))


def test_equal_names_in_two_folders_are_two_files(tmp_path):
    store = HistoryStore.create(tmp_path / "history")
    write(tmp_path / "sales" / "2011" / "day.parquet", [("a", "2011-01-03", 5.0)])
    take_in_files(store, str(tmp_path / "sales"), **NAMED)
    write(tmp_path / "sales" / "2012" / "day.parquet", [("b", "2012-01-03", 6.0)])
    assert take_in_files(store, str(tmp_path / "sales"), **NAMED).rows_read == 1
    (tmp_path / "sales").rename(tmp_path / "archive")  # and what was had is known where it lies now
    night = take_in_files(store, str(tmp_path / "archive" / "*" / "day.parquet"), as_of="2012-02-01", **NAMED)
    assert night.rows_read == 0
    assert revenue(store) == {"a": 5.0, "b": 6.0}
    assert store.as_of == dt.date(2012, 2, 1)
    assert store.lines().quality.rows_kept == 2


def test_a_correction_of_the_same_length_is_read(tmp_path):
    file, store = tmp_path / "sales.csv", HistoryStore.create(tmp_path / "history")
    file.write_text("line,who,day,sum\nL1,a,2011-01-03,5\nL2,b,2011-01-04,6\n")
    take_in_files(store, str(file), line_id="line", **NAMED)
    file.write_text("line,who,day,sum\nL1,a,2011-01-03,7\nL2,b,2011-01-04,6\n")
    night = take_in_files(store, str(file), line_id="line", **NAMED)
    assert (night.corrected, night.repeated) == (1, 1)
    assert revenue(store) == {"a": 7.0, "b": 6.0}


def test_a_changed_file_without_line_ids_is_an_error(tmp_path):
    file, store = tmp_path / "sales.csv", HistoryStore.create(tmp_path / "history")
    file.write_text("who,day,sum\na,2011-01-03,5\n")
    take_in_files(store, str(file), **NAMED)
    file.write_text("who,day,sum\na,2011-01-03,7\n")
    with pytest.raises(ReadError, match=r"sales\.csv: not as it was"):
        take_in_files(store, str(file), **NAMED)


def test_ids_of_csv_are_text_whatever_they_look_like(tmp_path):
    store = HistoryStore.create(tmp_path / "history")
    for night, who in enumerate(["007", "A12", "8"]):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{night}.csv").write_text(f"who,day,sum\n{who},2011-01-0{night + 1},5\n")
        take_in_files(store, str(tmp_path / "in"), **NAMED)
    assert revenue(store) == {"007": 5.0, "8": 5.0, "A12": 5.0}


def test_the_store_may_lie_beside_its_receipts_and_is_not_read_as_such(tmp_path):
    store = HistoryStore.create(tmp_path / "history")
    write(tmp_path / "a.parquet", [("a", "2011-01-03", 5.0)])
    for _ in range(2):
        take_in_files(store, str(tmp_path), **NAMED)
    assert revenue(store) == {"a": 5.0}
    with pytest.raises(ReadError, match="no file but those of the store"):
        take_in_files(store, str(tmp_path / "history"), **NAMED)


def test_line_ids_to_withdraw_are_a_list(tmp_path):
    store = HistoryStore.create(tmp_path / "history")
    write(tmp_path / "a.parquet", [("a", "2011-01-03", 5.0)], ids=["17"])
    with pytest.raises(ConfigError, match="as one text"):
        store.take_in(
            scan_transactions(tmp_path / "a.parquet", line_id="line", **NAMED), as_of="2011-02-01", withdrawn="17"
        )


def test_files_of_one_table_go_together_by_name_and_by_the_wider_type(tmp_path):
    for folder in ("parquet", "csv"):
        (tmp_path / folder).mkdir()
    polars.DataFrame({"who": ["a"], "day": [dt.date(2011, 1, 3)], "sum": [5]}).write_parquet(
        tmp_path / "parquet" / "1.parquet"
    )
    write(tmp_path / "parquet" / "2.parquet", [("b", "2011-01-04", 5.45)])
    (tmp_path / "csv" / "1.csv").write_text("who,day,sum,pieces\na,2011-01-03,50,3\n")
    (tmp_path / "csv" / "2.csv").write_text("who,day,pieces,sum,more\nb,2011-01-04,4,60,x\n")
    assert str(scan_transactions(tmp_path / "parquet", **NAMED).quality.money_kept) == "10.450000"
    assert scan_transactions(tmp_path / "csv", **NAMED).quality.money_kept == 110


def test_an_error_of_the_engine_is_one_clear_error_without_what_stands_in_the_rows(tmp_path):
    write(tmp_path / "1.parquet", [("a", "2011-01-03", 5.0)])
    (tmp_path / "2.parquet").write_text("ANNA-SECRET")
    with pytest.raises(ReadError) as told:
        scan_transactions(tmp_path, **NAMED).quality  # noqa: B018
    assert "SECRET" not in str(told.value)
    assert told.value.__suppress_context__
    text = "".join(f"{k},2011-01-03,5\n" for k in range(30_000)) + "9,2011-01-02,SECRET\n"
    (tmp_path / "b.csv").write_text("who,day,sum\n" + text)
    with pytest.raises(ReadError) as told:
        scan_transactions(tmp_path / "b.csv", **NAMED).quality  # noqa: B018
    assert "SECRET" not in str(told.value)
