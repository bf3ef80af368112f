"""What the customers that she brought are worth, credited to her: once, and never more than they are worth."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.errors import ConfigError, ModelError, nearest
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Provenance, Table, TextColumn, column
from retention.records.referrals import TIES, Referrals, ReferralTree, numbered

__all__ = [
    "Valued",
    "ReferralCredits",
    "ReferralValue",
    "TieValue",
    "credit_referrals",
]

_YEAR = 365.0
_UNDATED = "the valuation has no as-of date: acquisition costs saved in the past count as if saved today"


class Valued(Protocol):
    """What can be credited or added up: a table with each customer's value and its bounds (a ``Valuation``, or a
    ``NetValue``)."""

    @property
    def customer_id(self) -> TextColumn:
        """Who, each once."""

    @property
    def value(self) -> FloatColumn:
        """Expected discounted value in today's money."""

    @property
    def expected_purchases(self) -> FloatColumn:
        """Expected purchase days within the horizon."""

    @property
    def value_low(self) -> FloatColumn:
        """Lower bound of the realised value."""

    @property
    def value_high(self) -> FloatColumn:
        """Upper bound of the realised value."""

    @property
    def interval(self) -> float:
        """The probability that the bounds hold."""

    @property
    def discount_rate(self) -> float:
        """Per year."""

    @property
    def currency(self) -> str | None:
        """Its code, if known."""

    @property
    def provenance(self) -> Provenance:
        """With the as-of date, if known."""


@frozen(eq=False, repr=False, kw_only=True)
class ReferralCredits(Table):
    """One row a referral: what the referred customer is worth, and how much of it the referral is credited with."""

    key: ClassVar[str] = "referred_id"

    referrer_id: TextColumn = column("who brought her")
    referred_id: TextColumn = column("who was brought")
    tie: TextColumn = column("friend, family, co-worker or other")
    type_one_share: FloatColumn = column("probability that she would not have come without")
    value: FloatColumn = column("what the referred customer is worth (0 where she has no valuation)", unit="money")
    type_one: FloatColumn = column("credit for her who would not have come", unit="money")
    type_two: FloatColumn = column("credit for her who would have come, but later and at a cost", unit="money")
    credit: FloatColumn = column("both; between zero and her value", unit="money")
    credit_low: FloatColumn = column("the credit at the lower bound of her value", unit="money")
    credit_high: FloatColumn = column("the credit at the upper bound of her value", unit="money")
    credit_sd: FloatColumn = column("standard deviation of the credit", unit="money")
    expected_purchases: FloatColumn = column("purchase days expected of her", unit="count")


@frozen(eq=False, repr=False, kw_only=True)
class TieValue(Table):
    """One row a kind of tie: how many customers came through it, what they are worth, and the credit for them."""

    key: ClassVar[str] = "tie"

    tie: TextColumn = column("friend, family, co-worker or other")
    referrals: IntColumn = column("customers brought", unit="count")
    value: FloatColumn = column("what they are worth", unit="money")
    type_one: FloatColumn = column("credit for those who would not have come", unit="money")
    type_two: FloatColumn = column("credit for those who would have come later", unit="money")
    crv: FloatColumn = column("both", unit="money")
    crv_low: FloatColumn = column("lower bound", unit="money")
    crv_high: FloatColumn = column("upper bound", unit="money")


