"""``model="auto"``: the purchase model that predicts best, or the plainest of those that cannot be told apart."""

import datetime as dt
import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from attrs import evolve, field, frozen

from retention.errors import ConfigError, ModelError
from retention.frames.table import FloatColumn, IntColumn, Table, TextColumn, column
from retention.histories import Histories
from retention.records import TransactionLog
from retention.value.choice.backtest import backtest
from retention.value.choice.scoring import Difference, difference, verdict
from retention.value.estimate import IDENTIFIED
from retention.value.margins.gammagamma import GammaGamma
from retention.value.margins.protocol import MarginModel
from retention.value.purchases.bgnbd import BGNBD, MBGNBD
from retention.value.purchases.fitted import FittedPurchases
from retention.value.purchases.model import PurchaseModel
from retention.value.purchases.nbd import NBD
from retention.value.purchases.paretonbd import ParetoNBD

if TYPE_CHECKING:
    from retention._kernels.purchases import Cells, Kernel

__all__ = ["AutoModel", "Choice", "leave_one_out"]

PREFERRED = "mbg-nbd"
"""Chosen among models that cannot be told apart: as cheap as BG/NBD, and passers-by are not alive for ever."""

LEAN = 2.0
"""A model with fewer parameters is chosen instead if it is at most so many nats behind the highest score."""

_FEWEST = 50  # customers that a hold-back must judge
_BLOCK = 65_536
_PULL = (
    0.1  # twice the nats that a customer's own likelihood rises by her being in the fit: above, she is left out truly
)
_CLIMBS = 100


@frozen(eq=False, repr=False, kw_only=True)
class Choice(Table):
    """One row a candidate, the highest score first; ``chosen`` names the one that was taken, ``why`` says the reason.

    ``fitted`` is the chosen model, fitted to the whole base, with the reason among its notes.
    """

    key = "model"

    model: TextColumn = column("which model")
    score: FloatColumn = column("log score of all customers together", unit="nats")
    behind: FloatColumn = column("behind the highest", unit="nats")
    behind_error: FloatColumn = column("standard error of that", unit="nats")
    parameters: IntColumn = column("how many the purchase model has", unit="count")

    chosen: str
    why: str
    fitted: FittedPurchases

    def __repr__(self) -> str:
        return f"<Choice of {len(self)} models: {self.why}>"


