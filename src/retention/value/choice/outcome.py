"""What a backtest found: a row a model, what it is made of, and its picture."""

import datetime as dt
import html
import math
from collections.abc import Mapping
from itertools import cycle, pairwise
from typing import Any

import numpy as np
from attrs import frozen

from retention.errors import ConfigError, nearest
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, IntColumn, Provenance, Table, TextColumn, column
from retention.value.choice.scoring import FEW_NATS, Difference, Forecast, difference, misses, verdict

__all__ = ["Backtest", "Calibration", "Held", "tabled"]

_GROUPS = (0, 1, 2, 3, 4, 5, 6, 7, 10, 20, 50)  # where groups by frequency begin


@frozen(eq=False, repr=False, kw_only=True)
class Held(Table):
    """The judged customers, one row for each of them and cut: what was known of her, and what she then did."""

    customer_id: TextColumn = column("who")
    cut: DayColumn = column("last day that the forecast knew; NaT without a log")
    frequency: IntColumn = column("repeat purchase days up to the cut", unit="count")
    purchases: IntColumn = column("purchase days after the cut, within the window", unit="count")
    margin: FloatColumn = column("margin of the window, net of returns; NaN if not given", unit="money")


@frozen(eq=False, repr=False, kw_only=True)
class Calibration(Table):
    """Mean forecast and fact by model and group of customers; ``error`` is the standard error of the fact."""

    key = "model"

    model: TextColumn = column("which model")
    group: TextColumn = column("which customers")
    customers: IntColumn = column("how many", unit="count")
    expected: FloatColumn = column("mean forecast of purchase days", unit="count")
    actual: FloatColumn = column("mean purchase days that came", unit="count")
    error: FloatColumn = column("standard error of that mean", unit="count")