@frozen(eq=False, repr=False, kw_only=True)
class ReferralValue(Table):
    """Customer referral value (CRV): one row a customer of the valuation, then those who referred and are not in it.

    The sum of ``crv`` is the sum of ``credits.credit``, which is nowhere more than the referred are worth. The same
    money is in the referred customers' own value: ``given`` says how much of hers others are credited with.
    """

    customer_id: TextColumn = column("who")
    referred: IntColumn = column("customers she brought", unit="count")
    deeper: IntColumn = column("customers whom those brought, and so on down", unit="count")
    type_one: FloatColumn = column("credit for those who would not have come", unit="money")
    type_two: FloatColumn = column("credit for those who would have come later", unit="money")
    crv: FloatColumn = column("referral value: both", unit="money")
    crv_low: FloatColumn = column("lower bound of the referral value", unit="money")
    crv_high: FloatColumn = column("upper bound of the referral value", unit="money")
    crv_sd: FloatColumn = column("standard deviation of the referral value", unit="money")
    expected_purchases: FloatColumn = column("purchase days expected of those she is credited with", unit="count")
    given: FloatColumn = column("how much of her own value is credited to those who brought her", unit="money")

    credits: ReferralCredits
    interval: float
    together: bool
    currency: str | None = None

    def total(self) -> float:
        """The referral value of all: a part of what the referred are worth, no money on top of it."""
        return float(self.crv.sum())

    def by_tie(self) -> TieValue:
        """The credit by kind of tie, with bounds of the sums."""
        rows = self.credits
        where = [rows.tie == tie for tie in TIES]

        def sums(values: FloatColumn) -> FloatColumn:
            return np.asarray([float(values[here].sum()) for here in where])

        varied = sums((rows.credit_sd > 0).astype(np.float64))
        low, high = bounds_of_sums(
            sums(rows.credit),
            np.sqrt(sums(rows.credit_sd**2)),
            sums(rows.credit_low),
            sums(rows.credit_high),
            sums(rows.expected_purchases),
            np.full(len(TIES), True) if self.together else varied <= 1,
            self.interval,
        )
        return TieValue(
            tie=np.asarray(TIES),
            referrals=np.asarray([int(here.sum()) for here in where], dtype=np.int64),
            value=sums(rows.value),
            type_one=sums(rows.type_one),
            type_two=sums(rows.type_two),
            crv=sums(rows.credit),
            crv_low=low,
            crv_high=high,
            provenance=self.provenance,
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the ten highest referral values, split into the two types, with their bounds."""
        ax = axes(ax)
        best = np.argsort(-self.crv, kind="stable")[:10][::-1]
        best = best[self.crv[best] > 0]
        spots = np.arange(len(best))
        ax.barh(spots, self.type_one[best], color="#1f5f8b", label="would not have come")
        ax.barh(spots, self.type_two[best], left=self.type_one[best], color="#8fb8d0", label="would have, later")
        ax.hlines(spots, self.crv_low[best], self.crv_high[best], color="0.2", linewidth=1.2)
        ax.set_yticks(spots, self.customer_id[best].tolist())
        ax.set_xlabel(f"referral value {self.currency or ''}".strip())
        ax.set_title("Who brings others, and what they are worth", fontsize=10)
        if len(best):
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False, fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
        return ax


def credit_referrals(
    valuation: Valued,
    referrals: Referrals,
    *,
    type_one_share: float | Mapping[str, float] | Any,
    acquisition_cost: float,
    discount_rate: float | None = None,
    earlier_days: float = 0.0,
    deeper_share: float = 0.0,
    together: bool = False,
    draws: Any = None,
) -> ReferralValue:
    """Credit each customer with the value of those whom she brought (Kumar, Petersen and Leone 2007, 2010).

    **One referral.** With probability p (``type_one_share``: one number, one by tie, or one a referral) the referred
    customer would not have come: type one, worth all that she is worth, V. Else she would have come, at a cost: type
    two, worth the acquisition cost saved, and, if she would have come ``earlier_days`` later, the share
    ``1 - (1 + r)**(-days/365)`` of V that a stream loses by coming later. The cost was saved on the day of the
    referral and is carried to the as-of date at the rate r (``discount_rate``, the valuation's own unless given). Type
    two is never credited with more than V: nobody is worth more to win than to have. So every credit lies between
    zero and V, for losses (V < 0) as well. The 2010 paper adds the saved cost to type one too; but who would not have
    come at any cost saved none, and the credit would exceed V.

    **Down the tree.** V itself is only ever credited through the one referral that brought her. With ``deeper_share``
    s > 0 a referrer who was brought herself passes the share s p (p: her own type-one share) of what her referrals
    bring on to the one who brought her, who may pass it on again; she keeps the rest, so the credits of a referral
    add up to it over her ancestors, exactly once. V is the referred customer's own, as measured; that referred
    customers tend to be worth more (Schmitt, Skiera and Van den Bulte 2011) is in it, and nothing is added for it.

    **Bounds.** They carry what is not known about the referred customers' values, at the probability of the
    valuation's own bounds; p and the acquisition cost are taken as known. One referred customer: hers. Several: taken
    to be independent, their variances add up, and the sum has a mass at 0 (nobody buys) and is gamma distributed
    beside (normal with losses among it). A valuation has no variances, so each is made from bounds and expected
    purchases: for a few newcomers of whom most will never return, they come out narrow (90 % bounds held 79 to 89 % in
    a simulation). ``together=True`` adds the bounds up instead, as if all did well or badly at once: friends may leave
    as friends. ``draws`` of the values (one row a draw, one column a customer of the valuation) replace all that by
    quantiles of the credited draws, and are as exact as the draws are.

    Referred customers without a valuation (never bought) are worth 0; a note counts them. Raises ReadError for
    referrals that are no forest, ConfigError for arguments out of range or referrals after the as-of date.

    Example:
        >>> from retention.histories import Histories
        >>> from retention.value import BGNBD, appraise
        >>> base = Histories.from_arrays(frequency=[4, 4], recency_days=[200, 200], age_days=[270, 270],
        ...                              margin_mean=[5.0, 50.0], customer_id=["ann", "bea"])
        >>> model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44)
        >>> brought = Referrals.from_arrays(referrer_id=["ann"], referred_id=["bea"], tie=["friend"])
        >>> worth = appraise(base, model)
        >>> crv = credit_referrals(worth, brought, type_one_share=1.0, acquisition_cost=20.0)
        >>> crv.crv.tolist() == [worth.value[1], 0.0]
        True
    """
    rate = valuation.discount_rate if discount_rate is None else discount_rate
    rules = (
        ("acquisition_cost", acquisition_cost, np.inf, "an amount >= 0", "0 if nothing is saved"),
        ("discount_rate", rate, np.inf, "a yearly rate >= 0", "0.10 means 10 % a year"),
        ("earlier_days", earlier_days, np.inf, "days >= 0", "0 leaves the value of coming earlier out"),
        ("deeper_share", deeper_share, 1.0, "a share from 0 to 1", "0 credits only the one who brought her"),
    )
    for name, given, most, rule, remedy in rules:
        if not (0 <= given <= most and given < np.inf):
            raise ConfigError(f"{name}={given!r}", rule=rule, remedy=remedy)
    if not (np.all(np.isfinite(valuation.value)) and np.all(valuation.value_low <= valuation.value_high)):
        raise ModelError(
            "a valuation with values that are no numbers, or lower bounds above upper ones",
            rule="values are finite and bounds in order",
            remedy="make it with rt.appraise, or mend it",
        )
    p = _shares(type_one_share, referrals)
    saved = acquisition_cost * _carried(referrals, valuation.provenance.as_of, rate)
    late = -np.expm1(-np.log1p(rate) * earlier_days / _YEAR)
    ids = np.asarray(valuation.customer_id)
    found = positions(referrals.referred_id, ids)

    def hers(values: FloatColumn) -> FloatColumn:
        """The referred customers' values (last axis: the referrals')."""
        return np.where(found >= 0, values[..., found], 0.0) if len(ids) else np.zeros(len(found))

    def both(values: FloatColumn) -> tuple[FloatColumn, FloatColumn]:
        """The two types' credits for referred customers of such values."""
        two = np.clip(saved + late * values, np.minimum(values, 0.0), np.maximum(values, 0.0))
        return p * values, (1 - p) * two

    value = hers(valuation.value)
    purchases = np.minimum(hers(valuation.expected_purchases), 1e12)  # without a horizon they have no end
    one, two = both(value)
    low, high = (np.add(*both(hers(bound))) for bound in (valuation.value_low, valuation.value_high))
    credits = ReferralCredits(
        referrer_id=referrals.referrer_id,
        referred_id=referrals.referred_id,
        tie=referrals.tie,
        type_one_share=p,
        value=value,
        type_one=one,
        type_two=two,
        credit=one + two,
        credit_low=low,
        credit_high=high,
        credit_sd=spread(one + two, low, high, purchases, valuation.interval),
        expected_purchases=purchases,
        provenance=referrals.provenance,
    )
    shared = _Sharing(referrals.tree(), deeper_share * p)
    kept = {name: shared.kept(amounts) for name, amounts in (("type_one", one), ("type_two", two))}
    kept["crv"] = kept["type_one"] + kept["type_two"]
    if draws is None:
        kept |= _bounded(credits, shared, kept["crv"], valuation.interval, together)
    else:
        drawn = shared.kept(np.add(*both(hers(_checked_draws(draws, len(ids))))))
        levels = [(1 - valuation.interval) / 2, (1 + valuation.interval) / 2]
        kept["crv_low"], kept["crv_high"] = np.quantile(drawn, levels, axis=0)
        kept["crv_sd"] = drawn.std(axis=0)
    kept["given"] = shared.own(one + two)
    kept["expected_purchases"] = shared.reached_by(purchases)

    people = shared.tree.people
    direct, below = shared.counts()
    extra = people[(positions(people, ids) < 0) & (direct > 0)]
    everyone = np.concatenate([ids, extra]) if len(extra) else ids
    place = positions(everyone, people)

    def lifted(values: NDArray[Any]) -> NDArray[Any]:
        return np.where(place >= 0, values[place], 0) if len(people) else np.zeros(len(everyone), dtype=values.dtype)

    notes = (
        "referral value is a part of the referred customers' own value, credited to those who brought them: it is not "
        "to be added to the value of the base",
        *([_UNDATED] if valuation.provenance.as_of is None and not np.all(np.isnat(referrals.at)) else ()),
        *_counted(found < 0, "referred customers have no valuation and are credited with 0"),
        *_counted(np.ones(len(extra), dtype=bool), "referrers have no valuation; their rows come last"),
    )
    return ReferralValue(
        customer_id=everyone,
        referred=lifted(direct),
        deeper=lifted(below - direct),
        **{name: lifted(values) for name, values in kept.items()},
        credits=credits,
        interval=valuation.interval,
        together=together,
        currency=valuation.currency,
        provenance=valuation.provenance.with_notes(*referrals.provenance.notes, *notes),
    )


