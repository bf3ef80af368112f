"""How to serve each customer: by what she is worth with those she brings, not by what she pays at one visit."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Self

import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError, ModelError
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Table, TextColumn, column
from retention.value.referrals.sums import Chances, Valued
from retention.value.referrals.tables import ReferralValue

__all__ = ["TotalValue", "ServiceRule", "ServiceClasses", "total_value", "service_class"]


@frozen(eq=False, repr=False, kw_only=True)
class TotalValue(Table):
    """Total customer value: her own lifetime value (CLV) and her referral value (CRV). One row a customer.

    It is for comparing customers with each other. Summed over the base it would count the referred twice, once as
    themselves and once through those who brought them; ``attributed`` takes that out again and adds up to the
    value of the base.
    """

    customer_id: TextColumn = column("who")
    clv: FloatColumn = column("her own value", unit="money")
    crv: FloatColumn = column("her referral value", unit="money")
    total: FloatColumn = column("both", unit="money")
    total_low: FloatColumn = column("lower bound of the total", unit="money")
    total_high: FloatColumn = column("upper bound of the total", unit="money")
    attributed: FloatColumn = column("the total less what others are credited with for bringing her", unit="money")

    interval: float
    currency: str | None = None

    def base(self) -> float:
        """What the base is worth: each customer's own value, once."""
        return float(self.clv.sum())

    def plot(self, ax: Any = None) -> Any:
        """Draw referral value against own value; lines join equal totals."""
        ax = axes(ax)
        ax.scatter(self.clv, self.crv, s=12, color="#1f5f8b", alpha=0.6, linewidth=0)
        top = float(self.total.max(initial=0.0))
        for level in np.linspace(top / 4, top, 4) if top > 0 else ():
            ax.plot([0, level], [level, 0], color="0.7", linewidth=0.8, zorder=0)
        money = f" ({self.currency})" if self.currency else ""
        ax.set(xlabel=f"her own value{money}", ylabel=f"value of those she brought{money}")
        ax.set_title(f"{len(self):,} customers; along a line the total is the same", fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
        return ax


@frozen(kw_only=True)
class ServiceRule:
    """The classes of service, the best first, and what it takes to be in each.

    Exactly one of the two: ``shares``, the part of the base that each class takes from the top, or ``floors``, the
    least total value. Everybody else is in ``rest``.

    Example:
        >>> ServiceRule(shares={"queen": 0.05, "valued": 0.20}).classes
        ('queen', 'valued', 'standard')
    """

    shares: Mapping[str, float] = field(factory=dict, hash=False)
    floors: Mapping[str, float] = field(factory=dict, hash=False)
    rest: str = "standard"

    def __attrs_post_init__(self) -> None:
        shares, floors = list(self.shares.values()), list(self.floors.values())
        rules = (
            (bool(shares) != bool(floors), "classes are made by shares or by floors", "pass one of the two"),
            (self.rest not in {**self.shares, **self.floors}, "the rest is a class of its own", "rename one of them"),
            (
                all(s > 0 for s in shares) and sum(shares) <= 1,
                "shares are positive and sum to at most 1",
                "0.05 is 5 %",
            ),
            (
                bool(np.all(np.isfinite(floors))) and all(a > b for a, b in pairwise(floors)),
                "floors fall from the best class to the next",
                "write the best class first",
            ),
        )
        for good, rule, remedy in rules:
            if not good:
                raise ConfigError(
                    f"ServiceRule(shares={dict(self.shares)}, floors={dict(self.floors)}, rest={self.rest!r})",
                    rule=rule,
                    remedy=remedy,
                )

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes, the best first."""
        return (*self.shares, *self.floors, self.rest)

    def floors_for(self, total: FloatColumn) -> list[float]:
        """The least total value of each class but the rest, in a base with these totals.

        Customers of equal value are treated alike: who would be cut off from her equals by a share goes into the
        lower class with all of them.
        """
        if self.floors:
            return list(self.floors.values())
        best_first = np.sort(total)[::-1]
        floors = []
        for part in np.cumsum(list(self.shares.values())):
            count = int(np.floor(part * len(total) + 1e-9))
            # The next one's value is not enough; the smallest number above it is.
            floors.append(float(np.nextafter(best_first[count], np.inf)) if count < len(total) else -np.inf)
        return floors


@frozen(eq=False, repr=False, kw_only=True)
class ServiceClasses(Table):
    """One row a customer: her class of service, her rank, and whether the class is beyond doubt."""

    customer_id: TextColumn = column("who")
    service_class: TextColumn = column("how she is served")
    rank: IntColumn = column("1 is the highest total value; equals share a rank", unit="count")
    total: FloatColumn = column("own and referral value", unit="money")
    sure: BoolColumn = column("both bounds of her total are in the same class")

    rule: ServiceRule

    def counts(self) -> dict[str, int]:
        """How many customers each class has, the best first."""
        return {name: int(np.count_nonzero(self.service_class == name)) for name in self.rule.classes}

    def members(self, service_class: str) -> Self:
        """The customers of one class."""
        return self.take(self.service_class == service_class)


def total_value(valuation: Valued, crv: ReferralValue) -> TotalValue:
    """Add up what each customer is worth herself and through those she brought.

    One row for each row of ``crv`` (made from this valuation): customers, then referrers who never bought, whose own
    value is 0. The bounds take her own value and that of the referred to be independent, unless ``crv`` was made with
    ``together``; then the bounds add up. Raises ModelError if ``crv`` was made from another valuation.

    Source: Kumar, Petersen and Leone 2007, Harvard Business Review 85(10): customers with the highest lifetime value
    are not those with the highest referral value, so neither alone says whom to treat best.
    """
    n = len(valuation.customer_id)
    if not np.array_equal(crv.customer_id[:n], valuation.customer_id) or crv.interval != valuation.interval:
        raise ModelError(
            "a valuation and a referral value of different bases",
            rule="both are of the same customers and have the same interval",
            remedy="pass the valuation that credit_referrals was given",
        )

    own = Chances.of(valuation).take(np.minimum(np.arange(len(crv)), n - 1), np.arange(len(crv)) >= n)
    both = (own.sd > 0) & (crv.crv_sd > 0)
    sums = Chances(
        mean=own.mean + crv.crv_mean,
        sd=np.hypot(own.sd, crv.crv_sd),
        low=own.low + crv.crv_low,
        high=own.high + crv.crv_high,
        idle=own.idle + crv.crv_idle,
        silent=own.silent * crv.p_silent,
    )
    low, high = sums.bounds(~both | crv.together, valuation.interval)
    total = own.mean + crv.crv
    return TotalValue(
        customer_id=crv.customer_id,
        clv=own.mean,
        crv=crv.crv,
        total=total,
        total_low=low,
        total_high=high,
        attributed=total - crv.given,
        interval=valuation.interval,
        currency=valuation.currency,
        provenance=crv.provenance,
    )


def service_class(total: TotalValue, rule: ServiceRule | None = None) -> ServiceClasses:
    """Decide how each customer is served, by her total value.

    The amount of one ticket plays no part. ``rule`` is by default the top 5 % ("queen"), the next 20 % ("valued") and
    the rest ("standard"). A class by shares never takes more than its share: equals at the edge go below together.

    Example:
        >>> totals = TotalValue(
        ...     customer_id=np.array(["big", "small"]), clv=np.array([60.0, 208.0]), crv=np.array([0.0, 900.0]),
        ...     total=np.array([60.0, 1108.0]), total_low=np.array([0.0, 500.0]), total_high=np.array([400.0, 2000.0]),
        ...     attributed=np.array([60.0, 1108.0]), interval=0.9)
        >>> service_class(totals, ServiceRule(floors={"queen": 450.0})).service_class.tolist()
        ['standard', 'queen']
    """
    rule = ServiceRule(shares={"queen": 0.05, "valued": 0.20}) if rule is None else rule
    floors = np.asarray(rule.floors_for(total.total))
    names = np.asarray(rule.classes)

    def level(values: FloatColumn) -> IntColumn:
        """0 for the best class."""
        return np.asarray(len(floors) - np.searchsorted(np.sort(floors), values, side="right"), dtype=np.int64)

    best_first = np.sort(-total.total)
    return ServiceClasses(
        customer_id=total.customer_id,
        service_class=names[level(total.total)],
        rank=np.searchsorted(best_first, -total.total, side="left").astype(np.int64) + 1,
        total=total.total,
        sure=level(total.total_low) == level(total.total_high),
        rule=rule,
        provenance=total.provenance,
    )
