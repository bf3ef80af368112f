"""Our own stages, registered like anyone's."""

from collections.abc import Iterable

from retention.plugins.contribution import Contribution
from retention.plugins.hooks import hookimpl

__all__: list[str] = []


@hookimpl
def retention_value_models() -> Iterable[Contribution]:
    """The purchase models of this library."""
    from retention.value import BGNBD

    yield Contribution(
        name="bg-nbd", summary="BG/NBD purchases x gamma-gamma margin (Fader, Hardie and Lee 2005)", make=BGNBD
    )


@hookimpl
def retention_tiering_rules() -> Iterable[Contribution]:
    """The tiering rules of this library."""
    from retention.tiers import MarginBands

    yield Contribution(name="margin-bands", summary="bands on expected margin", make=MarginBands)


@hookimpl
def retention_outreach_strategies() -> Iterable[Contribution]:
    """The strategies of this library."""
    from retention.plan import CheckIn, NextTier, ThankQuietBest

    yield Contribution(name="check-in-overdue", summary="check in with the overdue valuable", make=CheckIn)
    yield Contribution(name="next-tier-within-reach", summary="ask those near the next tier", make=NextTier)
    yield Contribution(name="thank-the-quiet-best", summary="thank the quiet best", make=ThankQuietBest)


@hookimpl
def retention_contact_policies() -> Iterable[Contribution]:
    """The contact policies of this library."""
    from retention.plan import ConsentPolicy, DoNotContact, FrequencyCap, MinimumGap, OpenComplaint

    yield Contribution(name="consent", summary="no consent on file, no contact", make=ConsentPolicy)
    yield Contribution(name="do-not-contact", summary="never those who asked not to be", make=DoNotContact)
    yield Contribution(name="open-complaint", summary="nothing while a complaint is open", make=OpenComplaint)
    yield Contribution(name="frequency-cap", summary="at most so many contacts in a rolling window", make=FrequencyCap)
    yield Contribution(name="minimum-gap", summary="at least so many days between contacts", make=MinimumGap)
