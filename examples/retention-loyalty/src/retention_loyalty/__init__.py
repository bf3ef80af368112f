"""For shops with a points card: what the hooks of ``retention`` ask for, and nothing that is heavy to import."""

from retention.plugins import Contribution, hookimpl


@hookimpl
def retention_value_models():
    """One value model."""
    where = "retention_loyalty.value:SteadyRate"
    yield Contribution(name="steady-rate", summary="her own rate, drawn towards the base's", make=where)


@hookimpl
def retention_outreach_strategies():
    """One strategy."""
    where = "retention_loyalty.outreach:DoublePoints"
    yield Contribution(name="double-points", summary="double points within reach of a tier", make=where)


@hookimpl
def retention_contact_policies():
    """One policy."""
    where = "retention_loyalty.outreach:RestAfterRedemption"
    yield Contribution(name="rest-after-redemption", summary="no ask soon after a redemption", make=where)
