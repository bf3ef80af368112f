"""One for all, or to each her own? Chosen from randomised arms, with a gate before anything personal is shipped."""

import copy
import html
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol

import attrs
import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from retention.errors import ColumnError, ConfigError, ModelError, UnknownNameError, nearest
from retention.frames.drawing import axes
from retention.frames.reading import RawColumn, open_source
from retention.frames.table import FloatColumn, Provenance, Table, TextColumn, column, read_only

__all__ = [
    "Learner",
    "Personalisation",
    "Policies",
    "PolicyValue",
    "UpliftCurve",
    "personalise",
    "policy_value",
    "uplift_curve",
    "uplift_scores",
    "LEAST_BUYERS",
    "LEAST_IN_ARM",
]

LEAST_BUYERS = 50
"""With fewer buyers on whom a comparison rests, its interval is not to be believed."""

LEAST_IN_ARM = 40
"""An arm with fewer customers is too small to learn from."""

_LEVELS = 30  # of a text column, each held by so many customers at least
_LEAST_OF_LEVEL = 20
_KNOTS = (0.2, 0.4, 0.6, 0.8)


class Learner(Protocol):
    """What a learner must do, in the manner of scikit-learn: ``fit(X, y)``, then ``predict(X)``.

    ``X`` has a row a customer and standardised columns; ``y`` is the score of an effect, far noisier than the effect.
    A learner is copied (``copy.deepcopy``) before each fit, and itself never fitted.
    """

    def fit(self, X: Any, y: Any) -> Any:
        """Learn ``y`` from ``X``."""

    def predict(self, X: Any) -> Any:
        """One number a row."""


@frozen(eq=False, repr=False, kw_only=True)
class Policies(Table):
    """What each policy brings per customer, net of contacts, and how far it is from the best of one for all."""

    key: ClassVar[str] = "policy"

    policy: TextColumn = column("an arm for everyone, or 'personal'")
    value: FloatColumn = column("per customer, net of contacts", unit="money")
    error: FloatColumn = column("its standard error", unit="money")
    low: FloatColumn = column("lower end of its interval", unit="money")
    high: FloatColumn = column("upper end of its interval", unit="money")
    difference: FloatColumn = column("value less that of the best arm for all", unit="money")
    difference_error: FloatColumn = column("standard error of the difference, on the same customers", unit="money")
    difference_low: FloatColumn = column("lower end of the difference's interval", unit="money")
    difference_high: FloatColumn = column("upper end of the difference's interval", unit="money")
    personal_share: FloatColumn = column("share of customers to whom the personal policy gives this arm")

    def plot(self, ax: Any = None) -> Any:
        """Each policy's value with its interval."""
        ax = axes(ax, size=(7.0, 0.9 + 0.45 * len(self)))
        at = np.arange(len(self))[::-1]
        ax.hlines(at, self.low, self.high, color="0.6")
        ax.plot(self.value, at, "o", color="C0")
        ax.set_yticks(at, [str(each) for each in self.policy])
        ax.set_ylim(-0.6, len(self) - 0.4)
        ax.set_xlabel("money per customer, net of contacts")
        return ax