@frozen(eq=False, repr=False, kw_only=True)
class Backtest(Table):
    """One row a model, the best log score first: how its forecasts compare with what happened.

    ``customers`` and ``forecasts`` hold what the figures are made of. ``seconds``, the time to fit, is the one column
    that differs between two runs. Errors treat customers as independent, each with all of her rows; a season that moves
    all of them is not in it, and no single window can show it: use several cuts.
    """

    key = "model"

    model: TextColumn = column("which model")
    baseline: BoolColumn = column("no model: what one has to beat")
    expected: FloatColumn = column("purchase days forecast, in total", unit="count")
    actual: FloatColumn = column("purchase days that came", unit="count")
    bias: FloatColumn = column("expected / actual - 1")
    mae: FloatColumn = column("mean absolute error of a customer", unit="count")
    rmse: FloatColumn = column("root mean squared error of a customer", unit="count")
    log_score: FloatColumn = column("mean log P(what she did); NaN without probabilities", unit="nats")
    behind: FloatColumn = column("total log score behind the best", unit="nats")
    behind_error: FloatColumn = column("standard error of that", unit="nats")
    floored: IntColumn = column("customers whose probability was below the floor", unit="count")
    margin_expected: FloatColumn = column("margin forecast, in total; NaN if not known", unit="money")
    margin_actual: FloatColumn = column("margin that came", unit="money")
    margin_bias: FloatColumn = column("margin expected / actual - 1")
    margin_mae: FloatColumn = column("mean absolute error of a customer's margin", unit="money")
    seconds: FloatColumn = column("to fit", unit="seconds")

    customers: Held
    forecasts: Mapping[str, Forecast]
    cuts: tuple[dt.date, ...] = ()
    horizon_days: float
    newcomers: int = 0
    newcomer_purchases: int = 0
    newcomer_margin: float = 0.0

    @property
    def best(self) -> str:
        """The model with the highest log score, baselines included; "" if none gives probabilities."""
        return str(self.model[0]) if len(self) and np.isfinite(self.log_score[0]) else ""

    @property
    def alike(self) -> tuple[str, ...]:
        """The models that cannot be told from the best, without it."""
        best = self.best
        scored = (str(name) for name in self.model if self.forecasts[str(name)].log_score is not None)
        return tuple(name for name in scored if name != best and not self.compare(best, name).told)

    @property
    def why(self) -> str:
        """In words: who is best, by how much, and from whom the best cannot be told."""
        scored = [str(name) for name in self.model if self.forecasts[str(name)].log_score is not None]
        if not scored:
            return "no model gives probabilities, so none has a log score: compare mae and bias"
        return verdict(scored[0], [(name, self.compare(scored[0], name)) for name in scored[1:]], "hold-back log score")

    def compare(self, first: str, second: str, *, by: str = "log_score") -> Difference:
        """How much better ``first`` is than ``second``: paired customer by customer, summed, with its standard error.

        ``by`` is "log_score" (nats), "purchases" or "margin" (absolute errors saved). Rows of one customer at several
        cuts are one cluster.
        """
        if by not in ("log_score", "purchases", "margin"):
            raise ConfigError(
                f"by={by!r}", rule="models are compared by log_score, purchases or margin", remedy="mend it"
            )
        if by == "log_score":
            one, other = (self._of(name).log_score for name in (first, second))
        else:
            one, other = (self._misses(name, by) for name in (first, second))
        if one is None or other is None:
            raise ConfigError(
                f"comparing {first} and {second} by {by}",
                rule="both must have it: probabilities for log_score, a margin for margin",
                remedy="compare by purchases",
            )
        cluster = self.customers.customer_id if len(self.cuts) > 1 else None
        return difference(one, other, cluster, few=FEW_NATS if by == "log_score" else 0.0)

    def calibration(self, *, by: str = "frequency") -> Calibration:
        """Mean forecast against mean fact: of customers by repeat purchases before the cut (0, 1, .. 6, 7-9, 10-19,
        20-49, 50+), or, with ``by="forecast"``, of ten equal groups by each model's own forecast."""
        if by not in ("frequency", "forecast"):
            raise ConfigError(f"by={by!r}", rule="groups are by frequency or by forecast", remedy="choose one of them")
        rows: list[tuple[str, str, int, float, float, float]] = []
        for name in map(str, self.model):
            forecast = self.forecasts[name].purchases
            if by == "frequency":
                group = np.searchsorted(_GROUPS, self.customers.frequency, side="right") - 1
                spans = pairwise(_GROUPS)
                labels = [*(str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in spans), f"{_GROUPS[-1]}+"]
            else:
                rank = np.argsort(np.argsort(forecast, kind="stable"), kind="stable")
                group, labels = rank * 10 // max(len(rank), 1), [f"tenth {i}" for i in range(1, 11)]
            for i, label in enumerate(labels):
                mine = group == i
                if np.any(mine):
                    fact = self.customers.purchases[mine]
                    error = float(fact.std(ddof=1)) / math.sqrt(len(fact)) if len(fact) > 1 else math.nan
                    rows.append((name, label, len(fact), float(forecast[mine].mean()), float(fact.mean()), error))
        columns = [np.array([row[i] for row in rows]) for i in range(6)]
        return Calibration(
            model=columns[0].astype(np.str_), group=columns[1].astype(np.str_), customers=columns[2].astype(np.int64),
            expected=columns[3].astype(np.float64), actual=columns[4].astype(np.float64),
            error=columns[5].astype(np.float64), provenance=self.provenance,
        )  # fmt: skip

    def plot(self, ax: Any = None) -> Any:
        """Draw mean forecast and mean fact by repeat purchases before the cut, a line a model, baselines dashed."""
        ax = axes(ax)
        table = self.calibration()
        first = table[table.model == self.model[0]]
        at = np.arange(len(first))
        colours = cycle(["#1f5f8b", "#c4572b", "#4a8c4a", "#8a5aa8", "#b8860b", "#3f8f8f", "#a03060"])
        markers = cycle("sv^x")
        for name in map(str, self.model):
            mine, baseline = table[table.model == name], self.forecasts[name].baseline
            style = (
                {"color": "0.6", "linestyle": "--", "marker": next(markers), "markersize": 3}
                if baseline
                else {"color": next(colours), "marker": "o", "markersize": 4}
            )
            ax.plot(at, mine.expected, linewidth=1.4, label=name, **style)
        ax.errorbar(at, first.actual, 2 * first.error, color="black", fmt="o-", capsize=3, label="what came (± 2 se)")
        ax.set_xticks(at, [f"{group}\n({n:,})" for group, n in zip(first.group, first.customers, strict=True)])
        ax.set(
            xlabel="repeat purchases before the cut (customers)", ylabel="mean purchase days after it", ylim=(0, None)
        )
        ax.set_title(f"{len(self.customers):,} forecasts of {self.horizon_days:,.0f} days", fontsize=10)
        ax.legend(frameon=False, fontsize=8)
        return ax

    def __repr__(self) -> str:
        when = f" after {', '.join(map(str, self.cuts))}" if self.cuts else ""
        return f"<Backtest: {len(self.customers):,} forecasts of {self.horizon_days:,.0f} days{when}; {self.why}>"

    def _repr_html_(self) -> str:
        return f"{Table._repr_html_(self)}<p>{html.escape(self.why)}</p>"

    def _of(self, name: str) -> Forecast:
        if name not in self.forecasts:
            raise ConfigError(
                f"no model named {name!r} in this backtest",
                rule="models are asked for by name",
                remedy=nearest(name, tuple(self.forecasts)),
            )
        return self.forecasts[name]

    def _misses(self, name: str, by: str) -> FloatColumn | None:
        forecast, fact = self._of(name), self.customers
        if by == "purchases":
            return -np.abs(forecast.purchases - fact.purchases)
        if forecast.margin is None or np.any(np.isnan(fact.margin)):
            return None
        return -np.abs(forecast.margin - fact.margin)


