"""All parameters that the data leave open, weighed: draws of the posterior, and what they say of each customer."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from attrs import evolve, frozen

from retention.errors import ConfigError
from retention.frames.table import FloatColumn, Provenance, Table, TextColumn, column
from retention.histories import Histories
from retention.value.asked import checked_count, checked_days
from retention.value.purchases.covariates import own_params
from retention.value.sampling import ParameterDraws
from retention.value.valuation import Valuation

if TYPE_CHECKING:
    from retention._kernels.purchases import Params, Rows
    from retention.value.purchases.fitted import FittedPurchases

__all__ = ["Posterior", "Prediction", "PredictiveCheck"]

_BLOCK = 8_192
_COMPANY = 64  # customers at least, so that a draw for each of them is not taken for one of a few parameters


@frozen(eq=False, repr=False, kw_only=True)
class Prediction(Table):
    """One row a customer: means over the posterior and an interval of probability ``interval`` each.

    With ``chance`` the bounds hold what will be *seen*; without it what she can be *expected* to do, given all that is
    not known about the parameters and about her own rate and drop-out. P(alive) is of the latter kind always.
    """

    customer_id: TextColumn = column("who")
    p_alive: FloatColumn = column("probability of still being a customer")
    p_alive_low: FloatColumn = column("lower bound of it, from what is not known about the parameters")
    p_alive_high: FloatColumn = column("upper bound of it")
    purchases: FloatColumn = column("expected purchase days within the horizon", unit="count")
    purchases_low: FloatColumn = column("lower bound of the purchase days", unit="count")
    purchases_high: FloatColumn = column("upper bound of the purchase days", unit="count")
    value: FloatColumn = column("expected discounted margin within the horizon", unit="money")
    value_low: FloatColumn = column("lower bound of the discounted margin", unit="money")
    value_high: FloatColumn = column("upper bound of the discounted margin", unit="money")

    horizon_days: float
    discount_rate: float
    interval: float
    chance: bool
    draws: int


@frozen(eq=False, repr=False, kw_only=True)
class PredictiveCheck(Table):
    """One row a statistic: what the base shows, what bases made by the model show, and how extreme the former is.

    ``p_value`` is twice the smaller tail among the replications: below 0.01 the model does not make bases like this.
    """

    statistic: TextColumn = column("of the whole base")
    observed: FloatColumn = column("as it is")
    replicated: FloatColumn = column("mean over replications")
    low: FloatColumn = column("5 % of the replications lie below")
    high: FloatColumn = column("5 % lie above")
    p_value: FloatColumn = column("two-sided, posterior predictive")


@frozen(kw_only=True, eq=False, repr=False)
class Posterior(ParameterDraws):
    """Draws of a purchase model's parameters given a base, and what they say of its customers.

    Times are in the model's time unit; coefficients of attributes are among the parameters, by unit of the attribute,
    as ``params`` tells them. ``fitted`` is the model at the maximum of the likelihood; ``compressed`` says whether the
    likelihood was put on nodes.
    """

    fitted: "FittedPurchases"
    compressed: bool

    def points(self, count: int = 64) -> FloatColumn:
        """``count`` of the draws, evenly through them, as log-parameters and coefficients by standard deviations of
        their attributes: enough to average over."""
        pick = np.linspace(0, len(self.draws) - 1, min(count, len(self.draws))).round().astype(np.intp)
        order = np.argsort(self.draws[:, 0], kind="stable")
        return self._logs(self.draws[order[pick]])

    def model(self, count: int = 64) -> "FittedPurchases":
        """The fitted model whose intervals average over these draws, in place of the normal approximation."""
        return evolve(self.fitted, doubt=self.points(count))

    def value(
        self, histories: Histories, *, horizon_days: float, discount_rate: float, interval: float = 0.90
    ) -> Valuation:
        """The model's ``value`` with intervals from these draws."""
        return self.model().value(histories, horizon_days=horizon_days, discount_rate=discount_rate, interval=interval)

    def purchase_probabilities(self, histories: Histories, days: float, most: int, *, points: int = 64) -> FloatColumn:
        """P(exactly 0, 1 .. ``most`` purchase days in the next ``days``), a row a customer, averaged over draws."""
        most, horizon = checked_count(most, "most"), checked_days(days) / self.fitted.time_unit_days
        chosen = self.points(checked_count(points, "points", 1))
        kernel, recipe = self.fitted.recipe.kernel(), self.fitted.recipe
        total = np.zeros((len(histories), most + 1))
        if self.fitted.design is None:
            cells = recipe.cells(histories).scaled(recipe.time_unit_days)
            for theta in np.exp(chosen):
                total += kernel.pmf(theta, cells.rows, horizon, most)[cells.which]
            return total / len(chosen)
        for start, hers, rows in self._in_blocks(histories):
            matrix = self._matrix(hers)
            for theta in chosen:
                total[start : start + _BLOCK] += kernel.pmf(self._params(theta, matrix), rows, horizon, most)
        return total / len(chosen)

    def predict(
        self,
        histories: Histories,
        *,
        horizon_days: float,
        discount_rate: float = 0.0,
        interval: float = 0.90,
        chance: bool = True,
        draws: int = 400,
        seed: int = 0,
    ) -> Prediction:
        """Simulate each customer's future under draw after draw; memory stays flat however many customers there are.

        What is told of a customer depends on her, the draws and ``seed``, and not on who else is asked about, nor in
        which order: her purchases come from random numbers of her own, keyed by her history, so that those alike have
        the same futures; and the money of all from the same random numbers, each in her own distribution.

        A customer's own mean margin, and what her purchases vary around it, are drawn by the margin model; without one
        the value is 0. Counts have whole-number bounds that hold at least the interval's probability.

        Raises ConfigError for arguments out of range.
        """
        if not (0 < horizon_days < math.inf and 0 < interval < 1 and draws >= 20 and 0 <= discount_rate < math.inf):
            raise ConfigError(
                f"horizon_days={horizon_days!r}, discount_rate={discount_rate!r}, interval={interval!r}, "
                f"draws={draws!r}",
                rule="days are positive and finite, the rate 0 or more, the interval between 0 and 1, draws 20 or more",
                remedy="predict(base, horizon_days=365, discount_rate=0.10, interval=0.90, draws=400)",
            )
        delta = math.log1p(discount_rate) / 365.0
        out = np.empty((9, len(histories)))
        people = self._alike(histories)
        order = np.argsort(people.which, kind="stable")
        thetas = self._some(draws, np.random.default_rng(seed))
        for start in range(0, len(order), _BLOCK):
            block = order[start : start + _BLOCK]
            alive, counts, worth = self._futures(
                histories[block], people, people.which[block], thetas, horizon_days, delta, chance, seed
            )
            out[:, block] = np.concatenate(
                [_three(alive, interval), _three(counts, interval, whole=chance), _three(worth, interval)]
            )
        return Prediction(
            customer_id=histories.customer_id,
            p_alive=out[0], p_alive_low=out[1], p_alive_high=out[2],
            purchases=out[3], purchases_low=out[4], purchases_high=out[5],
            value=out[6], value_low=out[7], value_high=out[8],
            horizon_days=float(horizon_days), discount_rate=float(discount_rate), interval=float(interval),
            chance=chance, draws=draws,
            provenance=self._provenance(histories, seed),
        )  # fmt: skip

    def check(self, histories: Histories, *, replications: int = 200, seed: int = 0) -> PredictiveCheck:
        """Does the model make bases like this one? Replicates the base under draws of the posterior and compares.

        Customers keep their age. Statistics: shares of customers with 0, 1, 2 and 3 or more, 7 or more repeat purchase
        days, the mean and the standard deviation of the count, the mean recency of those who came back, the share of
        those silent for more than half of their age.
        """
        replications = checked_count(replications, "replications", 1)
        kernel, recipe = self.fitted.recipe.kernel(), self.fitted.recipe
        x, t_x, T, _ = recipe.rows(histories).scaled(recipe.time_unit_days)
        rng = np.random.default_rng(seed)
        seen, matrix = _statistics(x, t_x, T), self._matrix(histories)
        made = np.empty((replications, len(seen)))
        for i, theta in enumerate(self._some(replications, rng)):
            rows = kernel.simulate(self._params(theta, matrix), T, rng)
            made[i] = list(_statistics(rows.x, rows.t_x, T).values())
        observed = np.array(list(seen.values()))
        below = (np.sum(made < observed, axis=0) + 0.5 * np.sum(made == observed, axis=0)) / replications
        return PredictiveCheck(
            statistic=np.array(list(seen)),
            observed=observed,
            replicated=made.mean(axis=0),
            low=np.quantile(made, 0.05, axis=0),
            high=np.quantile(made, 0.95, axis=0),
            p_value=np.minimum(1.0, 2 * np.minimum(below, 1 - below)),
            provenance=self._provenance(histories, seed),
        )

    def plot(self, ax: Any = None, *, names: tuple[str, str] | None = None) -> Any:
        """Draw two parameters against each other (default: the model's last two, where ridges live) with the maximum
        of the likelihood, +; log scales, but for coefficients."""
        own = self.fitted.recipe.kernel().names
        first, second = names or own[-2:]
        ax = ParameterDraws.plot(self, ax, names=(first, second))
        at = self.fitted.params
        ax.plot([at[first]], [at[second]], marker="+", color="#b5482a", markersize=12, markeredgewidth=2)
        ax.set_title(f"{ax.get_title()}; + the maximum", fontsize=10)
        return ax

    def _logs(self, draws: FloatColumn) -> FloatColumn:
        """Draws as they are told, as log-parameters and coefficients by standard deviations of their attributes."""
        d = len(self.fitted.purchase_params)
        if self.fitted.design is None:
            return np.asarray(np.log(draws))
        return np.concatenate([np.log(draws[:, :d]), draws[:, d:] * self.fitted.design.scales], axis=1)

    def _matrix(self, histories: Histories) -> FloatColumn | None:
        return None if self.fitted.design is None else self.fitted.design.matrix(histories)

    def _params(self, theta: FloatColumn, matrix: FloatColumn | None) -> "Params":
        """What a kernel takes at (log-parameters, coefficients): numbers, or an array by customer."""
        if matrix is None or self.fitted.design is None:
            return np.exp(theta)
        d = len(self.fitted.purchase_params)
        return own_params(theta[:d], theta[d:], matrix, self.fitted.recipe.moves(self.fitted.design))

    def _some(self, count: int, rng: np.random.Generator) -> FloatColumn:
        """That many of the draws, as ``points``: all different while there are enough."""
        return self._logs(self.draws[_picked(len(self.draws), count, rng)])

    def _in_blocks(self, histories: Histories) -> Iterator[tuple[int, Histories, "Rows"]]:
        """Where a block of customers begins, the block, and what a kernel reads of it."""
        rows = self.fitted.recipe.rows(histories).scaled(self.fitted.time_unit_days)
        for start in range(0, len(histories), _BLOCK):
            block = slice(start, start + _BLOCK)
            yield start, histories[block], rows.take(block)

    def _alike(self, histories: Histories) -> "_Alike":
        """The distinct customers, as a purchase model sees them."""
        rows, matrix = self.fitted.recipe.rows(histories), self._matrix(histories)
        seen = list(rows) if self.fitted.recipe.kernel().uses_gaps else list(rows[:3])
        keys = np.stack([*seen, *([] if matrix is None else matrix.T)], axis=1) + 0.0
        keys, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        scaled = rows.take(first).scaled(self.fitted.time_unit_days)
        return _Alike(keys, scaled, None if matrix is None else matrix[first], which.reshape(-1))

    def _futures(
        self,
        hers: Histories,
        people: "_Alike",
        which: Any,
        thetas: FloatColumn,
        horizon: float,
        delta: float,
        chance: bool,
        seed: int,
    ) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
        kernel, unit, margin = self.fitted.recipe.kernel(), self.fitted.time_unit_days, self.fitted.margin
        first, draws = int(which[0]), len(thetas)
        alive, counts, buys, factor = np.zeros((4, draws, int(which[-1]) + 1 - first))
        for j in range(alive.shape[1]):
            rng = np.random.default_rng([seed, *people.keys[first + j].view(np.uint32).tolist()])
            same = np.full(draws, first + j)
            rows = people.rows.take(same)
            params = self._params(thetas.T, None if people.matrix is None else people.matrix[same])
            ahead = kernel.ahead(params, rows, horizon / unit, delta * unit, rng)
            alive[:, j] = kernel.p_alive(params, rows)
            if chance:
                n = counts[:, j] = buys[:, j] = ahead.counts
                factor[:, j] = np.divide(ahead.discounted, n, out=np.zeros(draws), where=n > 0)
                continue
            undiscounted = ahead if delta == 0 else kernel.ahead(params, rows, horizon / unit, 0.0, rng)
            counts[:, j], buys[:, j] = undiscounted.expected, ahead.expected
        at = which - first
        worth = np.zeros((draws, len(at)))
        if margin is not None:
            log_rate = self.fitted.margin_log_rate(hers, horizon, discount_rate=math.expm1(365.0 * delta))
            many = np.resize(np.arange(len(at)), max(len(at), _COMPANY))
            told, log_rate = (hers, log_rate) if len(many) == len(at) else (hers[many], log_rate[many])
            ranks, further = _ranks(draws, (seed, 1)), _ranks(draws, (seed, 2))
            for i in range(draws):
                common = _Common(len(many), (seed, i, 1), ranks[i])
                own = margin.draw_means(told, 1, common, log_rate)[0]
                bought = buys[i, at][many]
                if chance:
                    common = _Common(len(many), (seed, i, 2), further[i])
                    worth[i] = margin.draw_sums(own, bought, common)[: len(at)] * factor[i, at]
                else:
                    worth[i] = own[: len(at)] * buys[i, at]
        return alive[:, at], counts[:, at], worth

    def _provenance(self, histories: Histories, seed: int) -> Provenance:
        return evolve(histories.provenance, model=self.fitted.name, parameters=self.evidence(), seed=seed)


