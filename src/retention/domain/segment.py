"""Groups of customers: free ones, and ranked ones."""

from attrs import field, frozen

from retention.domain._checks import not_blank

__all__ = ["Segment", "Tier"]


@frozen(kw_only=True)
class Segment:
    """A named group of customers."""

    name: str = field(validator=not_blank)
    customer_ids: frozenset[str] = frozenset()

    def __contains__(self, customer_id: object) -> bool:
        return customer_id in self.customer_ids


@frozen(kw_only=True, order=False)
class Tier:
    """A named rank; rank 0 is the lowest, and ``floor`` is the least expected margin that earns it."""

    name: str = field(validator=not_blank)
    rank: int
    floor: float
