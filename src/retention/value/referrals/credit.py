"""What the customers that she brought are worth, credited to her: once, and never more than they are worth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError, ModelError, nearest
from retention.frames.table import BoolColumn, FloatColumn
from retention.records.referrals import TIES, Referrals, numbered
from retention.value.positions import positions
from retention.value.referrals.sharing import Sharing
from retention.value.referrals.sums import Chances, Valued
from retention.value.referrals.tables import ReferralCredits, ReferralValue

__all__ = ["credit_referrals"]

_YEAR = 365.0
_UNDATED = "the valuation has no as-of date: acquisition costs saved in the past count as if saved today"


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
    to be independent, means and variances of their credits add up, and the sum has a mass where nobody buys anything
    and a skewed distribution beside (normal with losses among it). Simulated sums of 2 to 20 newcomers were held by 91
    to 94 % of their 90 % intervals; and by 95 to 97 % where more than 5 % of them are nothing at all, which no lower
    bound can leave out. A valuation without ``value_sd`` and ``p_purchase`` has its variances made from bounds and
    expected purchases, which is rougher.
    Type two is capped by what she *will* bring in the bounds, by what is *expected* of her in the credit, so the credit
    of many may lie above the middle of its bounds. ``together=True`` adds the bounds up instead, as if all did well or
    badly at once: friends may leave as friends. ``draws`` of the values (one row a draw, one column a customer of the
    valuation) replace all that by quantiles of the credited draws, and are as exact as the draws are.

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

    def both(values: FloatColumn, rows: Any) -> tuple[FloatColumn, FloatColumn]:
        """The two types' credits of these referrals for referred customers of such values (last axis)."""
        two = np.clip(saved[rows] + late * values, np.minimum(values, 0.0), np.maximum(values, 0.0))
        return p[rows] * values, (1 - p[rows]) * two

    def credited(values: FloatColumn, rows: Any) -> FloatColumn:
        return np.add(*both(values, rows))

    hers = Chances.of(valuation).take(found, found < 0)
    one, two = both(hers.mean, slice(None))
    may = hers.through(credited, linear=(p == 1) | (saved == 0))
    credits = ReferralCredits(
        referrer_id=referrals.referrer_id,
        referred_id=referrals.referred_id,
        tie=referrals.tie,
        type_one_share=p,
        value=hers.mean,
        type_one=one,
        type_two=two,
        credit=one + two,
        credit_low=may.low,
        credit_high=may.high,
        credit_sd=may.sd,
        credit_mean=may.mean,
        credit_idle=may.idle,
        p_silent=may.silent,
        provenance=referrals.provenance,
    )
    shared = Sharing(referrals.tree(), deeper_share * p)
    kept = {name: shared.kept(amounts) for name, amounts in (("type_one", one), ("type_two", two))}
    kept["crv"] = kept["type_one"] + kept["type_two"]
    sums = _summed(may, shared, together)
    kept |= {"crv_sd": sums.sd, "crv_mean": sums.mean, "crv_idle": sums.idle, "p_silent": sums.silent}
    if draws is None:
        alone = shared.reached_by((may.sd > 0).astype(np.float64)) <= 1
        kept["crv_low"], kept["crv_high"] = sums.bounds(alone | together, valuation.interval)
    else:
        values = _checked_draws(draws, len(ids))
        values = np.where(found >= 0, values[:, found], 0.0) if len(ids) else np.zeros((len(values), len(found)))
        drawn = shared.kept(credited(values, slice(None)))
        levels = [(1 - valuation.interval) / 2, (1 + valuation.interval) / 2]
        kept["crv_low"], kept["crv_high"] = np.quantile(drawn, levels, axis=0)
        kept |= {"crv_sd": drawn.std(axis=0), "crv_mean": drawn.mean(axis=0)}
        kept["p_silent"] = np.mean(drawn == sums.idle, axis=0)
    kept["given"] = shared.own(one + two)

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
        **{name: lifted(values) for name, values in kept.items()} | {"p_silent": 1 - lifted(1 - kept["p_silent"])},
        credits=credits,
        interval=valuation.interval,
        together=together,
        currency=valuation.currency,
        provenance=valuation.provenance.with_notes(*referrals.provenance.notes, *notes),
    )


def _summed(may: Chances, shared: Sharing, together: bool) -> Chances:
    """What may come of what each person keeps of all credits."""
    mean, low, high, idle = (shared.kept(values) for values in (may.mean, may.low, may.high, may.idle))
    sd = shared.kept(may.sd) if together else np.sqrt(shared.kept(may.sd**2, power=2))
    silent = np.exp(shared.reached_by(np.log(np.maximum(may.silent, 1e-300))))
    return Chances(mean, sd, low, high, idle, silent)


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