@frozen(eq=False, repr=False, kw_only=True)
class Personalisation:
    """Whether to choose an arm by customer, what that would bring, and the choice itself.

    ``decision`` is ``personal`` only if the lower end ``low`` of the cross-fitted ``difference`` between the learned
    policy and the ``best`` arm for all is above ``least_gain`` and rests on 50 buyers or more, and no other arm for all
    came out as high as the policy less ``least_gain``; otherwise ``one for all``. ``buyers`` counts customers with an
    outcome other than 0 for whom the learned policy differs from the best arm and who happened to be in one of the two
    (a mean over the repeats): the difference rests on them.

    ``by_repeat`` holds the difference of each repeat: how much a single split would have told is chance.
    """

    decision: Literal["one for all", "personal"]
    best: str
    difference: float
    error: float
    low: float
    high: float
    level: float
    least_gain: float
    buyers: float
    n: int
    arms: tuple[str, ...]
    policy_table: Policies
    by_repeat: FloatColumn = field(converter=read_only)
    repeats: int
    folds: int
    seed: int
    notes: tuple[str, ...] = ()
    _rule: Any = field(alias="rule")
    _encoder: "_Encoder" = field(alias="encoder")
    _costs: FloatColumn = field(alias="costs")
    _by_margin: bool = field(alias="by_margin")

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        # As many decimals as show two digits of the error: outcomes may be visits as well as money.
        digits = 2 if not self.error else max(2, 1 - math.floor(math.log10(self.error)))
        value, low, high = (f"{each:+,.{digits}f}" for each in (self.difference, self.low, self.high))
        told = f"difference {value} per customer ({self.level:.0%} interval {low} to {high}; {self.n:,} customers)"
        if self.decision == "personal":
            return f"personal: choosing by customer beats {self.best!r} to all: {told}"
        if self.low > self.least_gain and self.buyers >= LEAST_BUYERS:
            return f"one for all: a policy beats {self.best!r} to all, but not every other arm to all: {told}"
        if self.low > self.least_gain:
            return f"one for all: too few buyers to tell whether a policy beats {self.best!r} to all: {told}"
        if self.low > 0:
            return f"one for all: no policy beats {self.best!r} to all by {self.least_gain:,.2f} or more: {told}"
        return f"one for all: no policy beats {self.best!r} to all: {told}"

    def recommend(self, features: Any, *, margins: Any = None) -> TextColumn:
        """The arm for each customer: the best one for all unless the gate is open.

        ``features`` has the columns that were learned from, in any order; ``margins`` is asked for where margins were
        given. Both are checked whatever the decision.
        """
        arms = self.learned(features, margins=margins)
        return arms if self.decision == "personal" else np.full(len(arms), self.best, dtype=arms.dtype)

    def learned(self, features: Any, *, margins: Any = None) -> TextColumn:
        """The arm that the learned policy would choose, whatever the gate says: to look at, not to send."""
        x = self._encoder.encode(_columns(features))
        if (margins is not None) != self._by_margin:
            raise ConfigError(
                "margins left out" if self._by_margin else "margins given",
                rule="margins are asked for if, and only if, the policy was learned with them",
                remedy="pass one margin a customer" if self._by_margin else "leave margins out",
            )
        worth = None if margins is None else _numbers("margins", margins, x.shape[1])
        gain = self._rule.gain(x, self._encoder.plain(x), self._costs[:, None], worth)
        return np.asarray(np.asarray(self.arms)[self._rule.choose(gain)], dtype=np.str_)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values of all but the policy itself."""
        told = ("decision", "best", "difference", "error", "low", "high", "level", "least_gain", "buyers", "n")
        plain = {name: getattr(self, name) for name in (*told, "repeats", "folds", "seed")}
        table = {name: values.tolist() for name, values in self.policy_table.columns().items()}
        return plain | {"sentence": self.sentence, "policies": table, "notes": list(self.notes)}

    def plot(self, ax: Any = None) -> Any:
        """Each policy's value with its interval."""
        return self.policy_table.plot(ax)

    def __repr__(self) -> str:
        return f"<Personalisation {self.sentence}>"

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        head = f"<p><b>{html.escape(self.sentence)}</b></p>"
        return head + self.policy_table._repr_html_() + (f"<ul>{notes}</ul>" if notes else "")


