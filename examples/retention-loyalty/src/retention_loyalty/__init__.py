"""For shops with a points card: what the hooks of ``retention`` ask for, and nothing that is heavy to import."""

from retention.plugins import Contribution, hookimpl


def _steady_rate(**options):
    from retention_loyalty.value import SteadyRate

    return SteadyRate(**options)


def _double_points(**options):
    from retention_loyalty.outreach import DoublePoints

    return DoublePoints(**options)


def _rest_after_redemption(**options):
    from retention_loyalty.outreach import RestAfterRedemption

    return RestAfterRedemption(**options)


@hookimpl
def retention_value_models():
    """One value model."""
    yield Contribution(name="steady-rate", summary="her own rate, drawn towards the base's", make=_steady_rate)


@hookimpl
def retention_outreach_strategies():
    """One strategy."""
    yield Contribution(name="double-points", summary="double points within reach of a tier", make=_double_points)


@hookimpl
def retention_contact_policies():
    """One policy."""
    yield Contribution(
        name="rest-after-redemption", summary="no ask soon after a redemption", make=_rest_after_redemption
    )
