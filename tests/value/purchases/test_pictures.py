"""Lines of equal value: what lies on one is worth the same."""

import numpy as np
import pytest

from retention.errors import ConfigError, ModelError
from retention.histories import Histories
from retention.value.purchases.bgbb import BGBB
from retention.value.purchases.bgnbd import BGNBD
from retention.value.purchases.paretonbd import ParetoNBD
from retention.value.purchases.pictures import iso_value

CDNOW = {"r": 0.5630, "alpha": 12.5591, "s": 0.4081, "beta": 10.5146}
SPEND = {"p": 4.6854, "q": 4.1882, "v": 24.3689}


def lines(ax):
    """(level, recency, frequency) of each point at which a drawn line crosses a whole number of purchases."""
    (drawn,) = [each for each in ax.collections if hasattr(each, "levels")]
    for level, path in zip(drawn.levels, drawn.get_paths(), strict=True):
        for day, count in path.vertices:
            if abs(count - round(count)) < 1e-9:
                yield level, day, round(count)


@pytest.mark.parametrize("margin_mean", [None, 20.0])
@pytest.mark.parametrize("horizon", [np.inf, 365.0])
def test_everyone_on_a_line_is_worth_what_it_says(margin_mean, horizon):
    """Between the grid's days a line is straight: half a hundredth of the level, against the model there."""
    model = ParetoNBD().at(**CDNOW, **SPEND)
    ax = iso_value(model, age_days=545, discount_rate=0.15, horizon_days=horizon, margin_mean=margin_mean)
    level, day, count = (np.array(each) for each in zip(*lines(ax), strict=True))
    assert len(level) > 50
    assert len(set(level)) >= 5
    base = Histories.from_arrays(
        frequency=count,
        recency_days=day,
        age_days=np.full(len(day), 545.0),
        margin_mean=np.full(len(day), margin_mean or 0.0),
    )
    if margin_mean is None:
        worth = model.expected_purchases(base, horizon, discount_rate=0.15)
    else:
        worth = model.value(base, horizon_days=horizon, discount_rate=0.15).value
    assert worth == pytest.approx(level, rel=5e-3)


def test_the_lines_bend_back():
    """For one line of discounted purchases there is a recency at which few *and* many repeat purchases are worth it."""
    ax = iso_value(ParetoNBD().at(**CDNOW), age_days=545, discount_rate=0.15, levels=[2.0])
    days = {count: day for _, day, count in lines(ax)}
    assert days[2] < days[1]
    assert days[2] < days[12]


def test_the_axes_given_are_the_axes_drawn_in_and_levels_are_round():
    first = iso_value(BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426), age_days=273, discount_rate=0.10, most=10)
    (drawn,) = [each for each in first.collections if hasattr(each, "levels")]
    mantissas = np.array(drawn.levels) / 10.0 ** np.floor(np.log10(drawn.levels) + 1e-9)
    assert np.all(np.isclose(mantissas[:, None], [1, 2, 5]).any(axis=1))
    assert iso_value(ParetoNBD().at(**CDNOW), age_days=273, discount_rate=0.10, ax=first) is first


@pytest.mark.parametrize("bad", [{"age_days": 0.0}, {"age_days": np.inf}, {"most": 1}, {"margin_mean": np.nan}])
def test_what_cannot_be_drawn_is_one_clear_error(bad):
    with pytest.raises(ConfigError):
        iso_value(ParetoNBD().at(**CDNOW, **SPEND), **{"age_days": 545.0, "discount_rate": 0.15} | bad)


def test_models_say_what_they_lack():
    with pytest.raises(ModelError, match="without margins"):
        iso_value(ParetoNBD().at(**CDNOW), age_days=545, discount_rate=0.15, margin_mean=20.0)
    with pytest.raises(ConfigError, match="discount"):
        iso_value(ParetoNBD().at(**CDNOW), age_days=545, discount_rate=0.0)
    with pytest.raises(ModelError, match="occasions"):
        iso_value(BGBB().at(alpha=1.2, beta=0.75, gamma=0.66, delta=2.8), age_days=2190, discount_rate=0.15)