class _Sharing:
    """How the credit of each referral is shared among those above it.

    ``pass_on`` holds, by referral, the share of what the referred customer's own referrals bring that she passes up.
    """

    def __init__(self, tree: ReferralTree, pass_on: FloatColumn) -> None:
        self.tree = tree
        self.brought = tree.row >= 0
        self.share = self.own(pass_on)
        order = np.argsort(-tree.depth, kind="stable")
        ends = np.flatnonzero(np.diff(tree.depth[order])) + 1
        self.levels = [rows for rows in np.split(order, ends) if len(rows) and tree.depth[rows[0]] > 0]

    def own(self, by_referral: NDArray[Any]) -> NDArray[Any]:
        """By person what the referral that brought her holds, 0 for those whom nobody brought (last axis)."""
        out = np.zeros((*by_referral.shape[:-1], len(self.tree.people)), dtype=by_referral.dtype)
        out[..., self.brought] = by_referral[..., self.tree.row[self.brought]]
        return out

    def inflow(self, own: FloatColumn, share: FloatColumn) -> FloatColumn:
        """What reaches each person from below: ``own`` of each whom she brought, and ``share`` of what reaches those.

        The deepest come first, so that each level is complete before it passes anything on.
        """
        down = np.zeros_like(own.T)
        passed = own.T
        for rows in self.levels:
            weight = share[rows].reshape(-1, *[1] * (passed.ndim - 1))
            np.add.at(down, self.tree.parent[rows], passed[rows] + weight * down[rows])
        return np.asarray(down.T)

    def kept(self, by_referral: FloatColumn, *, power: int = 1) -> FloatColumn:
        """What each person keeps; the sum is that of the referrals. ``power=2`` does it to variances."""
        keep = np.where(self.brought, 1 - self.share, 1.0)
        return np.asarray(self.inflow(self.own(by_referral), self.share**power) * keep**power)

    def reached_by(self, by_referral: FloatColumn) -> FloatColumn:
        """The sum over all referrals that each person keeps something of, each in full."""
        sums = self.inflow(self.own(by_referral), (self.share > 0).astype(np.float64))
        return np.asarray(np.where(self.brought & (self.share >= 1), 0.0, sums))

    def counts(self) -> tuple[IntColumn, IntColumn]:
        """How many each person brought, and how many hang below her in all."""
        direct = np.bincount(self.tree.parent[self.brought], minlength=len(self.brought))
        below = self.inflow(self.brought.astype(np.float64), np.ones(len(self.brought)))
        return direct.astype(np.int64), below.astype(np.int64)