class _Alike(NamedTuple):
    """Distinct customers: all that tells them apart, as one row of numbers; what a kernel reads of them; the rows of
    their design matrix; and each customer's place among them."""

    keys: FloatColumn
    rows: "Rows"
    matrix: FloatColumn | None
    which: Any


class _Common(np.random.Generator):
    """Random numbers in which every customer draws the same rank, each from her own distribution: what one gets does
    not depend on the others. Draws that are not one for each of the ``customers`` are as they ever are.

    The ranks of the first such draw are given, the others are random.
    """

    def __init__(self, customers: int, seed: tuple[int, ...], rank: float) -> None:
        super().__init__(np.random.PCG64(seed))
        self._customers, self._rank = customers, rank

    def random(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not self._of_all(size):
            return super().random(size, *args, **kwargs)
        return np.full(self._customers, self._next())

    def standard_normal(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        from scipy.special import ndtri

        if not self._of_all(size):
            return super().standard_normal(size, *args, **kwargs)
        return np.full(self._customers, ndtri(self._next()))

    def standard_gamma(self, shape: Any, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        from scipy.special import gammaincinv

        if size is not None or not self._of_all(np.shape(shape)):
            return super().standard_gamma(shape, size, *args, **kwargs)
        distinct, which = np.unique(shape, return_inverse=True)
        found = np.where(distinct > 0, gammaincinv(np.maximum(distinct, 1e-300), self._next()), 0.0)
        return found[which.reshape(-1)]

    def _of_all(self, size: Any) -> bool:
        return bool(size in (self._customers, (self._customers,)))

    def _next(self) -> float:
        rank, self._rank = self._rank, math.nan
        return max(super().random(), 1e-16) if math.isnan(rank) else rank


def _ranks(draws: int, seed: tuple[int, ...]) -> FloatColumn:
    """One rank a draw, one in each of as many equal parts: all share them, so no mean must be off by chance."""
    rng = np.random.default_rng(seed)
    return np.asarray((rng.permutation(draws) + np.clip(rng.random(draws), 1e-9, 1 - 1e-9)) / draws)


def _three(draws: FloatColumn, interval: float, whole: bool = False) -> FloatColumn:
    """Mean, lower and upper bound over the first axis."""
    levels = [(1 - interval) / 2, (1 + interval) / 2]
    low = np.quantile(draws, levels[0], axis=0, method="lower" if whole else "linear")
    high = np.quantile(draws, levels[1], axis=0, method="higher" if whole else "linear")
    return np.stack([draws.mean(axis=0), low, high])


def _statistics(x: FloatColumn, t_x: FloatColumn, T: FloatColumn) -> dict[str, float]:
    back = x > 0
    n = max(len(x), 1)
    return {
        "share with no repeat": float(np.sum(x == 0)) / n,
        "share with 1": float(np.sum(x == 1)) / n,
        "share with 2": float(np.sum(x == 2)) / n,
        "share with 3 or more": float(np.sum(x >= 3)) / n,
        "share with 7 or more": float(np.sum(x >= 7)) / n,
        "mean repeats": float(np.sum(x)) / n,
        "sd of repeats": float(np.std(x)) if len(x) else 0.0,
        "mean recency of repeaters": float(np.mean(t_x[back])) if np.any(back) else 0.0,
        "share silent for half their age": float(np.sum(back & (T - t_x > T / 2))) / n,
    }


def _picked(size: int, count: int, rng: np.random.Generator) -> Any:
    if count <= size:
        return rng.permutation(size)[:count]
    return rng.integers(0, size, count)