@frozen(kw_only=True)
class AutoModel:
    """A recipe that tries several and keeps one.

    With a ``log``, the candidates are fitted to what was known ``holdback_days`` before the as-of date (default: a
    third of the log's span, at most a year) and scored on what the customers then did; only lines of the customers of
    the base, up to its as-of date, are looked at. Without one, the score is leave-one-out on the base itself
    (:func:`leave_one_out`): how well each customer's purchases are predicted by the others'. That says which model fits
    the past of customers like these; only a hold-back says which one carries on into the future.

    Of the candidates that no other is ahead of beyond error (two standard errors and four nats), MBG/NBD is taken if it
    is among them, else the highest score; and instead of that a model with fewer parameters, if it is within two nats
    of the highest. What is fitted is a plain :class:`FittedPurchases` of the chosen model, whose notes tell why.

    ``time_unit_days`` and ``margin`` are those of the default candidates (BG/NBD, MBG/NBD, Pareto/NBD, NBD).

    Example:
        >>> base = Histories.from_arrays(frequency=[0, 2, 5, 0, 1] * 40, recency_days=[0, 60, 80, 0, 20] * 40,
        ...                              age_days=[90, 90, 84, 200, 150] * 40)
        >>> AutoModel().fit(base).name in ("bg-nbd", "mbg-nbd", "pareto-nbd", "nbd")
        True
    """

    scale_free: ClassVar[bool] = True

    candidates: tuple[PurchaseModel, ...] = field(default=(), converter=tuple)
    log: TransactionLog | None = field(default=None, repr=False)
    holdback_days: int | None = None
    time_unit_days: float = 7.0
    margin: MarginModel = field(factory=GammaGamma)

    @candidates.validator
    def _check_candidates(self, attribute: Any, value: tuple[PurchaseModel, ...]) -> None:
        names = [getattr(one, "name", None) for one in value]
        if not all(isinstance(one, PurchaseModel) for one in value) or len(set(names)) < len(names):
            raise ConfigError(
                f"candidates {names!r}",
                rule="candidates are purchase models to be fitted, each of another name",
                remedy="candidates=[BGNBD(), ParetoNBD()]; backtest() compares models of any kind",
            )

    @property
    def name(self) -> str:
        """The registry name."""
        return "auto"

    def at(self, **params: float) -> FittedPurchases:
        """Refused: only a base can choose."""
        raise ModelError(
            f"auto at {', '.join(params) or 'no parameters'}",
            rule="auto has no parameters of its own: it chooses a model by its fit",
            remedy="fit it, or take the model that you mean: BGNBD().at(...)",
        )

    def fit(self, histories: Histories) -> FittedPurchases:
        """The chosen model, fitted to the base; its notes say why it was chosen."""
        return self.choose(histories).fitted

    def choose(self, histories: Histories) -> Choice:
        """Score every candidate and keep one.

        Raises ConfigError for a log without an as-of date in the histories, or with fewer than 50 of their customers
        in the hold-back, and for models that count periods (BG/BB) without a log: their likelihood is of other events.
        """
        models = {model.name: model for model in self.candidates or self._usual()}
        periodic = [name for name, model in models.items() if model.kernel().discrete]
        if self.log is None and periodic:
            raise _other_events(periodic[0])
        fitted: dict[str, FittedPurchases] = {}
        remarks: tuple[str, ...] = ()
        if self.log is None:
            fitted = {name: model.fit(histories) for name, model in models.items()}
            scores = {name: leave_one_out(one, histories) for name, one in fitted.items()}
            score, clusters = "leave-one-out score", None
        else:
            scores, clusters, remarks = self._hold_back(models, self.log, histories)
            score = "hold-back log score"
        total = {name: float(np.einsum("n->", values)) for name, values in scores.items()}
        size = {
            name: len(model.kernel().names) + len(model.rate) + len(model.dropout) for name, model in models.items()
        }
        gaps = {(a, b): difference(scores[a], scores[b], clusters) for a in models for b in models if a != b}
        chosen = _chosen(total, size, gaps)
        why = verdict(chosen, [(name, gaps[chosen, name]) for name in _ranked(total) if name != chosen], score)
        best = fitted[chosen] if chosen in fitted else models[chosen].fit(histories)
        notes = (f"auto chose {why}", *remarks)
        if best.estimate is not None:
            best = evolve(best, estimate=best.estimate.with_notes(*notes))
        names = _ranked(total)
        behind = [gaps[names[0], name] if name != names[0] else Difference(0.0, 0.0, False) for name in names]
        return Choice(
            model=np.array(names),
            score=np.array([total[name] for name in names]),
            behind=np.array([gap.better_by for gap in behind]),
            behind_error=np.array([gap.error for gap in behind]),
            parameters=np.array([size[name] for name in names]),
            chosen=chosen,
            why=why,
            fitted=best,
            provenance=histories.provenance.with_notes(*notes),
        )

    def _usual(self) -> tuple[PurchaseModel, ...]:
        unit, margin = self.time_unit_days, self.margin
        return tuple(kind(time_unit_days=unit, margin=margin) for kind in (BGNBD, MBGNBD, ParetoNBD, NBD))

    def _hold_back(
        self, models: dict[str, PurchaseModel], log: TransactionLog, histories: Histories
    ) -> tuple[dict[str, FloatColumn], Any, tuple[str, ...]]:
        """Each candidate's log score by customer, who she is, and what must be said of it."""
        if histories.as_of is None:
            raise ConfigError(
                "auto with a log and histories without an as-of date",
                rule="the hold-back ends on the as-of date",
                remedy="rt.summarize(log, as_of=...) makes them, or leave the log out",
            )
        order = np.argsort(histories.customer_id, kind="stable")
        mine = np.isin(log.customers.labels, histories.customer_id)
        known = log.take(mine[log.customers.codes]).until(histories.as_of)
        span = (histories.as_of - known.day.min().item()).days if len(known) else 0
        days = min(365, span // 3) if self.holdback_days is None else self.holdback_days
        cut = histories.as_of - dt.timedelta(days=days)
        judged = len(np.unique(known.customers.codes[known.day <= np.datetime64(cut, "D")])) if len(known) else 0
        if days < 1 or judged < _FEWEST:
            raise ConfigError(
                f"a hold-back of {days} days before {histories.as_of} that judges {judged} customers",
                rule=f"{_FEWEST} customers or more, known before the hold-back, make a choice",
                remedy="leave the log out: then the choice is by leave-one-out on the base itself",
            )

        def attach(base: Histories) -> Histories:
            rows = order[np.searchsorted(histories.customer_id, base.customer_id, sorter=order)]
            return base.with_attributes({name: values[rows] for name, values in histories.attributes.items()})

        prepare = attach if histories.attributes else None
        tried = backtest(known, models, cut=cut, until=histories.as_of, prepare=prepare)
        remarks = [f"the hold-back of auto: the {days} days to {histories.as_of}, {judged:,} customers"]
        best = tried.best
        if tried.forecasts[best].baseline:
            gaps = [tried.compare(best, name) for name in models]
            if all(gap.told for gap in gaps):
                remarks.append(f"no candidate came up to the baseline {best!r} in the hold-back of auto")
        scores = {name: tried.forecasts[name].log_score for name in models}
        return {k: v for k, v in scores.items() if v is not None}, tried.customers.customer_id, tuple(remarks)


def leave_one_out(fitted: FittedPurchases, histories: Histories) -> FloatColumn:
    r"""Each customer's log-density of her purchase days, per day, under the model fitted to all others.

    Instead of n fits one Newton step each, from the fit with her: \theta_{-i} = \theta - (A - A_i)^{-1} g_i, with her
    gradient g_i and information A_i in log-parameters and the whole base's A (with the prior, if one was in use), and
    then her exact log-likelihood there (approximate leave-one-out; Rad and Maleki 2020, JRSS B 82(4), 965-996). The
    few customers who pull hardest are left out of a true climb. Where single customers decide whether the data identify
    the model at all, the sum can be a nat off that of n fits. With covariates each customer is charged an equal share
    of one nat a parameter instead (AIC). Models of the same events are comparable: all that count in days.

    Raises ConfigError for a model that counts periods, ModelError for one whose parameters were given.

    Example:
        >>> base = Histories.from_arrays(frequency=[0, 2, 5, 0, 1] * 40, recency_days=[0, 60, 80, 0, 20] * 40,
        ...                              age_days=[90, 90, 84, 200, 150] * 40)
        >>> fitted = NBD().fit(base)
        >>> inside = fitted.log_likelihoods(base).sum() - base.frequency.sum() * np.log(7)
        >>> print(f"{inside - leave_one_out(fitted, base).sum():.1f} nats of it were hindsight")
        1.5 nats of it were hindsight
    """
    recipe, kernel = fitted.recipe, fitted.recipe.kernel()
    if kernel.discrete:
        raise _other_events(fitted.name)
    if fitted.estimate is None:
        raise ModelError(
            f"leave-one-out of a {fitted.name} whose parameters were given",
            rule="who was not learned from cannot be left out",
            remedy="fit the model to this base",
        )
    to_days = histories.frequency * math.log(fitted.time_unit_days)
    if fitted.design is not None:
        share = (len(fitted.purchase_params) + len(fitted.coefficients)) / max(len(histories), 1)
        return np.asarray(fitted.log_likelihoods(histories) - share - to_days)
    clock = recipe.clock(histories)
    center, sd, always = recipe.log_prior(clock)
    center = center + np.array(kernel.time_power) * math.log(clock / fitted.time_unit_days)
    weak = np.maximum(always, sd**-2.0)
    priors = (weak,) if fitted.estimate.diagnosis else (always, weak)
    cells = recipe.own_cells(histories).scaled(fitted.time_unit_days)
    by_cell = _left_out(kernel, np.log(fitted.purchase_params), cells, center, priors)
    return np.asarray(by_cell[cells.which] - to_days)


def _left_out(
    kernel: "Kernel", theta: FloatColumn, cells: "Cells", center: FloatColumn, priors: tuple[FloatColumn, ...]
) -> FloatColumn:
    """By cell: the log-likelihood of one customer of it when she, and nobody else, is left out.

    ``priors`` are the precisions around ``center`` that the fit uses: the first, and the next where that is not enough.
    """
    information = np.diag(priors[0]) - kernel.total(np.exp(theta), cells)[2]
    scores, pull = np.empty(len(cells.weight)), np.empty(len(cells.weight))
    for start in range(0, len(scores), _BLOCK):
        block = slice(start, start + _BLOCK)
        rows = cells.rows.take(block)
        _, gradients, hessians = kernel.rowwise(np.exp(theta), rows)
        without = information + np.moveaxis(hessians, -1, 0)
        steps = np.linalg.solve(_positive(without), -gradients.T[..., None])[..., 0]
        moved = np.exp(theta + np.clip(steps, -1.0, 1.0))
        scores[block] = kernel.log_likelihoods(tuple(moved.T), rows)
        pull[block] = -np.einsum("in,ni->n", gradients, steps)
    # The pulls of all customers add up to about the number of parameters, so these are a handful.
    for i in np.argsort(-pull, kind="stable")[: min(int(np.sum(pull > _PULL)), _CLIMBS)]:
        weight = cells.weight.copy()
        weight[i] -= 1
        point = _refitted(kernel, theta, cells._replace(weight=weight), center, priors)
        scores[i] = kernel.log_likelihoods(np.exp(point), cells.rows.take(slice(i, i + 1)))[0]
    return scores


def _refitted(
    kernel: "Kernel", theta: FloatColumn, cells: "Cells", center: FloatColumn, priors: tuple[FloatColumn, ...]
) -> FloatColumn:
    """The log-parameters of other cells, from a climb that starts at ``theta`` and goes by the rule of every fit."""
    from retention._kernels.newton import maximise

    for prior in priors:

        def leaning(at: FloatColumn, prior: FloatColumn = prior) -> tuple[float, FloatColumn, FloatColumn]:
            value, gradient, hessian = kernel.total(np.exp(at), cells)
            lean = prior * (at - center)
            return value - float(lean @ (at - center)) / 2, gradient - lean, hessian - np.diag(prior)

        top = maximise(leaning, theta)
        if top.converged and float(np.linalg.eigvalsh(top.hessian)[-1]) < -(IDENTIFIED**-2):
            break
    return np.asarray(np.clip(top.point, -14.0, 25.0))


def _positive(matrices: FloatColumn) -> FloatColumn:
    """The same matrices, those with a direction of (almost) no information given a little in it."""
    curvature, axes = np.linalg.eigh(matrices)
    least = 1e-9 * np.maximum(curvature[:, -1:], 1e-9)
    return np.asarray(np.einsum("nij,nj,nkj->nik", axes, np.maximum(curvature, least), axes))


def _other_events(name: str) -> ConfigError:
    return ConfigError(
        f"{name} among candidates without a log",
        rule="its likelihood counts periods, that of the others days: they cannot be compared on the base itself",
        remedy="AutoModel(candidates=..., log=log) compares them on a hold-back",
    )


def _ranked(total: dict[str, float]) -> list[str]:
    return sorted(total, key=lambda name: -total[name])


def _chosen(total: dict[str, float], size: dict[str, int], gaps: dict[tuple[str, str], Difference]) -> str:
    """The rule of :class:`AutoModel`."""
    beaten = {b for (a, b), gap in gaps.items() if gap.told and gap.better_by > 0}
    open_ = [name for name in _ranked(total) if name not in beaten]
    chosen = PREFERRED if PREFERRED in open_ else open_[0]
    leaner = [name for name in open_ if size[name] < size[chosen] and total[open_[0]] - total[name] <= LEAN]
    return min(leaner, key=lambda name: size[name]) if leaner else chosen
