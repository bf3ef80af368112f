"""Each customer's rhythm: what the base's gaps say, corrected by her own."""

import math
from typing import Any, ClassVar, NamedTuple, Self

import attrs
import numpy as np
from attrs import frozen

from retention.errors import ConfigError, RetentionError
from retention.frames.table import BoolColumn, FloatColumn, IntColumn
from retention.histories import Histories
from retention.value.asked import checked_interval

__all__ = ["Regularity", "Rhythm", "statistics"]

_MOST_FITTED = 20_000
_FIRST = 10
_FAR = 6.0  # standard deviations of the prior: further away nothing is looked for


class Regularity(NamedTuple):
    """How regular each customer is: the gamma shape whose log gaps vary as hers do; 1 is Poisson, 12 a clock.

    ``value`` is the median of what one can know, ``low`` and ``high`` hold it with the probability asked for;
    ``above`` is the chance that she is more regular than ``Rhythm.CYCLE``, seen in whole days: who comes at random
    every few days has gaps of one day and more, and looks more even than she is.
    """

    value: FloatColumn
    low: FloatColumn
    high: FloatColumn
    above: FloatColumn


@frozen(kw_only=True)
class Rhythm:
    """A population of clocks: log gaps of a customer are normal with her own mean and variance.

    ``m0`` is the base's mean log gap (days), ``kappa0`` and ``nu0`` its weight in gaps against a customer's own
    mean and variance, ``s0_squared`` the variance of log gaps, and ``a``, ``b`` the beta distribution of leaving
    after a purchase; ``typical_gap_days`` is the mean over customers of their mean gap. The kernel's page has the
    equations. A customer with few gaps is judged by the base's clock,
    one with many by her own.

    Now and then a customer skips a turn. With probability ``pause`` the gap that is open is ``stretch`` times as long
    as usual: that counts for P(alive) and for when she comes next, and not for ``silence``, which says how unusual her
    silence is for an ordinary gap of hers. The defaults forecast best on two public shops (``benchmarks/clock.py``).
    """

    CYCLE: ClassVar[float] = 1.5
    """The regularity from which on a purchase can be said to be due: below, waiting tells next to nothing."""

    m0: float
    kappa0: float
    nu0: float
    s0_squared: float
    a: float
    b: float
    typical_gap_days: float
    pause: float = 0.1
    stretch: float = 3.0
    log_likelihood: float | None = attrs.field(default=None, eq=False)

    def __attrs_post_init__(self) -> None:
        if not (0 <= self.pause < 1 and 1 <= self.stretch < 1e6):
            raise ConfigError(
                f"pause={self.pause!r}, stretch={self.stretch!r}",
                rule="a pause has a probability below 1 and makes a gap longer",
                remedy="pause=0.1, stretch=3.0; pause=0 for customers who never skip a turn",
            )
        sizes = (self.kappa0, self.nu0, self.s0_squared, self.a, self.b, self.typical_gap_days)
        if not (np.isfinite(self.m0) and all(0 < size < np.inf for size in sizes)):
            raise ConfigError(
                f"a Rhythm with m0={self.m0!r} and {', '.join(map(repr, sizes))}",
                rule="m0 is finite, the other parameters are positive and finite",
                remedy="Rhythm.fit(base) learns them",
            )

    @classmethod
    def fit(cls, histories: Histories, *, pause: float = 0.1, stretch: float = 3.0) -> Self:
        """Marginal likelihood of all gaps and of all present silences, under weak unit-free priors.

        The priors (normal, on the logs) keep the maximum finite for bases of any size, one customer or none
        included; with a few hundred gaps they no longer matter. At most 20,000 customers are used, evenly spaced
        in the order of the rows. Times are in days. ``pause`` and ``stretch`` are taken as given.

        Raises RetentionError for histories without log gaps, ConfigError for pauses out of range.
        """
        from retention._kernels import logt, logt_total, newton

        step = max(1, -(-len(histories) // _MOST_FITTED))
        sample = histories.take(slice(None, None, step))
        x, log_sum, log_squares, idle = statistics(sample)
        gaps = float(x.sum())
        typical = float(log_sum.sum() / gaps) if gaps else float(np.log(max(np.median(idle), 1.0))) if len(x) else 3.0

        centre = np.array([typical, 0.0, np.log(4.0), np.log(0.5), -2.0, 1.0])
        width = np.array([2.0, 1.5, 1.0, 1.0, 1.5, 1.5])

        def prior_at(place: FloatColumn) -> tuple[logt.Prior, float]:
            """The clocks so many standard deviations of the prior away from its middle, and their rate of leaving."""
            m0, *logs, leaving, size = (centre + width * place).tolist()
            kappa0, nu0, s0_squared, size = np.exp([*logs, size]).tolist()
            leaving = 1.0 / (1.0 + math.exp(-leaving))
            stays = (1.0 - leaving) * size
            return logt.Prior(m0, kappa0, nu0, s0_squared, leaving * size, stays, pause, stretch), leaving

        best = np.zeros(6)
        for every in (_FIRST, 1) if len(x) > _MOST_FITTED // 4 else (1,):  # some of them say where to begin
            total = logt_total.prepared(*(values[::every] for values in (x, log_sum, log_squares, idle)))

            def objective(place: FloatColumn, total: Any = total) -> tuple[float, FloatColumn, FloatColumn]:
                prior, leaving = prior_at(place)
                value, gradient, hessian = total(prior)
                back, bend = _to_logs(prior, leaving, gradient)
                hessian = width * (back @ hessian @ back.T + bend) * width[:, None] - np.eye(6)
                return value - float(place @ place) / 2, width * (back @ gradient) - place, hessian

            best = newton.maximise(objective, best, bound=_FAR).point
        prior, _ = prior_at(best)
        fit = logt.log_likelihood(prior, x, log_sum, log_squares, idle).sum() if len(x) else 0.0
        return cls(
            m0=prior.m0,
            kappa0=prior.kappa0,
            nu0=prior.nu0,
            s0_squared=prior.s0_squared,
            a=prior.a,
            b=prior.b,
            typical_gap_days=float(np.mean(sample.recency_days[x > 0] / x[x > 0])) if gaps else float(np.exp(prior.m0)),
            pause=pause,
            stretch=stretch,
            log_likelihood=float(fit),
        )

    def silence(self, histories: Histories) -> FloatColumn:
        """The chance that one of her gaps lasts as long as her present silence."""
        from retention._kernels import logt

        x, log_sum, log_squares, idle = statistics(histories)
        return logt.survival(logt.posterior(self._prior(), x, log_sum, log_squares), idle)

    def gap_exceeded(self, histories: Histories, probability: FloatColumn | float) -> FloatColumn:
        """The gap in days that her next one exceeds with that probability, if she still comes."""
        from retention._kernels import logt

        share = np.asarray(probability)
        if not np.all((share >= 0) & (share <= 1)):
            raise ConfigError(
                "a probability outside [0, 1]", rule="a gap is exceeded with some probability", remedy="0.5"
            )
        x, log_sum, log_squares, _ = statistics(histories)
        return logt.exceeded(logt.posterior(self._prior(), x, log_sum, log_squares), probability)

    def p_alive(self, histories: Histories) -> FloatColumn:
        """Probability that she still comes."""
        from retention._kernels import logt

        x, log_sum, log_squares, idle = statistics(histories)
        prior = self._prior()
        return logt.p_alive(prior, x, logt.open_survival(prior, logt.posterior(prior, x, log_sum, log_squares), idle))

    def p_leaves(self, histories: Histories) -> FloatColumn:
        """Probability that no purchase follows one of hers: by the times she came back, before any silence speaks."""
        return np.asarray(self.a / (self.a + self.b + histories.frequency.astype(np.float64)))

    def p_purchase(self, histories: Histories, days: FloatColumn | float) -> FloatColumn:
        """Probability that her next purchase comes within so many days: one number, or one a customer.

        Example:
            >>> clock = Rhythm(m0=3.0, kappa0=1.5, nu0=5.0, s0_squared=0.6, a=0.5, b=4.0, typical_gap_days=20.0)
            >>> base = Histories.from_arrays(frequency=[3], recency_days=[60], age_days=[75], gap_log_sum=[8.98],
            ...                              gap_log_squares=[26.9])
            >>> soon, later = clock.p_purchase(base, 7.0), clock.p_purchase(base, 70.0)
            >>> bool(0 < soon[0] < later[0] < clock.p_alive(base)[0] < 1)
            True
        """
        from retention._kernels import logt

        ahead = np.asarray(days, dtype=np.float64)
        if not np.all((ahead >= 0) & np.isfinite(ahead)) or ahead.shape not in ((), (len(histories),)):
            raise ConfigError(
                f"days of shape {ahead.shape}, below zero or not finite, for {len(histories):,} customers",
                rule="a horizon is zero days or more: one number, or one a customer",
                remedy="give days",
            )
        x, log_sum, log_squares, idle = statistics(histories)
        prior = self._prior()
        post = logt.posterior(prior, x, log_sum, log_squares)
        now, then = logt.open_survival(prior, post, idle), logt.open_survival(prior, post, idle + ahead)
        comes = 1.0 - np.divide(then, now, out=np.ones_like(now), where=now > 0)
        return np.asarray(logt.p_alive(prior, x, now) * comes)

    def next_purchase(self, histories: Histories, days: FloatColumn) -> FloatColumn:
        """The density, a day, of the date of her next purchase ``days`` ahead: customers by days.

        It adds up to ``p_alive``: who has left never comes.
        """
        from retention._kernels import logt

        x, log_sum, log_squares, idle = (values[:, None] for values in statistics(histories))
        prior, ahead = self._prior(), np.asarray(days, dtype=np.float64)[None, :]
        post = logt.posterior(prior, x, log_sum, log_squares)
        now = logt.open_survival(prior, post, idle)
        slope = logt.density(prior, post, np.maximum(idle + ahead, 1e-9))
        alive = logt.p_alive(prior, x, now)
        return np.asarray(alive * np.divide(slope, now, out=np.zeros_like(slope), where=now > 0))

    def usual_gap(self, histories: Histories, interval: float = 0.90) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
        """Her usual gap in days, the median of all her gaps, and bounds that hold it with the probability asked for."""
        from retention._kernels import logt

        checked_interval(interval)
        x, log_sum, log_squares, _ = statistics(histories)
        post = logt.posterior(self._prior(), x, log_sum, log_squares)
        # The scale of her next gap holds her own variance once and the doubt about her mean 1 / weight times.
        reach = logt.student_quantile(post.degrees, 0.5 + interval / 2) * post.scale / np.sqrt(post.weight + 1.0)
        low, middle, high = (np.exp(np.minimum(post.location + k * reach, 50.0)) for k in (-1.0, 0.0, 1.0))
        return low, middle, high

    def regularity(self, histories: Histories, interval: float = 0.90) -> Regularity:
        """How regular her gaps are, and how sure one can be: with few gaps it is the base's that speaks.

        Example:
            >>> clock = Rhythm(m0=3.0, kappa0=1.5, nu0=5.0, s0_squared=0.6, a=0.5, b=4.0, typical_gap_days=20.0)
            >>> even, odd = np.log([[20, 21, 19, 20, 22, 18, 20, 20], [2, 60, 5, 31, 1, 44, 9, 8]])
            >>> base = Histories.from_arrays(frequency=[8, 8], recency_days=[160, 160], age_days=[170, 170],
            ...     gap_log_sum=[even.sum(), odd.sum()], gap_log_squares=[(even**2).sum(), (odd**2).sum()])
            >>> k = clock.regularity(base)
            >>> bool(k.value[0] > 3 > 2 > k.value[1]), k.above.round(1).tolist()
            (True, [1.0, 0.0])
        """
        from retention._kernels import logt, wholedays

        checked_interval(interval)
        x, log_sum, log_squares, _ = statistics(histories)
        post = logt.posterior(self._prior(), x, log_sum, log_squares)
        mean_gap = np.divide(histories.recency_days, x, out=np.full(len(x), np.inf), where=x > 0)
        low, value, high = (
            wholedays.shape_of(logt.variance_quantile(post, q), mean_gap)
            for q in (0.5 + interval / 2, 0.5, 0.5 - interval / 2)
        )
        return Regularity(value, low, high, logt.variance_below(post, wholedays.log_variance(self.CYCLE, mean_gap)))

    def _surely_regular(self, h: Histories, rows: IntColumn, sure: float) -> BoolColumn:
        """Whether these customers, who have gaps, are more regular than ``CYCLE`` with that probability."""
        from retention._kernels import logt, wholedays

        x = h.frequency[rows].astype(np.float64)
        post = logt.posterior(self._prior(), x, h.gap_log_sum[rows], h.gap_log_squares[rows])
        bound = wholedays.log_variance(self.CYCLE, h.recency_days[rows] / x)
        return np.asarray(logt.variance_below(post, bound) >= sure)

    def _prior(self) -> "logt.Prior":  # type: ignore[name-defined] # noqa: F821
        from retention._kernels import logt

        return logt.Prior(self.m0, self.kappa0, self.nu0, self.s0_squared, self.a, self.b, self.pause, self.stretch)


def _to_logs(prior: Any, leaving: float, gradient: FloatColumn) -> tuple[FloatColumn, FloatColumn]:
    """From derivatives by the clocks' parameters to those by m0, three logs, the logit of leaving and the log of a + b:
    the matrix of first derivatives, and what the second ones add to a Hessian."""
    _, kappa0, nu0, s0_squared, a, b = prior[:6]
    turn = a * (1.0 - leaving)  # of a by the logit; b loses what a gains
    back = np.diag([1.0, kappa0, nu0, s0_squared, turn, b])
    back[4, 5], back[5, 4] = -turn, a
    bend = np.diag([0.0, *(gradient[1:4] * (kappa0, nu0, s0_squared)), 0.0, gradient[4] * a + gradient[5] * b])
    bend[4, 4] = (gradient[4] - gradient[5]) * turn * (1.0 - 2.0 * leaving)
    bend[4, 5] = bend[5, 4] = (gradient[4] - gradient[5]) * turn
    return back, bend


def statistics(h: Histories) -> tuple[FloatColumn, FloatColumn, FloatColumn, FloatColumn]:
    """Number of gaps, sum of their logs, sum of squares of these, days since the last purchase: one a customer.

    Raises RetentionError where gaps are not known.
    """
    # Squares of log gaps add up to 0 only if every gap is one day, and then recency is their number.
    absent = (h.frequency > 0) & (h.gap_log_squares == 0) & (h.recency_days != h.frequency)
    if absent.any():
        raise RetentionError(
            f"{int(absent.sum()):,} histories with repeat purchases and no log gaps",
            rule="a clock is read from gap_log_sum and gap_log_squares",
            remedy="let rt.summarize make the histories, or pass both columns to from_arrays",
        )
    return h.frequency.astype(np.float64), h.gap_log_sum, h.gap_log_squares, h.idle_days