def personalise(
    features: Any,
    arm: Any,
    outcome: Any,
    *,
    propensities: Any = None,
    costs: Mapping[str, float] | None = None,
    margins: Any = None,
    proxy: Any = None,
    control: str | None = None,
    learner: Learner | Callable[[], Learner] | None = None,
    repeats: int = 10,
    folds: int = 2,
    least_gain: float = 0.0,
    interval: float = 0.90,
    seed: int = 0,
) -> Personalisation:
    """Learn from randomised arms which arm suits whom, and find out whether that beats the best arm for everyone.

    ``features`` is a frame of any library (or a file, a mapping of columns, a two-dimensional array of numbers): one
    row a customer, known before the arms were drawn. Text columns count by level. ``arm`` names what was done to each,
    ``outcome`` says what came of it in money (or in pieces, where ``margins`` gives the money that a piece is worth for
    each customer). ``propensities`` are the chances with which arms were drawn: by arm, as numbers or one a customer,
    or an array (customers, arms) in the order of the sorted names; without it the arms' shares, right where everyone
    had the same chances. ``costs`` is money per contact by arm; an arm that is left out costs nothing. ``proxy`` is a
    denser outcome, such as a visit: effects are then learned on it and put on the money scale inside each training
    part. ``control`` names the arm that means "nothing", to be listed first.

    Everyone is scored by policies that did not see her: folds stratified by arm, ``repeats`` times. The value of a
    policy is the mean of doubly robust scores (AIPW) net of cost; the difference to the best arm for all is taken row
    by row and averaged over the repeats before its error is computed, over customers. The interval is two-sided at
    confidence ``interval`` and corrected for skewness: at 0.90 the gate errs in at most about 5 % of experiments. The
    best arm for all is the one from which the learned policy departs: the highest mean net of cost, the proxy
    considered.

    The default learner is a ridge on the effects' scores, in features with bends at the quintiles of numbers, with a
    penalty for each feature that the marginal likelihood finds; any ``learner`` with ``fit(X, y)`` and ``predict(X)``,
    or a function that makes one, may take its place. Either way the foretold differences between customers are shrunk
    by what of them comes true within the training part, to nothing where nothing does: then the policy is the best arm
    for all. The policy that :meth:`Personalisation.recommend` uses behind the gate is learned once more from all
    customers.

    ``least_gain`` is the money per customer that personal treatment must bring, for certain, to be worth its trouble.

    Raises:
        ColumnError: a feature is missing or not a number, has gaps, or has a level that was not there.
        UnknownNameError: ``control``, ``costs`` or ``propensities`` name an arm that is not in ``arm``.
        ConfigError: lengths differ, chances are not above 0 or do not sum to 1, an argument is out of its range.
        ModelError: one arm only, an arm of fewer than 40, an outcome that is the same for all, a learner that fails.

    Source: Robins, Rotnitzky and Zhao, JASA 89 (1994) 846-866; Athey and Wager, Econometrica 89 (2021) 133-161; for
    proxies Athey, Chetty, Imbens and Kang, NBER 26463 (2019); for the interval Hall, JRSS B 54 (1992) 221-228.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> likes_wool = rng.integers(0, 2, 4000)
        >>> arm = rng.choice(["nothing", "wool", "silk"], 4000)
        >>> won = np.where(arm == "wool", likes_wool, (arm == "silk") * (1 - likes_wool))
        >>> found = personalise({"likes_wool": likes_wool}, arm, rng.normal(10 + 2 * won), repeats=2)
        >>> found.decision
        'personal'
        >>> found.recommend({"likes_wool": [0, 1]}).tolist()
        ['silk', 'wool']
    """
    from retention._kernels import uplift

    _in_range(repeats=repeats, folds=folds, interval=interval, least_gain=least_gain)
    encoder, trial, arms, notes = _trial(
        features, arm, outcome, propensities=propensities, costs=costs, margins=margins, proxy=proxy, control=control
    )
    n, k = len(trial.codes), len(arms)
    fit = None if learner is None else _plugged(learner)
    seen = uplift.cross_fit(trial, fit, repeats=repeats, folds=folds, seed=seed)
    rule = uplift.learn(trial, fit, np.random.default_rng([seed, repeats]))
    best = rule.base

    rows = [*seen.constants, seen.policy]
    values = np.array([uplift.mean_interval(each, interval) for each in rows])
    gaps = np.array([uplift.mean_interval(each - seen.constants[best], interval) for each in rows])
    difference, error, low, high = (float(each) for each in gaps[-1])

    ahead = int(np.argmax(values[:-1, 0]))
    if ahead != best:
        notes.append(
            f"{arms[ahead]!r} to all came out higher than {arms[best]!r} by {gaps[ahead, 0]:.2f} (standard error "
            f"{gaps[ahead, 1]:.2f}); the best arm is chosen from all customers at once"
            + ("" if proxy is None else ", with the proxy considered")
        )
    bought = np.flatnonzero(trial.outcome != 0)
    mine = trial.codes[bought]
    counted = np.where(mine == best, 1 - seen.chosen[best, bought], seen.chosen[mine, bought])
    buyers = float(counted.sum())
    apart = 1 - float(seen.chosen[best].mean())
    if apart > 0 and buyers < LEAST_BUYERS:
        notes.append(
            f"where the learned policy and {arms[best]!r} differ, only {buyers:.0f} buyers happened to be in one of "
            f"the two arms: under {LEAST_BUYERS} the interval is too short, and the gate stays shut"
        )
    if apart == 0:
        notes.append(f"in every repeat the learned policy was {arms[best]!r} for everyone")
    # The best arm may be the best by its proxy: no arm for all may have come out higher in money either.
    above = float(values[-1, 0] - values[ahead, 0]) > least_gain
    opened = low > least_gain and above and buyers >= LEAST_BUYERS
    notes = list(dict.fromkeys(notes))
    table = Policies(
        policy=np.array([*(f"{name} to all" for name in arms), "personal"]),
        value=values[:, 0],
        error=values[:, 1],
        low=values[:, 2],
        high=values[:, 3],
        difference=gaps[:, 0],
        difference_error=gaps[:, 1],
        difference_low=gaps[:, 2],
        difference_high=gaps[:, 3],
        personal_share=np.append(seen.chosen.mean(axis=1), 1.0),
        provenance=Provenance(seed=seed, notes=tuple(notes)),
    )
    return Personalisation(
        decision="personal" if opened else "one for all",
        best=arms[best],
        difference=difference,
        error=error,
        low=low,
        high=high,
        level=interval,
        least_gain=least_gain,
        buyers=buyers,
        n=n,
        arms=tuple(arms),
        policy_table=table,
        by_repeat=seen.by_repeat[:, k] - seen.by_repeat[:, best],
        repeats=repeats,
        folds=folds,
        seed=seed,
        notes=tuple(notes),
        rule=rule,
        encoder=encoder,
        costs=trial.cost[:, 0],
        by_margin=margins is not None and proxy is None,
    )


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

    from retention._kernels import uplift

    _in_range(interval=interval)
    contacted = np.asarray(treated)
    if contacted.ndim != 1 or not np.isin(contacted, (0, 1)).all():
        raise ConfigError(
            "treated holds other values than true and false",
            rule="a Qini curve compares the treated with the others",
            remedy="pass arm == 'the mail', and leave out the customers of further arms",
        )
    contacted = contacted.astype(bool)
    n = len(contacted)
    y = _numbers("outcome", outcome, n)
    ranks = np.atleast_2d(np.asarray(score, dtype=np.float64))
    each = [_numbers("score", row, n) for row in ranks]
    if not 0 < int(contacted.sum()) < n:
        raise ConfigError(
            f"{int(contacted.sum()):,} of {n:,} treated",
            rule="a Qini curve compares the treated with the others",
            remedy="pass customers of both arms",
        )
    curves = [uplift.qini(row, contacted, y) for row in each]
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

    _in_range(repeats=repeats, folds=folds)
    _, trial, arms, _ = _trial(features, arm, outcome, propensities=propensities, control=control)
    _known_arms("treatment", [treatment], arms)
    fit = None if learner is None else _plugged(learner)
    which = arms.index(treatment), arms.index(control)
    return uplift.cross_fit_effects(trial, *which, fit, repeats=repeats, folds=folds, seed=seed)


