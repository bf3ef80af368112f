"""Results are frozen, behave alike and show themselves without running anything."""

import copy
import datetime as dt
import importlib.util
import pickle

import numpy as np
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ColumnError, ConfigError, MissingExtraError, RetentionError
from retention.frames.coded import Coded
from retention.frames.table import DayColumn, FloatColumn, Table, TextColumn, column, read_only


@frozen(eq=False, repr=False, kw_only=True)
class Things(Table):
    customer_id: TextColumn = column("who")
    amount: FloatColumn = column("how much")
    share: FloatColumn | None = column("of what", optional=True)


@frozen(eq=False, repr=False, kw_only=True)
class Dated(Table):
    who: TextColumn = column("who")
    on: DayColumn = column("when")


def things(n: int = 3) -> Things:
    return Things(customer_id=np.array([f"<b>{i}</b>" for i in range(n)]), amount=np.arange(float(n)))


def test_columns_cannot_be_written_and_the_callers_array_stays_his():
    mine = np.arange(3.0)
    table = Things(customer_id=np.array(["a", "b", "c"]), amount=mine)
    mine[0] = 99.0
    assert table["amount"].tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        table["amount"][0] = 1.0


def test_a_view_of_somebody_elses_array_is_copied():
    base = np.arange(4.0)
    view = base[1:]
    frozen_view = read_only(view)
    base[1] = 99.0
    assert frozen_view.tolist() == [1.0, 2.0, 3.0]
    assert base.flags.writeable


def test_a_view_that_cannot_be_written_is_copied_as_long_as_its_memory_can():
    """What pandas hands out by ``to_numpy``: a read-only view of a frame that goes on changing."""
    pandas = pytest.importorskip("pandas")
    theirs = np.arange(4.0)
    view = theirs[1:]
    view.flags.writeable = False
    frame = pandas.DataFrame({"amount": [1.0, 2.0, 3.0]})
    taken = [read_only(view), read_only(frame["amount"].to_numpy()), read_only(frame["amount"])]
    theirs[:] = frame.loc[:, "amount"] = 99.0
    assert [each.tolist() for each in taken] == [[1.0, 2.0, 3.0]] * 3


def test_a_slice_of_a_column_is_not_copied():
    table = things(4)
    assert np.shares_memory(table[1:]["amount"], table["amount"])


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda table: pickle.loads(pickle.dumps(table))])
def test_a_copy_of_a_table_is_as_frozen_as_the_table(again):
    table = again(things())
    assert table.equals(things())
    assert table.share is None
    with pytest.raises(ValueError, match="read-only"):
        table["amount"][0] = 1.0


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(RetentionError, match="one length"):
        Things(customer_id=np.array(["a"]), amount=np.arange(2.0))


def test_a_column_that_is_not_there_is_told_with_the_nearest():
    with pytest.raises(ColumnError, match="did you mean 'amount'"):
        things()["amuont"]


def test_rows_are_asked_for_by_id_and_the_error_does_not_repeat_it():
    assert things().customer("<b>1</b>")["amount"] == 1.0
    with pytest.raises(RetentionError) as caught:
        things().customer("secret name")
    assert "secret name" not in str(caught.value)


def test_html_is_escaped():
    assert "<b>" not in things()._repr_html_()
    assert "&lt;b&gt;" in things()._repr_html_()


