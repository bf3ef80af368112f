"""What engines hand out, as the library has it."""

import numpy as np
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.frames.lazy import as_text, open_lazy, rest


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 1200), max_size=20))
def test_whole_numbers_are_written_as_python_writes_them(numbers):
    text = as_text(np.array(numbers, dtype=np.int64))
    assert text.tolist() == [str(number) for number in numbers]
    assert text.dtype == np.array([str(number) for number in numbers], dtype=np.str_).dtype


def test_text_stays_what_it_is():
    assert as_text(np.array(["b", "aß"], dtype=object)).tolist() == ["b", "aß"]


def test_an_engine_that_rests_goes_on_with_the_limits_it_had(tmp_path):
    pytest.importorskip("duckdb")
    polars.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "a.parquet")
    frame = open_lazy(tmp_path, threads=1, memory="1.5GB")
    asked = "SELECT current_setting('memory_limit'), current_setting('threads')"
    before = frame.to_native().query("it", asked).fetchall()
    rest(frame, "1.5GB")
    assert frame.to_native().query("it", asked).fetchall() == before
    assert frame.collect()["a"].to_list() == [1, 2]
