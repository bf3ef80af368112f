"""Our own stages, registered like anyone's."""

from collections.abc import Iterable

from retention.plugins.contribution import Contribution
from retention.plugins.hooks import hookimpl

__all__: list[str] = []


@hookimpl
def retention_value_models() -> Iterable[Contribution]:
    """The purchase models of this library."""
    from retention import value

    for make, summary in (
        (value.BGNBD, "BG/NBD: a repeat purchase may be the last (Fader, Hardie and Lee 2005)"),
        (value.MBGNBD, "MBG/NBD: so may the first (Batislam, Denizel and Filiztekin 2007)"),
        (value.ParetoNBD, "Pareto/NBD: she may leave at any moment (Schmittlein, Morrison and Colombo 1987)"),
        (value.GGompertzNBD, "gamma-Gompertz/NBD: the hazard of leaving grows (Bemmaor and Glady 2012)"),
        (value.BGCNBD, "BG/CNBD-k: regular purchases (Reutterer, Platzer and Schroeder 2021)"),
        (value.MBGCNBD, "MBG/CNBD-k: regular purchases, and the first may be the last"),
        (value.ParetoGGG, "Pareto/GGG: everyone as regular as she is (Platzer and Reutterer 2016)"),
        (value.NBD, "NBD: nobody leaves (Ehrenberg 1959)"),
        (value.BGBB, "BG/BB: an occasion a period (Fader, Hardie and Shang 2010)"),
    ):
        yield Contribution(name=make.NAME, summary=summary, make=make)
    yield Contribution(
        name="auto", summary="whichever of four predicts this base's customers best, and why", make=value.AutoModel
    )


@hookimpl
def retention_tiering_rules() -> Iterable[Contribution]:
    """The tiering rules of this library."""
    from retention.tiers import MarginBands

    yield Contribution(name="margin-bands", summary="bands on expected margin", make=MarginBands)


@hookimpl
def retention_outreach_strategies() -> Iterable[Contribution]:
    """The strategies of this library."""
    from retention.plan import CheckIn, Handover, NextConnection, NextTier, ThankQuietBest, WinBack, read_offers

    yield Contribution(name="check-in-overdue", summary="check in with the overdue valuable", make=CheckIn)
    yield Contribution(name="next-connection", summary="be there before she looks around", make=NextConnection)
    yield Contribution(name="next-tier-within-reach", summary="ask those near the next tier", make=NextTier)
    yield Contribution(name="thank-the-quiet-best", summary="thank the quiet best", make=ThankQuietBest)
    yield Contribution(name="handover", summary="hand over whom nobody can keep", make=Handover)
    yield Contribution(name="win-back", summary="win back whom the base has lost", make=WinBack, default=False)
    yield Contribution(
        name="offers", summary="offers written as data", make=lambda **told: read_offers(told), default=False
    )


@hookimpl
def retention_contact_policies() -> Iterable[Contribution]:
    """The contact policies of this library."""
    from retention.plan.policies import (
        ConsentPolicy,
        Deceased,
        DoNotContact,
        FrequencyCap,
        GivesBeforeAsk,
        MinimumGap,
        OpenComplaint,
        QuietHours,
        Saturation,
        UncontrollableCause,
    )

    yield Contribution(name="consent", summary="no consent on file, no contact", make=ConsentPolicy)
    yield Contribution(name="do-not-contact", summary="never those who asked not to be", make=DoNotContact)
    yield Contribution(name="deceased", summary="no contact of any kind with who has died", make=Deceased)
    yield Contribution(
        name="uncontrollable-cause",
        summary="a handover, no save money, for who cannot be kept",
        make=UncontrollableCause,
    )
    yield Contribution(name="open-complaint", summary="nothing while a complaint is open", make=OpenComplaint)
    yield Contribution(name="frequency-cap", summary="at most so many contacts in a rolling window", make=FrequencyCap)
    yield Contribution(name="minimum-gap", summary="at least so many days between contacts", make=MinimumGap)
    yield Contribution(
        name="quiet-hours",
        summary="not at night, on Sundays, on holidays: by her clock",
        make=QuietHours,
        default=False,
    )
    yield Contribution(
        name="gives-before-ask", summary="two gives come before an ask", make=GivesBeforeAsk, default=False
    )
    yield Contribution(name="saturation", summary="as many contacts as she answers to", make=Saturation, default=False)