def test_equality_is_by_kind_columns_and_values_with_nan_equal_to_itself():
    a = Things(customer_id=np.array(["x"]), amount=np.array([np.nan]))
    assert a.equals(Things(customer_id=np.array(["x"]), amount=np.array([np.nan])))
    assert not a.equals(Things(customer_id=np.array(["x"]), amount=np.array([1.0])))
    assert not a.equals(Things(customer_id=np.array(["x"]), amount=np.array([np.nan]), share=np.array([1.0])))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_table_goes_out_in_the_callers_own_library(library):
    frame = things().to_frame(like=library)
    assert type(frame).__module__.split(".")[0] == library
    again = things().to_frame(like=frame)
    assert type(again) is type(frame)
    assert np.asarray(frame["amount"]).tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "library", ["duckdb", "polars lazy", "ibis", "dask", pytest.param("pyspark", marks=pytest.mark.slow)]
)
def test_a_lazy_engine_gets_a_frame_of_its_own_that_joins_with_others(library):
    """The frame made by name and that made like another hold the same rows, and both are of that engine."""
    if library == "polars lazy":
        polars = pytest.importorskip("polars")
        frame = things().to_frame(like=polars.LazyFrame({"a": [1]}))
        assert isinstance(frame, polars.LazyFrame)
        assert frame.collect()["amount"].to_list() == [0.0, 1.0, 2.0]
        return
    pytest.importorskip({"dask": "dask.dataframe"}.get(library, library))
    if library == "pyspark":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pyspark.sql.SparkSession.getActiveSession", lambda: None)
            with pytest.raises(ConfigError, match="frame of your session"):
                things().to_frame(like="pyspark")
        spark_session()
    frame = things().to_frame(like=library)
    again = things().to_frame(like=frame)
    assert type(again) is type(frame)
    assert type(frame).__module__.split(".")[0].strip("_").startswith(library[:4])
    total = {
        "duckdb": lambda: again.aggregate("sum(amount)").fetchall()[0][0],
        "ibis": lambda: again.amount.sum().execute(),
        "dask": lambda: again.amount.sum().compute(),
        "pyspark": lambda: again.groupBy().sum("amount").first()[0],
    }
    assert total[library]() == 3.0


def spark_session():
    sql = pytest.importorskip("pyspark.sql")
    builder = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    return builder.config("spark.sql.shuffle.partitions", "4").config("spark.log.level", "ERROR").getOrCreate()


def test_a_relation_gets_a_relation_of_its_own_connection():
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE visits AS SELECT '<b>1</b>' AS customer_id, 5 AS visits")
        visits = connection.table("visits")
        joined = visits.join(things().to_frame(like=visits), "customer_id")
        assert joined.fetchall() == [("<b>1</b>", 5, 1.0)]


@pytest.mark.parametrize("library", ["pyarrow", "polars", "duckdb"])
def test_whoever_reads_arrow_reads_a_table_as_it_is(library, monkeypatch):
    """By whichever library is installed; days, text and numbers as they are, nothing as null."""
    pyarrow, polars, duckdb = (pytest.importorskip(name) for name in ("pyarrow", "polars", "duckdb"))
    find = importlib.util.find_spec
    others = {"pyarrow", "polars", "duckdb", "pandas"} - {library}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in others else find(name))
    table = Dated(who=np.array(["a", "ü"]), on=np.array(["2011-01-02", "NaT"], dtype="datetime64[D]"))
    assert pyarrow.table(table).num_rows == 2
    frame = polars.DataFrame(table)
    assert frame["who"].to_list() == ["a", "ü"]
    day = dt.datetime(2011, 1, 2) if library == "duckdb" else dt.date(2011, 1, 2)  # alone it is given arrays
    assert frame["on"].to_list() == [day, None]
    with duckdb.connect() as connection:
        relation = connection.from_arrow(table)
        assert relation.filter("who = 'ü'").aggregate("count(*)").fetchall() == [(1,)]
        assert relation.aggregate("count(*)").fetchall() == [(2,)]  # read as often as it is asked


def test_reading_as_arrow_without_a_library_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="parquet"):
        things().__arrow_c_stream__()


def test_a_library_that_nobody_knows_is_told():
    with pytest.raises(ConfigError, match="pandas, polars, pyarrow"):
        things().to_frame(like="excel")
    with pytest.raises(ConfigError, match="any frame of it"):
        things().to_frame(like=object())


@given(st.lists(st.text(min_size=1, max_size=5).filter(lambda t: "\x00" not in t), max_size=20), st.data())
def test_coded_text_is_the_text(values, data):
    coded = Coded.of(values)
    assert coded.text().tolist() == values
    assert coded.labels.tolist() == sorted(set(values))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))), dtype=bool)
    some = coded.take(mask)
    assert some.text().tolist() == [v for v, keep in zip(values, mask, strict=True) if keep]
    assert some.labels.tolist() == sorted(set(some.text().tolist()))
    assert coded.joined(some).text().tolist() == values + some.text().tolist()