@frozen(kw_only=True, repr=False)
class PolicyValue:
    """What a policy would have brought per customer, from a log of another's choices, with its interval.

    ``matched`` counts the customers for whom the log did what the policy would do, ``buyers`` those of them with an
    outcome other than 0.
    """

    value: float
    error: float
    low: float
    high: float
    level: float
    method: Literal["ips", "snips", "dr"]
    n: int
    matched: int
    buyers: int
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The value in one sentence."""
        return (
            f"{self.value:,.3f} per customer, {self.level:.0%} interval {self.low:,.3f} to {self.high:,.3f} "
            f"({self.method}; {self.matched:,} of {self.n:,} customers match, {self.buyers:,} of them bought)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return attrs.asdict(self) | {"notes": list(self.notes)}

    def __repr__(self) -> str:
        return f"<PolicyValue {self.sentence}>"

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<p><b>{html.escape(self.sentence)}</b></p>" + (f"<ul>{notes}</ul>" if notes else "")


def policy_value(
    arm: Any,
    outcome: Any,
    propensity: Any,
    target: Any,
    *,
    features: Any = None,
    method: Literal["ips", "snips", "dr"] | None = None,
    interval: float = 0.95,
    folds: int = 2,
    seed: int = 0,
) -> PolicyValue:
    """What choosing ``target`` would have brought per customer, from a log whose chances are known.

    ``arm`` is what was done, ``propensity`` the chance that the log gave to *that* arm (one a customer, or one for
    all), ``target`` what the policy would do. The policy must not have been learned from these outcomes; for one that
    was, :func:`personalise` cross-fits. Methods:

    - ``ips``: mean of outcomes that match, weighted by 1 / propensity;
    - ``snips``: the same, divided by the mean weight (without ``features``, the default);
    - ``dr``: cross-fitted ridges by arm foretell the outcome from ``features``, and the weighted rest corrects them
      (with ``features``, the default).

    The interval is corrected for skewness (Hall 1992): on spend, where few buy, the plain one is too short and too low.
    Under 50 matching buyers a note warns: no interval is right there.

    Raises:
        ConfigError: lengths differ, a propensity outside (0, 1], nobody matches, ``dr`` without features.
        UnknownNameError: ``target`` holds an arm that was never tried, so nothing is known of it.

    Source: Horvitz and Thompson 1952; Hájek 1971; Dudík, Langford and Li, ICML 2011; Hall, JRSS B 54 (1992) 221-228.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> arm = rng.choice(["call", "mail"], 1000)
        >>> found = policy_value(arm, rng.normal(1 + (arm == "call")), 0.5, ["call"] * 1000)
        >>> found.low < 2 < found.high, found.method, found.matched
        (True, 'snips', 509)
    """
    from retention._kernels import uplift

    _in_range(interval=interval, folds=folds)
    codes, arms = _coded("arm", arm)
    wanted, names = _coded("target", target, len(codes))
    _known_arms("target", names, arms)
    n = len(codes)
    chosen = np.array([arms.index(name) for name in names])[wanted]
    y = _numbers("outcome", outcome, n)
    chance = _numbers("propensity", np.full(n, propensity) if np.ndim(propensity) == 0 else propensity, n)
    if not ((chance > 0) & (chance <= 1)).all():
        raise ConfigError(
            "propensity has values outside (0, 1]",
            rule="a propensity is the chance with which the arm was drawn that was drawn",
            remedy="pass what the journal logged beside the decision",
        )
    how = method or ("snips" if features is None else "dr")
    if how not in ("ips", "snips", "dr") or (how == "dr") != (features is not None):
        raise ConfigError(
            f"method={how!r} {'without' if features is None else 'with'} features",
            rule="methods are 'ips' and 'snips' without features, 'dr' with them",
            remedy="pass features=, or another method",
        )
    match = codes == chosen
    buyers, matched = int(np.count_nonzero(match & (y != 0))), int(match.sum())
    if not matched:
        raise ConfigError(
            "no customer was treated as the policy would treat her",
            rule="a policy is valued on the customers with whom the log agrees",
            remedy="log a share of decisions drawn at random",
        )
    weight = match / chance
    if how == "dr":
        source = _columns(features)
        x = _Encoder.learned(source, []).encode(source)
        _same_length("features", x.shape[1], n)
        fold = uplift.fold_of(codes, folds, np.random.default_rng(seed))
        guess = uplift.foretold(x, y, codes, fold)[chosen, np.arange(n)]
        got = uplift.mean_interval(guess + weight * (y - guess), interval)
    else:
        got = uplift.mean_interval(weight * y, interval) if how == "ips" else uplift.mean_interval(y, interval, weight)
    notes = []
    if buyers < LEAST_BUYERS:
        notes.append(
            f"only {buyers} buyers were treated as the policy would treat them: under {LEAST_BUYERS} an interval of "
            "skewed money does not hold what it promises"
        )
    return PolicyValue(
        value=got.value,
        error=got.error,
        low=got.low,
        high=got.high,
        level=interval,
        method=how,
        n=n,
        matched=matched,
        buyers=buyers,
        notes=tuple(notes),
    )


# What came in, checked.


@frozen(eq=False)
class _Feature:
    """One column as it is encoded: a number clipped to [low, high] with bends at knots, or a flag for each level."""

    name: str
    low: float = 0.0
    high: float = 0.0
    knots: tuple[float, ...] = ()
    levels: tuple[str, ...] | None = None
    pooled: bool = False

    def of(self, raw: RawColumn) -> list[FloatColumn]:
        if bool(raw.missing.any()) or (raw.kind == "float" and not bool(np.isfinite(raw.values).all())):
            gaps = raw.missing | (~np.isfinite(raw.values) if raw.kind == "float" else False)
            raise ColumnError(
                f"feature {self.name!r} is missing or not finite in {int(np.sum(gaps)):,} rows",
                rule="a policy must know what to do with every customer",
                remedy="fill the gaps: a level of its own such as 'unknown', or a number and a flag",
            )
        if (raw.kind == "text") != (self.levels is not None):
            raise ColumnError(
                f"feature {self.name!r} was {'a number' if self.levels is None else 'text'} and is now of another kind",
                rule="a policy is asked about features of the kind that it has learned from",
                remedy="prepare the columns as before",
            )
        if self.levels is None:
            values = np.clip(raw.values.astype(np.float64), self.low, self.high)
            return [values, *(np.maximum(values - knot, 0.0) for knot in self.knots)]
        strange = sorted(set(raw.labels) - set(self.levels))
        if strange and not self.pooled:
            raise ColumnError(
                f"feature {self.name!r} has {len(strange)} levels that were not there",
                rule="what suits customers of an unknown level is not known",
                remedy="learn again from an experiment that has them, or set them to a known level",
            )
        return [
            (raw.values == code).astype(np.float64)
            for level in self.levels
            for code in [raw.labels.index(level) if level in raw.labels else -1]
        ]


@frozen(eq=False)
class _Encoder:
    """Features as centred and scaled columns, remembered from the customers that were learned from."""

    features: tuple[_Feature, ...]
    centre: FloatColumn
    scale: FloatColumn
    kept: NDArray[np.intp]
    straight: NDArray[np.intp]
    groups: NDArray[np.intp]

    @classmethod
    def learned(cls, columns: Mapping[str, RawColumn], notes: list[str]) -> "_Encoder":
        features = []
        for name, raw in columns.items():
            if raw.kind == "time":
                raise ColumnError(
                    f"feature {name!r} holds dates", rule="features are numbers or text", remedy="pass days since then"
                )
            if raw.kind == "text":
                count = np.bincount(raw.values[raw.values >= 0], minlength=len(raw.labels))
                often = sorted(range(len(count)), key=lambda k: (-count[k], raw.labels[k]))[:_LEVELS]
                levels = tuple(sorted(raw.labels[k] for k in often if count[k] >= _LEAST_OF_LEVEL))
                pooled = len(levels) < len(count)
                if pooled:
                    notes.append(f"feature {name!r}: {len(count) - len(levels):,} rare levels count as one")
                features.append(_Feature(name, levels=levels, pooled=pooled))
                continue
            values = raw.values.astype(np.float64)
            values = values[np.isfinite(values)]
            if not len(values):
                features.append(_Feature(name))
                continue
            low, high = (float(each) for each in np.quantile(values, (0.01, 0.99)))
            low, high = (low, high) if low < high else (float(values.min()), float(values.max()))
            inner = np.unique(np.quantile(values, _KNOTS)) if len(np.unique(values)) > 2 else np.empty(0)
            features.append(_Feature(name, low, high, tuple(float(k) for k in inner if low < k < high)))
        raw_rows = [feature.of(columns[feature.name]) for feature in features]
        # A number is one group of columns, its bends another, a text column with all its levels a third.
        groups = np.array(
            [
                2 * k + (at > 0 and feature.levels is None)
                for k, (feature, rows) in enumerate(zip(features, raw_rows, strict=True))
                for at in range(len(rows))
            ]
        )
        x = np.array([row for rows in raw_rows for row in rows])
        centre, scale = x.mean(axis=1), x.std(axis=1)
        kept = np.flatnonzero(scale > 1e-12 * np.maximum(np.abs(centre), 1e-300))
        if not len(kept):
            raise ColumnError(
                "no feature varies",
                rule="to choose by customer, customers must differ",
                remedy="pass a feature that does",
            )
        straight = np.flatnonzero(groups[kept] % 2 == 0)
        _, numbered = np.unique(groups[kept], return_inverse=True)
        return cls(tuple(features), centre[kept], scale[kept], kept, straight, numbered)

    def encode(self, columns: Mapping[str, RawColumn]) -> FloatColumn:
        """Shape (columns, customers)."""
        for feature in self.features:
            if feature.name not in columns:
                raise ColumnError(
                    f"there is no feature {feature.name!r}",
                    rule="a policy is asked about the features that it has learned from",
                    remedy=nearest(feature.name, columns),
                )
        rows = [row for feature in self.features for row in feature.of(columns[feature.name])]
        x = np.array([rows[k] for k in self.kept])
        x -= self.centre[:, None]
        x /= self.scale[:, None]
        return x

    def plain(self, x: FloatColumn) -> FloatColumn:
        """Without the bends, a row a customer."""
        return np.ascontiguousarray(x[self.straight].T)


def _columns(features: Any) -> Mapping[str, RawColumn]:
    """The door for features: frames and files as everywhere, and arrays."""
    if isinstance(features, Mapping):
        lengths = {str(name): len(values) for name, values in features.items()}
        if len(set(lengths.values())) > 1:
            raise ConfigError(
                f"features of lengths {lengths}", rule="every feature has one value a customer", remedy="align them"
            )
        return {str(name): _raw(str(name), np.asarray(values)) for name, values in features.items()}
    if isinstance(features, np.ndarray):
        if features.ndim != 2:
            raise ConfigError(
                f"features of {features.ndim} dimensions",
                rule="an array of features has a row a customer and a column a feature",
                remedy="pass a two-dimensional array, a frame, or a mapping of columns",
            )
        return {f"x{k}": _raw(f"x{k}", values) for k, values in enumerate(features.T)}
    return open_source(features).columns


def _raw(name: str, values: NDArray[Any]) -> RawColumn:
    from retention.frames.source import text_column

    if values.dtype.kind in "biu":
        return RawColumn(
            name=name, kind="int", values=values.astype(np.int64), missing=np.zeros(len(values), dtype=bool)
        )
    if values.dtype.kind == "f":
        return RawColumn(name=name, kind="float", values=values.astype(np.float64), missing=np.isnan(values))
    if values.dtype.kind == "M":
        return RawColumn(name=name, kind="time", values=values, missing=np.isnat(values))
    return text_column(name, [None if cell is None or cell != cell else str(cell) for cell in values.tolist()])


def _trial(
    features: Any,
    arm: Any,
    outcome: Any,
    *,
    propensities: Any = None,
    costs: Mapping[str, float] | None = None,
    margins: Any = None,
    proxy: Any = None,
    control: str | None = None,
) -> "tuple[_Encoder, Any, list[str], list[str]]":
    from retention._kernels import uplift

    notes: list[str] = []
    codes, names = _coded("arm", arm)
    n = len(codes)
    if control is not None:
        _known_arms("control", [control], names)
        order = [control, *(name for name in names if name != control)]
        codes = np.array([order.index(name) for name in names])[codes]
    else:
        order = names
    if len(order) < 2:
        raise ModelError(
            f"one arm only: {order[0]!r}",
            rule="to learn what an action changes, at least two arms were drawn at random",
            remedy="leave some customers alone, or give some another action",
        )
    size = np.bincount(codes, minlength=len(order))
    if size.min() < LEAST_IN_ARM:
        least = int(np.argmin(size))
        raise ModelError(
            f"arm {order[least]!r} has {size[least]} customers",
            rule=f"an arm has at least {LEAST_IN_ARM} customers",
            remedy="leave the arm and its customers out, or wait for more",
        )
    columns = _columns(features)
    for raw in columns.values():
        _same_length("features", len(raw.values), n)
    y = _numbers("outcome", outcome, n)
    dense = None if proxy is None else _numbers("proxy", proxy, n)
    for name, values in (("outcome", y), ("proxy", dense)):
        if values is not None and values.min() == values.max():
            raise ModelError(
                f"{name} is {values[0]:g} for everyone",
                rule="what is the same for everyone tells nothing about the arms",
                remedy=f"wait until some customers have a {name}",
            )
    worth = None if margins is None else _numbers("margins", margins, n)
    if worth is not None and dense is not None:
        y, worth = y * worth, None
    encoder = _Encoder.learned(columns, notes)
    x = encoder.encode(columns)
    trial = uplift.Trial(
        features=x,
        groups=encoder.groups,
        plain=encoder.plain(x),
        codes=codes,
        chance=_chances(propensities, codes, names, order, notes),
        outcome=y,
        cost=_costs(costs, order)[:, None],
        worth=worth,
        proxy=dense,
    )
    return encoder, trial, order, notes


def _coded(name: str, values: Any, n: int | None = None) -> tuple[NDArray[np.intp], list[str]]:
    """Text as codes into its sorted distinct values."""
    array = np.asarray(values)
    if array.ndim != 1 or not len(array):
        raise ConfigError(
            f"{name} of shape {array.shape}", rule=f"{name} has one value a customer", remedy="pass a column"
        )
    if n is not None:
        _same_length(name, len(array), n)
    cells = array.tolist()
    distinct = set(cells)
    if any(cell is None or cell != cell for cell in distinct):
        raise ConfigError(
            f"{name} is missing for some customers",
            rule=f"{name} has one value a customer",
            remedy="leave those customers out, or name what was done: 'nothing' is an arm",
        )
    labels = sorted({str(cell) for cell in distinct})
    at = {cell: labels.index(str(cell)) for cell in distinct}
    return np.fromiter(map(at.__getitem__, cells), dtype=np.intp, count=len(cells)), labels


def _numbers(name: str, values: Any, n: int) -> FloatColumn:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise ConfigError(
            f"{name} holds what is no number", rule=f"{name} is one number a customer", remedy="convert it first"
        ) from problem
    if array.ndim != 1:
        raise ConfigError(
            f"{name} of shape {array.shape}", rule=f"{name} is one number a customer", remedy="pass a column"
        )
    _same_length(name, len(array), n)
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise ConfigError(
            f"{name} is missing or infinite for {bad:,} customers",
            rule=f"{name} is a finite number for every customer",
            remedy="a customer who brought nothing has 0; leave out those of whom nothing is known",
        )
    return array


def _same_length(name: str, length: int, n: int) -> None:
    if length != n:
        raise ConfigError(
            f"{name} for {length:,} customers, arms for {n:,}",
            rule="every argument has one value a customer, in one order",
            remedy="select and sort them in one place",
        )


def _known_arms(role: str, names: Any, arms: list[str]) -> None:
    for name in names:
        if name not in arms:
            raise UnknownNameError(
                f"{role} names the arm {name!r}",
                rule="an arm is one that customers were in",
                remedy=nearest(name, arms),
            )


def _costs(costs: Mapping[str, float] | None, arms: list[str]) -> FloatColumn:
    given = {str(name): cost for name, cost in (costs or {}).items()}
    _known_arms("costs", given, arms)
    out = np.array([float(given.get(name, 0.0)) for name in arms])
    if not (np.isfinite(out) & (out >= 0)).all():
        raise ConfigError(
            f"costs={given!r}", rule="a contact costs a finite amount of money, 0 or more", remedy="correct the costs"
        )
    return out


def _chances(given: Any, codes: NDArray[np.intp], names: list[str], order: list[str], notes: list[str]) -> FloatColumn:
    """Shape (arms, customers)."""
    n, arms = len(codes), len(order)
    if given is None:
        share = np.bincount(codes, minlength=arms) / n
        notes.append("propensities are the arms' shares: right only if every customer had the same chances")
        return np.repeat(share[:, None], n, axis=1)
    if isinstance(given, Mapping):
        by_name = {str(name): chance for name, chance in given.items()}
        _known_arms("propensities", by_name, order)
        lacking = [name for name in order if name not in by_name]
        if lacking:
            raise ConfigError(
                f"propensities without {', '.join(map(repr, lacking))}",
                rule="every arm had a chance",
                remedy="give the chance of each arm",
            )
        out = np.array(
            [
                _numbers("propensities", np.full(n, by_name[name]) if np.ndim(by_name[name]) == 0 else by_name[name], n)
                for name in order
            ]
        )
    else:
        array = np.asarray(given, dtype=np.float64)
        if array.shape != (n, arms):
            raise ConfigError(
                f"propensities of shape {array.shape}",
                rule=f"propensities are a chance by arm, or an array of {n:,} customers and {arms} arms",
                remedy=f"order its columns as {', '.join(names)}",
            )
        out = np.ascontiguousarray(array.T[[names.index(name) for name in order]])
    if not (out > 0).all() or float(np.max(np.abs(out.sum(axis=0) - 1))) > 1e-6:
        raise ConfigError(
            "propensities that are not above 0, or do not sum to 1",
            rule="every customer could have been in any arm, and was in exactly one",
            remedy="pass the chances of the draw; leave out customers who could not have been in some arm",
        )
    return out


def _plugged(learner: Any) -> Callable[[FloatColumn, FloatColumn], Callable[[FloatColumn], FloatColumn]]:
    """A learner in the kernel's form: a fresh copy fitted, and its predictions checked."""
    makes = isinstance(learner, type) or (callable(learner) and not hasattr(learner, "predict"))
    if not makes and not (hasattr(learner, "fit") and hasattr(learner, "predict")):
        raise ConfigError(
            f"learner of type {type(learner).__name__}",
            rule="a learner has fit(X, y) and predict(X), or is a function that makes one",
            remedy="pass such an object",
        )

    def fit(x: FloatColumn, z: FloatColumn) -> Callable[[FloatColumn], FloatColumn]:
        model = copy.deepcopy(learner() if makes else learner)
        model.fit(x, z)

        def predict(rows: FloatColumn) -> FloatColumn:
            out = np.asarray(model.predict(rows), dtype=np.float64).reshape(-1)
            if len(out) != len(rows) or not np.isfinite(out).all():
                raise ModelError(
                    f"the learner {type(model).__name__} foretold {len(out):,} values for {len(rows):,} customers"
                    if len(out) != len(rows)
                    else f"the learner {type(model).__name__} foretold values that are not finite",
                    rule="predict(X) gives one finite number a row",
                    remedy="correct the learner",
                )
            return out

        return predict

    return fit


def _in_range(*, repeats: int = 1, folds: int = 2, interval: float = 0.9, least_gain: float = 0.0) -> None:
    if not 0.5 < interval <= 0.99:
        raise ConfigError(
            f"interval={interval!r}", rule="an interval's confidence lies in (0.5, 0.99]", remedy="pass 0.90, say"
        )
    if repeats < 1 or not 2 <= folds <= 10:
        raise ConfigError(
            f"repeats={repeats!r}, folds={folds!r}",
            rule="there is at least 1 repeat, of 2 to 10 folds",
            remedy="leave them out, or correct them",
        )
    if not (math.isfinite(least_gain) and least_gain >= 0):
        raise ConfigError(
            f"least_gain={least_gain!r}",
            rule="the least gain is money per customer, 0 or more",
            remedy="leave it out, or raise it",
        )