def _bounded(
    credits: ReferralCredits, shared: _Sharing, crv: FloatColumn, interval: float, together: bool
) -> dict[str, FloatColumn]:
    sd = credits.credit_sd
    kept_sd = shared.kept(sd) if together else np.sqrt(shared.kept(sd**2, power=2))
    alone = shared.reached_by((sd > 0).astype(np.float64)) <= 1
    low, high = shared.kept(credits.credit_low), shared.kept(credits.credit_high)
    purchases = shared.reached_by(credits.expected_purchases)
    low, high = bounds_of_sums(crv, kept_sd, low, high, purchases, alone | together, interval)
    return {"crv_low": low, "crv_high": high, "crv_sd": kept_sd}


def spread(
    center: FloatColumn, low: FloatColumn, high: FloatColumn, purchases: FloatColumn, interval: float
) -> FloatColumn:
    """A standard deviation from an expectation and bounds: the mean square of the half-widths in normal quantiles.

    Bounds say little of rare large values, so it is at least that of a Poisson number of exponential amounts with that
    expectation, ``center sqrt(2 / purchases)``; and where the upper bound lies below the expectation, at least
    ``(center - high) sqrt((1 - a) / a)``, a = (1 - interval) / 2, the least that such a distribution can have.
    """
    from scipy.special import ndtri

    tail = (1 - interval) / 2
    up, down = high - center, center - low
    even = np.sqrt((np.maximum(up, 0) ** 2 + np.maximum(down, 0) ** 2) / 2) / float(ndtri(1 - tail))
    rare = np.abs(center) * np.sqrt(np.divide(2.0, purchases, out=np.zeros(len(center)), where=purchases > 0))
    least = np.maximum(-up, 0) * np.sqrt((1 - tail) / tail)
    sure = (low == center) & (high == center)
    return np.asarray(np.where(sure, 0.0, np.maximum(np.maximum(even, rare), least)))


