"""Pymc-marketing fits, we answer: the same answers that it would give itself."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from retention.errors import ConfigError, MissingExtraError
from retention.guests import PyMCModel
from retention.guests.pymc_marketing import MODELS
from retention.histories import Histories
from retention.testing import check_value_model, sample_histories

needed = pytest.mark.skipif(
    find_spec("pymc_marketing") is None,
    reason="pymc-marketing is not installed; benchmarks/peers/pymc_laws.py makes an environment that has it",
)
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@needed
@pytest.mark.parametrize("model", MODELS)
def test_a_point_of_its_posterior_keeps_the_laws_of_value_models(model):
    check_value_model(PyMCModel(model=model))


@needed
@pytest.mark.parametrize("model", MODELS)
def test_our_answers_at_its_parameters_are_its_answers(model):
    """P(alive) and expected purchases, customer by customer."""
    import pandas as pd
    from pymc_marketing import clv

    base = sample_histories()
    fitted = PyMCModel(model=model).fit(base)
    data = pd.DataFrame(
        {
            "customer_id": np.arange(len(base)),
            "frequency": base.frequency.astype(float),
            "recency": base.recency_days / 7,
            "T": base.age_days / 7,
        }
    )
    theirs = getattr(clv, MODELS[model][0])()
    theirs.fit(data, method="map", progressbar=False)
    some = base.age_days > 7  # of one who came today for the first time it says NaN or 1, by version
    alive = np.asarray(theirs.expected_probability_alive(data)).reshape(-1)
    assert fitted.p_alive(base)[some] == pytest.approx(alive[some], rel=1e-4, abs=1e-6)
    ahead = np.asarray(theirs.expected_purchases(data, future_t=13)).reshape(-1)
    assert fitted.expected_purchases(base, 91.0)[some] == pytest.approx(ahead[some], rel=1e-3, abs=1e-6)


@needed
def test_draws_widen_the_bounds_of_what_is_expected():
    """With a sampler the doubt about the parameters is in the bounds, with a point it is not."""
    base = sample_histories()
    few = {"chains": 2, "draws": 150, "tune": 150, "cores": 1}
    drawn = PyMCModel(method="mcmc", options=few).fit(base)
    point = PyMCModel().fit(base)
    assert len(set(drawn.doubt)) > 32
    assert len(set(point.doubt)) == 1
    told = {"horizon_days": 365.0, "discount_rate": 0.1, "interval": 0.9}
    wide, narrow = (one.predict(base, **told, chance=False) for one in (drawn, point))
    assert np.median(wide.purchases_high - wide.purchases_low) > np.median(narrow.purchases_high - narrow.purchases_low)


@needed
def test_its_own_gamma_gamma_is_the_same_model():
    base = sample_histories()
    own, theirs = PyMCModel().fit(base), PyMCModel(margin=None).fit(base)
    assert [theirs.params[name] for name in "pqv"] == pytest.approx([own.params[name] for name in "pqv"], rel=0.05)


def test_it_says_what_it_needs(monkeypatch):
    with pytest.raises(ConfigError, match="model='gamma'"):
        PyMCModel(model="gamma")
    with pytest.raises(ConfigError, match="method='guess'"):
        PyMCModel(method="guess")
    with pytest.raises(ConfigError, match="without customers"):
        PyMCModel().fit(Histories.from_arrays(frequency=[], recency_days=[], age_days=[]))
    monkeypatch.setitem(sys.modules, "pymc_marketing", None)
    with pytest.raises(MissingExtraError, match="'pymc'"):
        PyMCModel().fit(sample_histories())
