"""A base remembers its cells: nothing of it shows but the time it takes."""

import gc
import weakref

import attrs
import numpy as np

from retention.histories import Histories
from retention.value import BGNBD, ParetoGGG


def base():
    rng = np.random.default_rng(1)
    x = rng.poisson(2.0, 300)
    age = rng.integers(50, 60, 300)
    last = np.where(x > 0, np.ceil(age * rng.random(300) ** 0.5), 0)
    gaps = np.where(x > 0, x * np.log(np.maximum(last, 1) / np.maximum(x, 1)) - rng.random(300), 0.0)
    return Histories.from_arrays(frequency=x, recency_days=last, age_days=age, gap_log_sum=gaps)


def test_answers_do_not_depend_on_what_was_asked_before():
    model = BGNBD().at(r=0.5, alpha=6.0, a=0.8, b=2.4)
    asked = base()
    for _ in range(2):  # the fit asks for cells alone, a forecast for everybody's own as well
        BGNBD().fit_purchases(asked)
        fresh = attrs.evolve(asked)
        assert np.array_equal(model.p_alive(asked), model.p_alive(fresh))
        assert np.array_equal(model.expected_purchases(asked, 100), model.expected_purchases(fresh, 100))


def test_models_that_read_gaps_and_models_that_do_not_can_ask_in_turn():
    known = base()
    without, with_gaps = BGNBD().cells(known), ParetoGGG().cells(known)
    assert len(without.weight) < len(with_gaps.weight)
    assert len(BGNBD().cells(known).weight) == len(without.weight)
    assert np.any(with_gaps.rows.log_gaps)
    assert not np.any(without.rows.log_gaps)


def test_weights_and_rows_that_are_picked_are_merged_anew():
    known = base()
    plain = BGNBD().cells(known)
    assert BGNBD().cells(known, np.full(300, 2.0)).weight.sum() == 2 * plain.weight.sum()
    assert BGNBD().cells(known[np.arange(10)]).weight.sum() == 10


def test_what_is_remembered_goes_with_the_base():
    known = base()
    cells = weakref.ref(BGNBD().cells(known).weight)
    gc.collect()
    assert cells() is not None
    del known
    gc.collect()
    assert cells() is None
