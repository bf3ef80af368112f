"""Raw columns: where each cell stood, and which rows repeat."""

import numpy as np
import pandas
import polars
import pyarrow
from hypothesis import given
from hypothesis import strategies as st

from retention.frames.reading import open_source

CELLS = st.one_of(st.none(), st.sampled_from(["a", "b", "A", "", " "]))


@given(st.lists(st.tuples(CELLS, st.integers(-2, 2), st.one_of(st.none(), st.sampled_from([0.5, 1.0]))), min_size=1))
def test_repeated_rows_are_those_that_pandas_finds(rows):
    columns = dict(zip("xyz", map(list, zip(*rows, strict=True)), strict=True))
    wanted = pandas.DataFrame(
        {name: pandas.Series(cells, dtype=object) for name, cells in columns.items()}
    ).duplicated()
    for frame in (pandas.DataFrame(columns), polars.DataFrame(columns, strict=False), pyarrow.table(columns)):
        np.testing.assert_array_equal(open_source(frame).repeats(), wanted)


@given(
    st.lists(
        st.lists(st.text('ab,;"\n\r |\t', max_size=6), min_size=3, max_size=3).filter(lambda row: any(row)), min_size=1
    ),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_quoted_cells_come_back_with_the_line_they_start_on(tmp_path_factory, rows, delimiter, end):
    path = tmp_path_factory.getbasetemp() / "q.csv"

    def quoted(cell):
        return '"' + cell.replace('"', '""') + '"'

    header = delimiter.join(["one", "two", "three"]) + end
    text = header + "".join(delimiter.join(map(quoted, row)) + end for row in rows)
    path.write_bytes(text.encode())
    source = open_source(path)
    assert list(source.columns) == ["one", "two", "three"]
    assert not len(source.misshapen)
    got = [[c.labels[i] for i in c.values] for c in source.columns.values()]
    assert [list(cells) for cells in zip(*got, strict=True)] == rows
    # line ends of all kinds count, inside quotes too, as an editor counts them
    assert source.line[0] == 2
    pieces = [delimiter.join(map(quoted, row)) + end for row in rows]
    lines = [
        2 + sum(len(p.replace("\r\n", "\n").replace("\r", "\n").split("\n")) - 1 for p in pieces[:i])
        for i in range(len(rows))
    ]
    assert source.line.tolist() == lines


def test_blank_headers_get_the_number_of_their_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,,b,\n1,2,3,4\n")
    assert list(open_source(path).columns) == ["a", "column 2", "b", "column 4"]


def test_a_header_that_ends_in_delimiters_names_no_column_there(tmp_path):
    """Spreadsheets end a header with delimiters when a cell far to the right was once touched."""
    path = tmp_path / "a.csv"
    for rows in ("1,2\n3,4\n", "1,2,,\n3,4,,\n", "1,2\n3,4, ,\n"):
        path.write_text("a,b,,\n" + rows)
        source = open_source(path)
        assert list(source.columns) == ["a", "b"]
        assert len(source) == 2
        assert not len(source.misshapen)
    path.write_text("a,b,,\n1,2\n3,4,5,\n")
    source = open_source(path)
    assert list(source.columns) == ["a", "b", "column 3", "column 4"]
    assert source.misshapen.tolist() == [2]


def test_columns_of_lists_binary_and_durations_are_no_reason_to_fail():
    frame = polars.DataFrame({"a": [[1], [2]], "b": [b"x", b"y"], "c": [{"d": 1}, {"d": 2}]}).with_columns(
        e=polars.duration(days=1), f=polars.time(1, 2), g=polars.lit(2**63, polars.UInt64), h=polars.lit(None)
    )
    source = open_source(frame)
    assert not source.repeats().any()
    assert source.columns["g"].labels == [str(2**63)]
    assert source.columns["h"].missing.all()


def test_names_that_are_no_text_become_text():
    assert list(open_source(pandas.DataFrame({0: ["a"], 1: ["b"]})).columns) == ["0", "1"]


def test_the_callers_frame_is_left_as_it_was():
    frame = pandas.DataFrame({"a": [1.0, None], "b": ["x", None]})
    before = frame.copy()
    open_source(frame)
    pandas.testing.assert_frame_equal(frame, before)