def tabled(
    facts: list[Held],
    found: Mapping[str, list[Forecast]],
    *,
    horizon_days: float,
    cuts: tuple[dt.date, ...],
    late: FloatColumn,
    provenance: Provenance,
) -> Backtest:
    """What was forecast and what came at every cut, as one table: the best log score first."""
    parts = [fact.columns() for fact in facts]
    held = Held(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, provenance=provenance)
    forecasts = {name: _joined(each) for name, each in found.items() if len(each) == len(facts)}
    dropped = [name for name in found if name not in forecasts]
    if dropped:
        provenance = provenance.with_notes(f"left out: {', '.join(dropped)}, not at hand at every cut")

    def order(name: str) -> tuple[float, float]:
        score = forecasts[name].log_score
        return (
            math.inf if score is None else -float(score.sum()),
            misses(forecasts[name].purchases, held.purchases)[0],
        )

    names = sorted(forecasts, key=order)
    top = forecasts[names[0]].log_score if names else None
    rows: dict[str, list[Any]] = {}
    for name in names:
        one = forecasts[name]
        mae, rmse = misses(one.purchases, held.purchases)
        total, actual = float(one.purchases.sum()), float(held.purchases.sum())
        gap = None
        if one.log_score is not None and top is not None:
            gap = difference(top, one.log_score, held.customer_id if len(facts) > 1 else None)
        money = (math.nan,) * 3
        if one.margin is not None:
            brought = float(held.margin.sum())
            money = (float(one.margin.sum()), float(one.margin.sum()) / brought - 1 if brought else math.nan,
                     misses(one.margin, held.margin)[0])  # fmt: skip
        row = {
            "model": name, "baseline": one.baseline, "expected": total, "actual": actual,
            "bias": total / actual - 1 if actual else math.nan, "mae": mae, "rmse": rmse,
            "log_score": math.nan if one.log_score is None else float(one.log_score.mean()),
            "behind": math.nan if gap is None else gap.better_by,
            "behind_error": math.nan if gap is None else gap.error, "floored": one.floored,
            "margin_expected": money[0], "margin_actual": float(held.margin.sum()), "margin_bias": money[1],
            "margin_mae": money[2], "seconds": one.seconds,
        }  # fmt: skip
        for key, value in row.items():
            rows.setdefault(key, []).append(value)
    if not names:
        raise ConfigError("a backtest of no models", rule="something must be judged", remedy="pass models=[BGNBD()]")
    return Backtest(
        **{key: np.array(values) for key, values in rows.items()},
        customers=held,
        forecasts=forecasts,
        cuts=cuts,
        horizon_days=horizon_days,
        newcomers=int(late[0]),
        newcomer_purchases=int(late[1]),
        newcomer_margin=float(late[2]),
        provenance=provenance,
    )


def _joined(parts: list[Forecast]) -> Forecast:
    scores = [part.log_score for part in parts if part.log_score is not None]
    margins = [part.margin for part in parts if part.margin is not None]
    return Forecast(
        purchases=np.concatenate([part.purchases for part in parts]),
        margin=np.concatenate(margins) if len(margins) == len(parts) else None,
        log_score=np.concatenate(scores) if len(scores) == len(parts) else None,
        floored=sum(part.floored for part in parts),
        seconds=sum(part.seconds for part in parts),
        baseline=parts[0].baseline,
    )
