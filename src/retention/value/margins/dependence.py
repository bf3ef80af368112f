"""Whether those who come often bring more, or less, on each visit."""

import html
import math
from typing import Any, ClassVar, Literal

import numpy as np
from attrs import frozen

from retention.errors import ConfigError
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, Table, TextColumn, column
from retention.histories import Histories
from retention.value.margins.credibility import Credibility
from retention.value.margins.days import own_days
from retention.value.weights import weights_of

__all__ = ["Dependence", "dependence"]

Verdict = Literal["dependent", "independent enough", "cannot tell"]

_BANDS = 10


@frozen(eq=False, repr=False, kw_only=True)
class Dependence(Table):
    """How margin goes with frequency: ten bands of customers by log-rate, and what they say together.

    - ``slope``: money per unit of log-rate, with its ``standard_error``; ``p_value`` is that of no slope at all;
    - ``effect``: the slope from the log-rate that a tenth of customers stay below to the one that a tenth exceed, as a
      share of the mean margin, with bounds at ``level``;
    - ``correlation``: between log-rates and customers' own true means, freed from the noise of few days;
    - ``likelihood_ratio``: twice the gain of log-likelihood by the slope in a normal model; large is dependent, but
      money is not normal, so the verdict does not rest on it;
    - ``verdict``: "independent enough" if the bounds of the effect lie within ``tolerance`` either way, else
      "dependent" if they exclude 0, else "cannot tell".
    """

    key: ClassVar[str] = "band"

    band: TextColumn = column("customers by log-rate, the rarest first")
    customers: FloatColumn = column("customers in the band", unit="count")
    log_rate: FloatColumn = column("their mean log purchase rate")
    margin_mean: FloatColumn = column("their mean margin per purchase day, credibility-weighted", unit="money")
    margin_error: FloatColumn = column("its standard error", unit="money")

    slope: float
    standard_error: float
    p_value: float
    likelihood_ratio: float
    correlation: float
    effect: float
    effect_low: float
    effect_high: float
    center: tuple[float, float]
    tolerance: float
    level: float
    currency: str | None = None

    @property
    def verdict(self) -> Verdict:
        """Dependent, independent enough, or cannot tell."""
        low, high = self.effect_low, self.effect_high
        if -self.tolerance <= low and high <= self.tolerance:
            return "independent enough"
        return "dependent" if low > 0 or high < 0 else "cannot tell"

    @property
    def sentence(self) -> str:
        """The verdict in words, with the figures that it rests on."""
        if math.isnan(self.effect):
            return "whether margins go with frequency cannot be told: too few customers, or all come equally often"
        heads = {
            "dependent": "margins go with frequency",
            "independent enough": "margins are independent enough of frequency",
            "cannot tell": "whether margins go with frequency cannot be told",
        }
        return (
            f"{heads[self.verdict]}: a purchase day of a frequent buyer brings {self.effect:+.0%} against a rare one's "
            f"({self.effect_low:+.0%} to {self.effect_high:+.0%} at {self.level:.0%})"
        )

    def plot(self, ax: Any = None) -> Any:
        """Mean margin of each band with its 90 % interval, and the line through them."""
        ax = axes(ax)
        ax.errorbar(self.log_rate, self.margin_mean, 1.645 * self.margin_error, fmt="o", color="#4c6a92", capsize=3)
        at, level = self.center
        ends = np.array([self.log_rate.min(), self.log_rate.max()]) if len(self) else np.array([])
        ax.plot(ends, level + self.slope * (ends - at), color="#c4512d", label=self.verdict)
        ax.set_xlabel("log of the purchase rate")
        ax.set_ylabel("mean margin of a purchase day" + (f" ({self.currency})" if self.currency else ""))
        ax.legend(frameon=False)
        return ax

    def __repr__(self) -> str:
        return f"<Dependence: {self.sentence}>"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.sentence)}</p>{super()._repr_html_()}"


