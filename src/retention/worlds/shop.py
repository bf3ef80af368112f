"""The recipe of a simulated shop: who its customers are, what it sells, and how contacts work on them."""

import datetime as dt
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import attrs
from attrs import field, frozen

from retention.errors import ConfigError, nearest
from retention.worlds.truth import KINDS

if TYPE_CHECKING:
    from retention.worlds.world import World

__all__ = ["Persona", "Category", "Shop"]


def _in_range(low: float, high: float, *, whole: bool = False) -> Any:
    def check(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        for number in value if isinstance(value, tuple) else (value,):
            if not low <= number <= high or (whole and number != int(number)):
                raise ConfigError(
                    f"{type(instance).__name__}.{attribute.name}={value!r}",
                    rule=f"a {'whole ' if whole else ''}number from {low:g} to {high:g}",
                    remedy=f"give {attribute.name} a number in that range",
                )

    return check


_share = _in_range(0.0, 1.0)
_positive = _in_range(1e-9, math.inf)


@frozen(kw_only=True)
class Persona:
    """A kind of customer: a planted segment. Customers of one persona still differ from each other.

    A customer's purchase rate is gamma distributed with mean ``1 / gap_days`` and shape ``rate_shape`` (the larger,
    the more alike). Her gaps are gamma distributed too, around her own mean, with a shape drawn from ``regularity``:
    1 is a Poisson buyer, 12 comes like a clock. Her mean margin is log-normal with median ``margin`` and log
    standard deviation ``margin_spread``; her single purchases scatter around her own mean with ``basket_spread``.
    She leaves after any purchase with probability ``dropout``, or when an exponential lifetime ends.

    ``weekday_habit`` is the probability that a visit moves to her favourite weekday, ``lines`` the mean number of
    lines of an order, ``responsiveness`` multiplies the shop's planted response.
    """

    name: str
    share: float = field(default=1.0, validator=_in_range(0.0, math.inf))
    gap_days: float = field(default=30.0, validator=_positive)
    rate_shape: float = field(default=8.0, validator=_positive)
    regularity: tuple[float, ...] = field(default=(1.0,), validator=_positive)
    margin: float = field(default=10.0, validator=_positive)
    margin_spread: float = field(default=0.3, validator=_in_range(0.0, 5.0))
    basket_spread: float = field(default=0.3, validator=_in_range(0.0, 5.0))
    lines: float = field(default=2.0, validator=_in_range(1.0, 1000.0))
    weekday_habit: float = field(default=0.0, validator=_share)
    lifetime_years: float = field(default=math.inf, validator=_positive)
    dropout: float = field(default=0.0, validator=_share)
    responsiveness: float = field(default=1.0, validator=_in_range(0.0, math.inf))


@frozen(kw_only=True)
class Category:
    """A shelf of the shop: the share of revenue that is margin on it, how popular it is, and what stands there."""

    name: str
    margin_rate: float = field(validator=_in_range(0.01, 1.0))
    weight: float = field(default=1.0, validator=_positive)
    items: tuple[str, ...] = ("assorted",)


PERSONAS = (
    Persona(
        name="quiet_best",
        share=0.06,
        gap_days=330,
        rate_shape=200,
        regularity=(16,),
        margin=900,
        margin_spread=0.2,
        basket_spread=0.15,
        lines=3,
        lifetime_years=12,
        responsiveness=1.5,
    ),
    Persona(
        name="regulars",
        share=0.28,
        gap_days=24,
        rate_shape=12,
        regularity=(4, 6, 9, 12),
        margin=11,
        margin_spread=0.35,
        basket_spread=0.35,
        lines=3,
        weekday_habit=0.6,
        lifetime_years=5,
    ),
    Persona(
        name="noisy",
        share=0.08,
        gap_days=5,
        rate_shape=12,
        margin=0.9,
        margin_spread=0.2,
        basket_spread=0.4,
        lines=1.2,
        lifetime_years=4,
        responsiveness=0.3,
    ),
    Persona(
        name="occasional",
        share=0.38,
        gap_days=80,
        rate_shape=4,
        regularity=(1, 2),
        margin=13,
        margin_spread=0.5,
        basket_spread=0.5,
        weekday_habit=0.3,
        lifetime_years=4,
        dropout=0.03,
    ),
    Persona(name="passers_by", share=0.20, gap_days=150, rate_shape=4, margin=9, margin_spread=0.5, dropout=0.6),
)

CATEGORIES = (
    Category(
        name="Tea", margin_rate=0.55, weight=4, items=("Assam", "Darjeeling", "Earl Grey", "Sencha", "Thé à la menthe")
    ),
    Category(
        name="Coffee", margin_rate=0.35, weight=3, items=("Espresso beans", "Filter roast", "Café crème", "Decaf")
    ),
    Category(name="Spices", margin_rate=0.60, weight=2, items=("Cumin", "Saffron", "Piment d'Espelette", "Vanilla")),
    Category(name="Chocolate", margin_rate=0.45, weight=2, items=("Dark 70 %", "Nougat", "Pralinés", "Hot chocolate")),
    Category(name="Crockery", margin_rate=0.40, weight=1, items=("Teapot", "Cup, blue", "Café set", "Milk jug")),
)

RESPONSE = {"give": 0.12, "ask": 0.08, "thank": 0.05}


def _response(value: Mapping[str, float] | None) -> dict[str, float]:
    return dict.fromkeys(KINDS, 0.0) | dict(value or {})


@frozen(kw_only=True)
class Shop:
    """A recipe; :meth:`simulate` cooks it. The same recipe gives the same world, byte for byte.

    ``response`` plants what contacts do: for each kind the expected number of extra purchases that one contact of
    a living customer causes (negative: purchases driven away); None plants no effect at all. ``returns`` is the
    share of purchases of which some pieces come back, ``cancelled`` the share that follows an order placed and
    cancelled the day before. ``founders`` is the share of customers who are there within the first 90 days; the
    others come evenly until the as-of day. ``opt_in`` is the share who allow each contact channel, ``withdrawn``
    the share of those who take it back at some time. ``beyond_days`` is how far the hidden future reaches.

    Every purpose draws from its own random stream: changing ``returns``, say, moves no purchase. All customers come
    within the known part of the story; none is new in the hidden future.

    Example:
        >>> world = Shop.corner_shop(customers=50, years=1, seed=7).simulate()
        >>> world.as_of
        datetime.date(2009, 12, 31)
        >>> len(world.truth), sorted(set(world.truth.segment.tolist()))[:2]
        (50, ['noisy', 'occasional'])
    """

    customers: int = field(default=400, validator=_in_range(1, 10_000_000, whole=True))
    years: float = field(default=3.0, validator=_in_range(0.1, 100.0))
    start: dt.date = dt.date(2009, 1, 1)
    seed: int = field(default=0, validator=_in_range(0, 2**62, whole=True))
    personas: tuple[Persona, ...] = PERSONAS
    categories: tuple[Category, ...] = CATEGORIES
    channels: Mapping[str, float] = field(factory=lambda: {"counter": 5.0, "web": 3.0, "phone": 1.0}, hash=False)
    response: Mapping[str, float] = field(default=RESPONSE, converter=_response, hash=False)
    returns: float = field(default=0.03, validator=_share)
    cancelled: float = field(default=0.02, validator=_share)
    founders: float = field(default=0.3, validator=_share)
    opt_in: Mapping[str, float] = field(factory=lambda: {"email": 0.6, "phone": 0.35, "post": 0.8}, hash=False)
    withdrawn: float = field(default=0.05, validator=_share)
    newsletters_per_year: int = field(default=4, validator=_in_range(0, 365, whole=True))
    beyond_days: int = field(default=400, validator=_in_range(0, 36_500, whole=True))

    def __attrs_post_init__(self) -> None:
        for kind, lift in self.response.items():
            if kind not in (*KINDS, "wait") or not -1.0 <= lift <= 1.0 or (kind == "wait" and lift):
                raise ConfigError(
                    f"Shop.response has {kind!r}: {lift!r}",
                    rule="extra purchases of one contact, from -1 to 1, by kind; waiting has no effect",
                    remedy=nearest(kind, KINDS),
                )
        weights = (
            ("personas", [p.share for p in self.personas], [p.name for p in self.personas]),
            ("categories", [c.weight for c in self.categories], [c.name for c in self.categories]),
            ("channels", list(self.channels.values()), list(self.channels)),
        )
        for name, shares, names in weights:
            if not sum(shares) > 0 or min(shares) < 0 or len(set(names)) < len(names):
                raise ConfigError(
                    f"Shop.{name} named {names} with weights {shares}",
                    rule="at least one, each with its own name, weights not negative and not all zero",
                    remedy=f"mend the {name}",
                )

    @property
    def as_of(self) -> dt.date:
        """The last day of the story that the shop knows."""
        return self.start + dt.timedelta(days=self.days - 1)

    @property
    def days(self) -> int:
        """Days from the start to the as-of day, both counted."""
        return int(365.25 * self.years)

    @classmethod
    def corner_shop(cls, *, seed: int = 7, **changes: Any) -> Self:
        """A realistic small tea and coffee shop: 350 customers in three years, five planted segments.

        ``quiet_best`` (top profit, at most about one order a year), ``regulars``, ``noisy`` (many tiny orders),
        ``occasional`` and ``passers_by``. Any field of :class:`Shop` can be changed by name.
        """
        return cls(**({"customers": 350, "seed": seed} | changes))

    @classmethod
    def null(cls, **changes: Any) -> Self:
        """The corner shop in a world where contacts change nothing: whoever finds an effect here is wrong."""
        return cls.corner_shop(**({"response": None} | changes))

    @classmethod
    def harmful(cls, **changes: Any) -> Self:
        """The corner shop in a world where every contact drives purchases away."""
        return cls.corner_shop(**({"response": dict.fromkeys(KINDS, -0.15)} | changes))

    def simulate(self) -> "World":
        """The world as it stands when the as-of day closes, its truth and its hidden future with it."""
        from retention.worlds._simulate import tell
        from retention.worlds.world import World

        return World(shop=self, as_of=self.as_of, story=tell(self))