def bounds_of_sums(
    center: FloatColumn,
    sd: FloatColumn,
    low: FloatColumn,
    high: FloatColumn,
    purchases: FloatColumn,
    exact: BoolColumn,
    interval: float,
) -> tuple[FloatColumn, FloatColumn]:
    """Bounds of sums by their first two moments; ``low`` and ``high``, the sums of the bounds, where they are exact.

    Where nothing is lost at the bounds: 0 with the probability exp(-purchases) that nobody buys, else gamma. Elsewhere
    normal.
    """
    from scipy.special import gammaincinv, ndtri

    levels = np.array([[1 - interval], [1 + interval]]) / 2
    normal = center + sd * ndtri(levels)
    buys = -np.expm1(-purchases)
    mean = np.divide(center, buys, out=np.zeros(len(center)), where=buys > 0)
    variance = np.divide(center**2 + sd**2, buys, out=np.zeros(len(center)), where=buys > 0) - mean**2
    skew = (low >= 0) & (mean > 0) & (variance > 1e-6 * mean**2)
    shape = np.divide(mean**2, variance, out=np.ones(len(center)), where=skew)
    rank = 1 - (1 - levels) / np.where(skew, buys, 1.0)
    gamma = gammaincinv(shape, np.maximum(rank, 0.0)) * (mean / shape)
    found = np.where(exact, np.stack([low, high]), np.where(skew, gamma, normal))
    return found[0], found[1]