def dependence(
    histories: Histories,
    log_rate: FloatColumn | None = None,
    *,
    weight: FloatColumn | None = None,
    first: bool = False,
    tolerance: float = 0.10,
    level: float = 0.95,
) -> Dependence:
    """Test whether the margin of a purchase day goes with how often a customer comes.

    ``log_rate`` is what a purchase model expects of the log of each customer's rate (``fitted.log_rate(histories)``);
    without it, the log of (repeat purchase days + 1/2) per day watched. Customers with a repeat purchase count, with
    ``first`` all, each as much as her days can tell (generalised least squares; weights from the credibility model).
    The standard error is the sandwich with residuals as they are without the customer herself (HC3; MacKinnon and
    White 1985): it does not suppose that money is normal or that all customers scatter alike. Where a few customers
    bring most of the margin it is still too bold: 5 % are then rather 10 %. ``tolerance`` is the effect that does not
    matter, as a share of the mean margin.

    A regression on a posterior mean of the log-rate finds the slope on the log-rate itself, undiluted: what is left of
    the log-rate then has nothing to do with the regressor (Berkson 1950).

    Raises ConfigError for a tolerance or level out of range, ModelError for log-rates that do not fit the base.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> x = rng.integers(1, 30, 500)
        >>> base = Histories.from_arrays(
        ...     frequency=x, recency_days=x * 10.0, age_days=[365] * 500, margin_mean=20 + x + rng.normal(0, 3, 500))
        >>> dependence(base).verdict
        'dependent'
    """
    from scipy.special import stdtr, stdtrit

    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ConfigError(f"tolerance={tolerance!r}", rule="a share of zero or more", remedy="0.10 means 10 %")
    if not 0 < level < 1:
        raise ConfigError(f"level={level!r}", rule="a level lies between 0 and 1", remedy="0.95 means 95 %")
    w = weights_of(weight, len(histories))
    if log_rate is None:
        log_rate = np.log((histories.frequency + 0.5) / np.maximum(histories.age_days, 1.0))
    flat = Credibility(first=first).fit(histories, weight=w)
    sloped = Credibility(first=first, by_rate=True).fit(histories, log_rate, w)
    days = own_days(histories, first=first)
    seen = (days.number > 0) & (w > 0)
    w, y, n, rate = w[seen], days.mean[seen], days.number[seen], np.asarray(log_rate, dtype=np.float64)[seen]
    customers = float(w.sum())
    nothing = sloped.rates is None or customers < 3
    h = w / (sloped.between**2 + sloped.within**2 / n)
    slope = error = p_value = ratio = correlation = effect = low = high = math.nan
    center = (0.0, 0.0)
    if not nothing:
        assert flat.log_likelihood is not None
        assert sloped.log_likelihood is not None
        center = (float(np.average(rate, weights=h)), float(np.average(y, weights=h)))
        d = rate - center[0]
        bottom = float(np.einsum("n,n->", h, d**2))
        slope = float(np.einsum("n,n,n->", h, d, y - center[1])) / bottom
        one = h / w  # the weight of a single customer
        leverage = np.minimum(one / float(h.sum()) + one * d**2 / bottom, 0.99)
        each = one * d * (y - center[1] - slope * d) / (1 - leverage)
        error = math.sqrt(float(np.einsum("n,n->", w, each**2))) / bottom
        p_value = float(2 * stdtr(customers - 2, -abs(slope) / error)) if error else float(slope == 0)
        ratio = max(2 * (sloped.log_likelihood - flat.log_likelihood), 0.0)
        explained = slope * math.sqrt(float(np.average((rate - np.average(rate, weights=w)) ** 2, weights=w)))
        whole = math.hypot(explained, sloped.between)
        correlation = explained / whole if whole else 0.0
        level_of_base = abs(float(np.average(y, weights=h))) or math.sqrt(float(np.average(y**2, weights=w))) or 1.0
        reach = (_quantile(rate, w, 0.9) - _quantile(rate, w, 0.1)) / level_of_base
        wide = float(stdtrit(customers - 2, (1 + level) / 2)) * error
        effect, low, high = slope * reach, (slope - wide) * reach, (slope + wide) * reach
    bands = _bands(np.lexsort([n, y, rate]), w)
    means = [float(np.average(y, weights=h * share)) for share in bands]
    errors = [
        math.sqrt(float(np.einsum("n,n->", w * share, (h / w * (y - mean)) ** 2))) / float(np.sum(h * share))
        for share, mean in zip(bands, means, strict=True)
    ]
    return Dependence(
        band=np.array([f"{i + 1}" for i in range(len(bands))], dtype=np.str_),
        customers=np.array([float(np.sum(w * share)) for share in bands]),
        log_rate=np.array([float(np.average(rate, weights=w * share)) for share in bands]),
        margin_mean=np.array(means),
        margin_error=np.array(errors),
        slope=slope,
        standard_error=error,
        p_value=p_value,
        likelihood_ratio=ratio,
        correlation=correlation,
        effect=effect,
        effect_low=low,
        effect_high=high,
        center=center,
        tolerance=tolerance,
        level=level,
        currency=histories.currency,
        provenance=histories.provenance,
    )


def _quantile(values: FloatColumn, weight: FloatColumn, share: float) -> float:
    """The value that ``share`` of the weight lies at or below."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order]) >= share * float(weight.sum()) * (1 - 1e-12)
    return float(values[order][int(np.argmax(reached))])


def _bands(order: Any, w: FloatColumn) -> list[FloatColumn]:
    """Which share of each row's customers belongs to each band: of customers in that order, whole ones in each band."""
    reached = np.cumsum(w[order])
    many = float(reached[-1]) if len(reached) else 0.0
    count = max(min(_BANDS, int(many)), 1)
    edges = np.round(np.arange(1, count) * many / count) if many >= count else np.array([])
    bands, below = [], np.zeros(len(w))
    for edge in [*edges, np.inf]:
        within = np.empty(len(w))
        within[order] = np.clip(np.minimum(reached, edge) - (reached - w[order]), 0.0, None) / w[order]
        if np.any(within > below):
            bands.append(within - below)
        below = within
    return bands
