"""What another choice would have brought per customer, from a log of randomised choices."""

import html
from typing import Any, Literal

import attrs
import numpy as np
from attrs import frozen

from retention.errors import ConfigError
from retention.proof._features import Encoder, columns_of
from retention.proof._trial import LEAST_BUYERS, coded, in_range, known_arms, numbers, same_length

__all__ = ["PolicyValue", "policy_value"]


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
    Under 50 matching buyers a note warns: no interval is right there. :func:`evaluate_policy` asks more of a log, for
    chances of all actions and several decisions a customer, and refuses such a number.

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
    from retention._kernels import offpolicy, ridges

    in_range(interval=interval, folds=folds)
    codes, arms = coded("arm", arm)
    wanted, names = coded("target", target, len(codes))
    known_arms("target", names, arms)
    n = len(codes)
    chosen = np.array([arms.index(name) for name in names])[wanted]
    y = numbers("outcome", outcome, n)
    chance = numbers("propensity", np.full(n, propensity) if np.ndim(propensity) == 0 else propensity, n)
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
        source = columns_of(features)
        x = Encoder.learned(source, []).encode(source)
        same_length("features", x.shape[1], n)
        fold = ridges.fold_of(codes, folds, np.random.default_rng(seed))
        valued = offpolicy.dr(weight, y, *offpolicy.cross_fitted(x, y, codes, chosen, len(arms), fold))
    else:
        valued = offpolicy.ips(weight, y) if how == "ips" else offpolicy.snips(weight, y)
    got = offpolicy.estimate(valued, interval)
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
