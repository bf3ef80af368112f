"""Whether the arguments of ``read_transactions`` make sense together, before anything is opened."""

from zoneinfo import ZoneInfo

from retention.errors import ConfigError
from retention.records._numbers import BIGGEST


def checked(
    revenue: str | None,
    quantity: str | None,
    unit_price: str | None,
    margin: object,
    cost: str | None,
    day_first: object,
    duplicates: str,
    time_zone: str | None,
    max_amount: object,
) -> ZoneInfo | None:
    """Refuse arguments that contradict each other; the zone that is named, if one is."""
    if (revenue is None) == (unit_price is None) or (unit_price is not None and quantity is None):
        given = {"revenue": revenue, "quantity": quantity, "unit_price": unit_price}
        raise ConfigError(
            f"read_transactions got {', '.join(f'{k}={v!r}' for k, v in given.items())}",
            rule="the money of a line is one column (revenue), or the product of two (quantity and unit_price)",
            remedy="name revenue, or name both quantity and unit_price",
        )
    if margin is not None and cost is not None:
        raise ConfigError(
            "both margin and cost are given", rule="margin is given, or follows from cost", remedy="leave one out"
        )
    if margin is not None and not isinstance(margin, str):
        is_rate = isinstance(margin, int | float) and not isinstance(margin, bool) and 0 < margin <= 1
        if not is_rate:
            raise ConfigError(
                f"margin={margin!r}",
                rule="margin is a column's name or a rate of revenue above 0 and at most 1",
                remedy="write 0.35 for 35 percent",
            )
    if duplicates not in ("keep", "drop"):
        raise ConfigError(
            f"duplicates={duplicates!r}", rule="duplicates are 'keep' or 'drop'", remedy="choose one of the two"
        )
    check_day_first(day_first)
    if isinstance(max_amount, bool) or not isinstance(max_amount, int | float) or not 0 < max_amount <= BIGGEST:
        raise ConfigError(
            f"max_amount={max_amount!r}", rule=f"above 0 and at most {BIGGEST:,}", remedy="leave it at 1e9"
        )
    if time_zone is None:
        return None
    try:
        return ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError, TypeError) as problem:
        raise ConfigError(
            f"time_zone={time_zone!r}",
            rule="a zone of the IANA list",
            remedy="write it like 'Europe/Berlin' (on Windows install tzdata)",
        ) from problem


def check_day_first(day_first: object) -> None:
    """It is a yes, a no or nothing."""
    if day_first not in (None, True, False):
        raise ConfigError(
            f"day_first={day_first!r}", rule="day_first is true, false or left out", remedy="write true or false"
        )
