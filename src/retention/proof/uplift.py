"""How well a score ranks customers by what a contact changes."""

import html
from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, read_only
from retention.proof._trial import in_range, known_arms, numbers, trial_of
from retention.proof.learner import Learner, plugged

__all__ = ["UpliftCurve", "uplift_curve", "uplift_scores"]


@frozen(eq=False, repr=False, kw_only=True)
class UpliftCurve:
    """What contacting only the best-ranked would have brought, by the share of customers contacted.

    ``gain`` is the incremental outcome per treated customer at each ``share``; ``qini`` the area between this curve and
    the straight line of random choice, ``error`` its standard error, ``[low, high]`` its interval at ``level``.
    """

    share: FloatColumn = field(converter=read_only)
    gain: FloatColumn = field(converter=read_only)
    qini: float
    error: float
    low: float
    high: float
    level: float
    n: int

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        word = "ranks better than chance" if self.low > 0 else "no better than chance, as far as can be told"
        return (
            f"{word}: Qini {self.qini:.4f} ({self.level:.0%} interval {self.low:.4f} to {self.high:.4f}; "
            f"{self.n:,} customers)"
        )

    def plot(self, ax: Any = None) -> Any:
        """The curve and the straight line of random choice."""
        ax = axes(ax)
        ax.plot(self.share, self.gain, color="C0", label="by score")
        ax.plot([0, 1], [0, self.gain[-1]], color="0.6", label="at random")
        ax.set_xlabel("share of customers contacted")
        ax.set_ylabel("incremental outcome per treated customer")
        ax.legend(frameon=False)
        return ax

    def __repr__(self) -> str:
        return f"<UpliftCurve {self.sentence}>"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence)}</b></p>"


def uplift_curve(score: Any, treated: Any, outcome: Any, *, interval: float = 0.90) -> UpliftCurve:
    """How well a score ranks customers by what a contact changes: Qini curve and area, with its error.

    ``score``, one a customer, says whom to contact first; ``treated`` who was, by lot and with one chance for all;
    ``outcome`` what came of it, of any kind. Several scores, shape (repeats, customers), are each measured and
    averaged. The score must not have been made from the outcomes that it ranks: :func:`uplift_scores` makes one that
    was not.

    Raises:
        ConfigError: lengths differ, values that are no numbers, nobody treated or everybody.

    Source: Radcliffe, Direct Marketing Analytics Journal 1 (2007) 14-21: Q, per treated customer.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> lift, treated = rng.random(10_000), rng.random(10_000) < 0.5
        >>> uplift_curve(lift, treated, rng.random(10_000) < 0.1 + 0.2 * treated * lift)
        <UpliftCurve ranks better than chance: Qini 0.0141 (90% interval 0.0108 to 0.0173; 10,000 customers)>
    """
    from scipy.special import ndtri

    from retention._kernels import qini

    in_range(interval=interval)
    contacted = np.asarray(treated)
    if contacted.ndim != 1 or not np.isin(contacted, (0, 1)).all():
        raise ConfigError(
            "treated holds other values than true and false",
            rule="a Qini curve compares the treated with the others",
            remedy="pass arm == 'the mail', and leave out the customers of further arms",
        )
    contacted = contacted.astype(bool)
    n = len(contacted)
    y = numbers("outcome", outcome, n)
    ranks = np.atleast_2d(np.asarray(score, dtype=np.float64))
    each = [numbers("score", row, n) for row in ranks]
    if not 0 < int(contacted.sum()) < n:
        raise ConfigError(
            f"{int(contacted.sum()):,} of {n:,} treated",
            rule="a Qini curve compares the treated with the others",
            remedy="pass customers of both arms",
        )
    curves = [qini.qini(row, contacted, y) for row in each]
    area, error = (float(np.mean([getattr(c, name) for c in curves])) for name in ("area", "error"))
    reach = error * float(ndtri((1 + interval) / 2))
    if len(curves) == 1:
        share, gain = curves[0].share, curves[0].gain
    else:
        share = np.linspace(0.0, 1.0, 201)
        gain = np.mean([np.interp(share, each.share, each.gain) for each in curves], axis=0)
    return UpliftCurve(
        share=share, gain=gain, qini=area, error=error, low=area - reach, high=area + reach, level=interval, n=n
    )


def uplift_scores(
    features: Any,
    arm: Any,
    outcome: Any,
    *,
    treatment: str,
    control: str,
    propensities: Any = None,
    learner: Learner | Callable[[], Learner] | None = None,
    repeats: int = 10,
    folds: int = 2,
    seed: int = 0,
) -> FloatColumn:
    """What ``treatment`` changes against ``control`` for each customer, foretold without her: (repeats, customers).

    Arguments as in :func:`personalise`. Nothing is shrunk to a common value: a ranking needs none.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> x, arm = rng.random(4000), rng.choice(["mail", "nothing"], 4000)
        >>> outcome = rng.normal((arm == "mail") * x)
        >>> lift = uplift_scores({"x": x}, arm, outcome, treatment="mail", control="nothing", repeats=2)
        >>> lift.shape, bool(uplift_curve(lift, arm == "mail", outcome).low > 0)
        ((2, 4000), True)
    """
    from retention._kernels import uplift

    in_range(repeats=repeats, folds=folds)
    _, trial, arms, _ = trial_of(features, arm, outcome, propensities=propensities, control=control)
    known_arms("treatment", [treatment], arms)
    fit = None if learner is None else plugged(learner)
    which = arms.index(treatment), arms.index(control)
    return uplift.cross_fit_effects(trial, *which, fit, repeats=repeats, folds=folds, seed=seed)
