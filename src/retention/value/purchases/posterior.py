"""All parameters that the data leave open, weighed: draws of the posterior, and what they say of each customer."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, field, frozen

from retention.errors import ConfigError, ModelError
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, Provenance, Table, TextColumn, column, read_only
from retention.histories import Histories
from retention.value.valuation import Valuation

if TYPE_CHECKING:
    from retention._kernels.purchases import Ahead, Cells, Rows
    from retention.value.purchases.fitted import FittedPurchases
    from retention.value.purchases.model import PurchaseModel

__all__ = ["Posterior", "Prediction", "PredictiveCheck", "sample_posterior"]

_UNTRUSTED = 0.7  # Pareto k-hat above which importance weights are not to be relied on (Vehtari et al. 2024)
_COMPRESS = 20_000  # cells above which the likelihood is put on nodes first
_DEGREES = 7.0
_ROUNDS = 4  # of proposals, each learning from the one before, until the sampler takes over
_BLOCK = 8_192


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
class Posterior:
    """Equally likely draws of a purchase model's parameters, and how far they can be trusted.

    ``draws`` is (S, d) in the order of ``names``, times in the model's time unit. ``method`` is "psis" (a normal
    approximation corrected by Pareto-smoothed importance sampling) or "ensemble" (a sampler, where ``k_hat`` said that
    the correction does not hold); ``ess`` is the effective number of draws, ``r_hat`` is 1 for "psis".
    ``fitted`` is the model at the maximum of the likelihood.
    """

    fitted: "FittedPurchases"
    names: tuple[str, ...]
    draws: FloatColumn = field(converter=read_only)
    method: str
    k_hat: float
    ess: float
    r_hat: float
    seed: int
    compressed: bool

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, name: str) -> FloatColumn:
        return read_only(self.draws[:, self.names.index(name)])

    def summary(self) -> dict[str, dict[str, float]]:
        """By parameter: mean, sd, and the 5, 50 and 95 % quantiles."""
        quantiles = np.quantile(self.draws, [0.05, 0.5, 0.95], axis=0)
        return {
            name: {"mean": float(self.draws[:, j].mean()), "sd": float(self.draws[:, j].std(ddof=1)),
                   "q05": float(quantiles[0, j]), "q50": float(quantiles[1, j]), "q95": float(quantiles[2, j])}
            for j, name in enumerate(self.names)
        }  # fmt: skip

    def __repr__(self) -> str:
        rows = "".join(
            f"\n  {name:>6}  {s['mean']:10.4g} ± {s['sd']:.2g}   [{s['q05']:.4g}, {s['q95']:.4g}]"
            for name, s in self.summary().items()
        )
        trust = f"k-hat {self.k_hat:.2f}" if self.method == "psis" else f"R-hat {self.r_hat:.3f}"
        return (
            f"<Posterior of {self.fitted.name}: {len(self):,} draws, {self.method}, "
            f"{self.ess:,.0f} effective, {trust}>{rows}"
        )

    def points(self, count: int = 64) -> FloatColumn:
        """``count`` of the draws, evenly through them, as log-parameters: enough to average over."""
        pick = np.linspace(0, len(self.draws) - 1, min(count, len(self.draws))).round().astype(np.intp)
        order = np.argsort(self.draws[:, 0], kind="stable")
        return np.asarray(np.log(self.draws[order[pick]]))

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
        chosen = np.exp(self.points(points))
        total = np.zeros((len(histories), most + 1))
        for theta in chosen:
            at = evolve(self.fitted, purchase_params=tuple(theta.tolist()))
            total += at.purchase_probabilities(histories, days, most)
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

        A customer's own mean margin and what a purchase varies around it are drawn with the margin model's moments
        (gamma; normal where losses are among them). Without a margin model the value is 0. Counts have whole-number
        bounds that hold at least the interval's probability.

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
        for start, rows, money in self._in_blocks(histories):
            alive, counts, worth = self._futures(rows, money, horizon_days, delta, chance, draws, (seed, start))
            block = slice(start, start + len(rows.x))
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
        kernel, recipe = self.fitted.recipe.kernel(), self.fitted.recipe
        x, t_x, T, _ = recipe.rows(histories).scaled(recipe.time_unit_days)
        rng = np.random.default_rng(seed)
        seen = _statistics(x, t_x, T)
        made = np.empty((replications, len(seen)))
        for i, theta in enumerate(self._some(replications, rng)):
            rows = kernel.simulate(theta, T, rng)
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
        """Draw two parameters against each other (default: the last two, where ridges live), on log scales."""
        ax = axes(ax)
        first, second = names or self.names[-2:]
        ax.scatter(self[first], self[second], s=6, alpha=0.35, color="#1f5f8b", linewidths=0)
        at = self.fitted.params
        ax.plot([at[first]], [at[second]], marker="+", color="#b5482a", markersize=12, markeredgewidth=2)
        ax.set(xscale="log", yscale="log", xlabel=first, ylabel=second)
        ax.set_title(f"{self.fitted.name}: {self.ess:,.0f} effective draws; + the maximum", fontsize=10)
        return ax

    def _some(self, count: int, rng: np.random.Generator) -> list[list[float]]:
        """That many of the draws: all different while there are enough."""
        rows: list[list[float]] = self.draws[_picked(len(self.draws), count, rng)].tolist()
        return rows

    def _in_blocks(self, histories: Histories) -> Iterator[tuple[int, "Rows", Any]]:
        recipe, margin = self.fitted.recipe, self.fitted.margin
        rows = recipe.rows(histories).scaled(self.fitted.time_unit_days)
        for start in range(0, len(histories), _BLOCK):
            block = slice(start, start + _BLOCK)
            hers = histories[block]
            money = None
            if margin is not None:
                money = (margin.moments(hers, 32, self.fitted.log_rate(hers)), margin.lossless(hers))
            yield start, rows.take(block), money

    def _futures(
        self, rows: "Rows", money: Any, horizon: float, delta: float, chance: bool, draws: int, seed: tuple[int, int]
    ) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
        kernel, unit = self.fitted.recipe.kernel(), self.fitted.time_unit_days
        rng = np.random.default_rng(seed)
        alive, counts, worth = np.empty((3, draws, len(rows.x)))
        spend = _no_money if money is None else _money(*money)
        for i, theta in enumerate(self._some(draws, np.random.default_rng(seed[0]))):
            ahead = kernel.ahead(theta, rows, horizon / unit, delta * unit, rng)
            alive[i] = kernel.p_alive(theta, rows)
            if chance:
                counts[i] = ahead.counts
            else:
                undiscounted = ahead if delta == 0 else kernel.ahead(theta, rows, horizon / unit, 0.0, rng)
                counts[i] = undiscounted.expected
            worth[i] = spend(ahead, chance, rng)
        return alive, counts, worth

    def _provenance(self, histories: Histories, seed: int) -> Provenance:
        return evolve(
            histories.provenance,
            model=self.fitted.name,
            parameters={
                "posterior": self.summary(),
                "method": self.method,
                "k_hat": _finite(self.k_hat),
                "ess": self.ess,
            },
            seed=seed,
        )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _no_money(ahead: "Ahead", chance: bool, rng: np.random.Generator) -> FloatColumn:
    return np.zeros(len(ahead.counts))


def _money(moments: Any, lossless: Any) -> Callable[["Ahead", bool, np.random.Generator], FloatColumn]:
    """Draws of the money that a draw of purchases brings, with the moments that the margin model gives."""
    mean = moments.mean
    between = np.maximum(moments.product - mean**2, 1e-12 * mean**2)
    within = np.maximum(moments.square - moments.product, 0.0)
    gamma = lossless & (mean > 0) & (between > 0)
    shape = np.divide(mean**2, between, out=np.ones(len(mean)), where=gamma)

    def draw(ahead: "Ahead", chance: bool, rng: np.random.Generator) -> FloatColumn:
        normal = mean + np.sqrt(between) * rng.standard_normal(len(mean))
        own = np.where(gamma, rng.gamma(shape) * mean / shape, normal)
        if not chance:
            return np.asarray(ahead.expected * own)
        n = ahead.counts
        # The sum of n purchases around her mean: gamma or normal with n times one purchase's variance.
        spread = np.sqrt(within * np.where(gamma, own**2 / np.where(gamma, moments.product, 1.0), 1.0))
        noise_shape = np.divide(n * own**2, spread**2, out=np.ones(len(n)), where=gamma & (n > 0) & (spread > 0))
        total = np.where(
            gamma & (spread > 0), rng.gamma(noise_shape) * n * own / np.maximum(noise_shape, 1e-300),
            n * own + np.sqrt(n) * spread * rng.standard_normal(len(n)),
        )  # fmt: skip
        factor = np.divide(ahead.discounted, n, out=np.zeros(len(n)), where=n > 0)
        return np.asarray(np.where(n > 0, total * factor, 0.0))

    return draw


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


def sample_posterior(
    model: "PurchaseModel", histories: Histories, *, draws: int = 1000, seed: int = 0, weight: FloatColumn | None = None
) -> Posterior:
    """Draws of a model's parameters given a base, under its weak prior (see ``PurchaseModel.log_prior``).

    A normal approximation at the mode, in log-parameters, with a t(7) proposal, corrected by Pareto-smoothed importance
    sampling. If its k-hat is above 0.7 (few customers, a flat direction) the proposal is fitted to the weighted draws
    and tried again, up to three times; if that does not do, an ensemble sampler takes over. More than
    20,000 distinct customers are put on Chebyshev nodes first, which is checked against the exact likelihood.

    Raises ConfigError for fewer than 100 draws, ModelError for a base without customers.
    """
    from retention._kernels.newton import maximise
    from retention._kernels.psis import smooth

    if draws < 100:
        raise ConfigError(f"draws={draws!r}", rule="a posterior needs 100 draws or more", remedy="1000 is usual")
    if not len(histories):
        raise ModelError(
            f"the posterior of {model.name} from no customers",
            rule="a posterior needs data",
            remedy="fit() gives the prior",
        )
    if model.rate or model.dropout:
        raise ModelError(
            f"the posterior of {model.name} with covariates",
            rule="draws are of the models without covariates",
            remedy="fit it: its intervals average over a normal approximation of coefficients and parameters",
        )
    kernel, clock = model.kernel(), model.clock(histories, weight)
    fitted = model.fit(histories, weight)
    exact = model.cells(histories, weight).scaled(clock)
    center, sd, _ = model.log_prior(clock)
    unit = (clock / model.time_unit_days) ** np.array(kernel.time_power, dtype=np.float64)
    start = np.log(fitted.purchase_params) - np.log(unit)

    def lean(theta: FloatColumn) -> tuple[float, FloatColumn, FloatColumn]:
        value, gradient, hessian = kernel.total(np.exp(theta), exact)
        pull = (theta - center) / sd**2
        return value - float(pull @ (theta - center)) / 2, gradient - pull, hessian - np.diag(sd**-2.0)

    top = maximise(lean, np.clip(start, -14.0, 14.0))
    cells, compressed = _compressed(model, exact, top.point, top.hessian)

    def height(points: FloatColumn) -> FloatColumn:
        # Beyond e^25 no parameter is told from infinity, and its prior is e^-100 of what it was.
        inside = np.clip(points, -25.0, 25.0)
        values = kernel.values(np.exp(inside), cells) - 0.5 * np.sum(((points - center) / sd) ** 2, axis=1)
        return np.where(np.all(np.abs(points) < 25.0, axis=1) & np.isfinite(values), values, -np.inf)

    rng = np.random.default_rng(seed)
    middle, root = top.point, _root(-top.hessian)
    for _ in range(_ROUNDS):
        proposals, log_q = _student(middle, root, draws, rng)
        smoothed = smooth(height(proposals) - log_q)
        method, k_hat, ess, r_hat = "psis", smoothed.k_hat, smoothed.ess, 1.0
        if k_hat <= _UNTRUSTED:
            break
        # A slanted or bent posterior: propose from what the weights have learned of it, a little wider.
        middle = smoothed.weights @ proposals
        away = (proposals - middle) * np.sqrt(smoothed.weights)[:, None]
        root = np.asarray(np.linalg.cholesky(1.3 * away.T @ away + 1e-9 * np.diag(sd**2)), dtype=np.float64)
    if k_hat > _UNTRUSTED:
        from retention._kernels.ensemble import walk

        walkers = 16 * len(center)
        begin = proposals[rng.choice(draws, walkers, p=smoothed.weights)] + 0.1 * rng.standard_normal(
            (walkers, len(center))
        ) @ root.T  # fmt: skip
        walked = walk(height, begin, rng, warm_up=300, steps=max(600, 12 * draws // walkers))
        flat = walked.draws.reshape(-1, len(center))
        points = flat[np.linspace(0, len(flat) - 1, draws).round().astype(np.intp)]
        method, ess, r_hat = "ensemble", min(walked.ess, float(draws)), walked.r_hat
    else:
        # Systematic resampling: each draw as often as its weight says, to within one.
        steps_up = (np.arange(draws) + rng.random()) / draws
        points = proposals[np.searchsorted(np.cumsum(smoothed.weights), steps_up).clip(0, draws - 1)]
    return Posterior(
        fitted=fitted,
        names=kernel.names,
        draws=np.exp(points[rng.permutation(draws)]) * unit,
        method=method,
        k_hat=k_hat,
        ess=ess,
        r_hat=r_hat,
        seed=seed,
        compressed=compressed,
    )


def _student(
    middle: FloatColumn, root: FloatColumn, draws: int, rng: np.random.Generator
) -> tuple[FloatColumn, FloatColumn]:
    """Draws of a multivariate t, and the log of their density up to a constant."""
    steps = rng.standard_normal((draws, len(middle))) * np.sqrt(_DEGREES / rng.chisquare(_DEGREES, draws))[:, None]
    return middle + steps @ root.T, -0.5 * (_DEGREES + len(middle)) * np.log1p(np.sum(steps**2, axis=1) / _DEGREES)


def _root(precision: FloatColumn) -> FloatColumn:
    """A square root of the covariance; no direction wider than the prior could make it."""
    curvature, axes_ = np.linalg.eigh(precision)
    return np.asarray(axes_ / np.sqrt(np.maximum(curvature, 1e-2)))


def _compressed(
    model: "PurchaseModel", exact: "Cells", point: FloatColumn, hessian: FloatColumn
) -> tuple["Cells", bool]:
    """The cells on nodes if there are many, and if the nodes give the same differences of the likelihood."""
    from retention._kernels.nodes import compress

    kernel = model.kernel()
    if len(exact.weight) <= _COMPRESS or kernel.uses_gaps or kernel.discrete:
        return exact, False
    scale = float(np.exp(point[kernel.time_power.index(1)]))
    nodes = compress(exact, scale)
    far = np.exp(point + 2 * _root(-hessian).T)
    both = np.concatenate([np.exp(point)[None], far])
    apart = kernel.values(both, nodes) - kernel.values(both, exact)
    good = bool(np.abs(apart - apart[0]).max() < 0.05)
    return (nodes, True) if good else (exact, False)
