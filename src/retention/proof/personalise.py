"""One for all, or to each her own? Chosen from randomised arms, with a gate before anything personal is shipped."""

import html
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, Provenance, Table, TextColumn, column, read_only
from retention.proof._features import Encoder, columns_of
from retention.proof._trial import LEAST_BUYERS, in_range, numbers, trial_of
from retention.proof.learner import Learner, plugged

__all__ = [
    "Personalisation",
    "Policies",
    "personalise",
    "LEAST_BUYERS",
]


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
    _encoder: "Encoder" = field(alias="encoder")
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
        x = self._encoder.encode(columns_of(features))
        if (margins is not None) != self._by_margin:
            raise ConfigError(
                "margins left out" if self._by_margin else "margins given",
                rule="margins are asked for if, and only if, the policy was learned with them",
                remedy="pass one margin a customer" if self._by_margin else "leave margins out",
            )
        worth = None if margins is None else numbers("margins", margins, x.shape[1])
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
    from retention._kernels import means, uplift

    in_range(repeats=repeats, folds=folds, interval=interval, least_gain=least_gain)
    encoder, trial, arms, notes = trial_of(
        features, arm, outcome, propensities=propensities, costs=costs, margins=margins, proxy=proxy, control=control
    )
    n, k = len(trial.codes), len(arms)
    fit = None if learner is None else plugged(learner)
    seen = uplift.cross_fit(trial, fit, repeats=repeats, folds=folds, seed=seed)
    rule = uplift.learn(trial, fit, np.random.default_rng([seed, repeats]))
    best = rule.base

    rows = [*seen.constants, seen.policy]
    values = np.array([means.mean_interval(each, interval) for each in rows])
    gaps = np.array([means.mean_interval(each - seen.constants[best], interval) for each in rows])
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
