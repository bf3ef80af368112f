"""A base does not change, however it came about and whoever holds it."""

import copy
import pickle

import numpy as np
import pytest

from retention.histories import Histories
from retention.value import BGNBD


def base(ages):
    return Histories.from_arrays(frequency=[2, 1, 0], recency_days=[100, 50, 0], age_days=ages)


def test_a_base_made_of_a_frame_does_not_change_with_the_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [300.0, 300.0, 300.0]})
    model = BGNBD().at(r=0.6, alpha=6.0, a=0.8, b=2.5)
    made = base(frame["age"].to_numpy()).with_attributes({"years": frame["age"].to_numpy()})
    before = model.p_alive(made)
    frame.loc[:, "age"] = 100.0
    assert made.age_days.tolist() == made.attributes["years"].tolist() == [300.0] * 3
    assert np.array_equal(model.p_alive(made[:]), before)


def test_an_attribute_can_be_neither_written_nor_exchanged():
    given = np.array([1.0, 2.0, 3.0])
    made = base([300.0] * 3).with_attributes({"z": given})
    given[:] = 0.0
    with pytest.raises(TypeError):
        made.attributes["z"] = given
    with pytest.raises(ValueError, match="read-only"):
        made.attributes["z"][0] = 0.0
    assert made[1:].attributes["z"].tolist() == [2.0, 3.0]
    assert given.flags.writeable


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_a_copy_of_a_base_is_the_same_base_and_as_frozen(again):
    made = base([300.0] * 3).with_attributes({"channel": ["web", "web", "shop"]})
    copied = again(made)
    assert copied.equals(made)
    assert copied.attributes["channel"].tolist() == ["web", "web", "shop"]
    for values in (copied.age_days, copied.attributes["channel"]):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = values[1]
    with pytest.raises(TypeError):
        copied.attributes["channel"] = None
