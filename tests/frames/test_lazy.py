"""What engines hand out, as the library has it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retention.frames.lazy import as_text


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 1200), max_size=20))
def test_whole_numbers_are_written_as_python_writes_them(numbers):
    text = as_text(np.array(numbers, dtype=np.int64))
    assert text.tolist() == [str(number) for number in numbers]
    assert text.dtype == np.array([str(number) for number in numbers], dtype=np.str_).dtype


def test_text_stays_what_it_is():
    assert as_text(np.array(["b", "aß"], dtype=object)).tolist() == ["b", "aß"]