def positions(wanted: TextColumn, ids: TextColumn) -> IntColumn:
    """Where each wanted id stands among ``ids``; -1 where it does not."""
    order = np.argsort(ids, kind="stable")
    ranked = ids[order]
    if np.any(ranked[1:] == ranked[:-1]):
        raise ModelError(
            "a table in which a customer has two rows",
            rule="value is added up by customer, who has one row",
            remedy="appraise one base in which each customer stands once",
        )
    if not len(ids):
        return np.full(len(wanted), -1, dtype=np.int64)
    spot = np.minimum(np.searchsorted(ranked, wanted), len(ids) - 1)
    return np.where(ranked[spot] == wanted, order[spot], -1)


def _shares(given: Any, referrals: Referrals) -> FloatColumn:
    """The type-one share of each referral."""
    if isinstance(given, Mapping):
        strange = [tie for tie in given if tie not in TIES]
        lacking = [tie for tie in dict.fromkeys(referrals.tie.tolist()) if tie not in given]
        if strange or lacking:
            raise ConfigError(
                f"type_one_share with the ties {', '.join(map(repr, given)) or 'none'}",
                rule="shares by tie are given for every tie that occurs",
                remedy=nearest(strange[0], TIES) if strange else f"add {', '.join(map(repr, lacking))}",
            )
        shares = np.asarray([given[tie] for tie in referrals.tie.tolist()], dtype=np.float64)
    elif np.ndim(given) == 0:
        shares = np.full(len(referrals), float(given))
    else:
        shares = np.asarray(given, dtype=np.float64)
    if shares.shape != (len(referrals),):
        raise ConfigError(
            f"type_one_share of shape {shares.shape} for {len(referrals):,} referrals",
            rule="one number, one for each tie, or one for each referral",
            remedy="pass a number from 0 to 1 to begin with",
        )
    wrong = ~((shares >= 0) & (shares <= 1))
    if wrong.any():
        raise ConfigError(
            f"type_one_share for referrals, {numbered('row', referrals.line[wrong])}: no probability",
            rule="the share of referred customers who would not have come without lies in [0, 1]",
            remedy="0.6 means six in ten would not have come",
        )
    return shares


def _carried(referrals: Referrals, as_of: str | None, rate: float) -> FloatColumn:
    """What one unit of money on the day of each referral is on the as-of date; 1 where a day is not known."""
    if as_of is None:
        return np.ones(len(referrals))
    days = (np.datetime64(as_of, "D") - referrals.at) / np.timedelta64(1, "D")
    late = days < 0
    if late.any():
        raise ConfigError(
            f"referrals, {numbered('row', referrals.line[late])}: after the as-of date {as_of} of the valuation",
            rule="credit is given for referrals that have happened",
            remedy="pass referrals.until(the as-of date)",
        )
    return np.where(np.isnat(referrals.at), 1.0, np.exp(np.log1p(rate) * np.nan_to_num(days) / _YEAR))


def _checked_draws(draws: Any, customers: int) -> FloatColumn:
    drawn = np.asarray(draws, dtype=np.float64)
    if drawn.ndim != 2 or drawn.shape[1] != customers or not len(drawn) or not np.all(np.isfinite(drawn)):
        raise ConfigError(
            f"draws of shape {drawn.shape} for {customers:,} customers",
            rule="draws are finite, one row a draw, one column a customer of the valuation",
            remedy="draw the values of these customers, in the order of the valuation",
        )
    return drawn


def _counted(which: BoolColumn, what: str) -> tuple[str, ...]:
    return (f"{int(which.sum()):,} {what}",) if which.any() else ()
