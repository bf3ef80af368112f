"""Our own stages, registered like anyone's by where they are: none is imported until its name is chosen."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from attrs import field, frozen

from retention.plugins.contribution import Contribution, Imported
from retention.plugins.hooks import hookimpl

__all__: list[str] = []


_PURCHASES = (
    ("bg-nbd", "BGNBD", "BG/NBD: a repeat purchase may be the last (Fader, Hardie and Lee 2005)"),
    ("mbg-nbd", "MBGNBD", "MBG/NBD: so may the first (Batislam, Denizel and Filiztekin 2007)"),
    ("pareto-nbd", "ParetoNBD", "Pareto/NBD: she may leave at any moment (Schmittlein, Morrison and Colombo 1987)"),
    ("ggompertz-nbd", "GGompertzNBD", "gamma-Gompertz/NBD: the hazard of leaving grows (Bemmaor and Glady 2012)"),
    ("bg-cnbd-k", "BGCNBD", "BG/CNBD-k: regular purchases (Reutterer, Platzer and Schroeder 2021)"),
    ("mbg-cnbd-k", "MBGCNBD", "MBG/CNBD-k: regular purchases, and the first may be the last"),
    ("pareto-ggg", "ParetoGGG", "Pareto/GGG: everyone as regular as she is (Platzer and Reutterer 2016)"),
    ("nbd", "NBD", "NBD: nobody leaves (Ehrenberg 1959)"),
    ("bg-bb", "BGBB", "BG/BB: an occasion a period (Fader, Hardie and Shang 2010)"),
)
_STRATEGIES = (
    ("check-in-overdue", "CheckIn", "check in with the overdue valuable", True),
    ("next-connection", "NextConnection", "be there before she looks around", True),
    ("next-tier-within-reach", "NextTier", "ask those near the next tier", True),
    ("thank-the-quiet-best", "ThankQuietBest", "thank the quiet best", True),
    ("handover", "Handover", "hand over whom nobody can keep", True),
    ("win-back", "WinBack", "win back whom the base has lost", False),
)
_POLICIES = (
    ("consent", "ConsentPolicy", "no consent on file, no contact", True),
    ("do-not-contact", "DoNotContact", "never those who asked not to be", True),
    ("deceased", "Deceased", "no contact of any kind with who has died", True),
    ("uncontrollable-cause", "UncontrollableCause", "a handover, no save money, for who cannot be kept", True),
    ("open-complaint", "OpenComplaint", "nothing while a complaint is open", True),
    ("frequency-cap", "FrequencyCap", "at most so many contacts in a rolling window", True),
    ("minimum-gap", "MinimumGap", "at least so many days between contacts", True),
    ("quiet-hours", "QuietHours", "not at night, on Sundays, on holidays: by her clock", False),
    ("gives-before-ask", "GivesBeforeAsk", "two gives come before an ask", False),
    ("saturation", "Saturation", "as many contacts as she answers to", False),
)


@frozen
class Receipts:
    """Invoice lines from a file or a frame, by ``rt.read_transactions``."""

    name: str = field(default="receipts", init=False)

    @property
    def read(self) -> Callable[..., Any]:
        """``read_transactions`` as it is."""
        from retention.records import read_transactions

        return read_transactions


def _clock(recipe: Callable[..., Any], **options: Any) -> Any:
    from retention.timing import PurchaseClock

    return PurchaseClock(recipe(**options))


def _offers(**told: Any) -> Any:
    from retention.plan import read_offers

    return read_offers(told)


@frozen
class Scan:
    """Transactions that stay where they are, by ``rt.scan_transactions``: the engine that holds them works them out."""

    name: str = field(default="scan", init=False)

    @property
    def read(self) -> Callable[..., Any]:
        """``scan_transactions`` as it is."""
        from retention.records import scan_transactions

        return scan_transactions


@hookimpl
def retention_readers() -> Iterable[Contribution]:
    """The readers of this library."""
    yield Contribution(name="receipts", summary="invoice lines from a file or a frame, by columns", make=Receipts)
    yield Contribution(
        name="scan", summary="clean tables that stay in their engine: Parquet folders, databases, Spark", make=Scan
    )


@hookimpl
def retention_value_models() -> Iterable[Contribution]:
    """The purchase models of this library, and the choice among them; and those of well-kept libraries."""
    for name, model, summary in _PURCHASES:
        yield Contribution(name=name, summary=summary, make=f"retention.value:{model}")
    yield Contribution(
        name="auto",
        summary="whichever of four predicts this base's customers best, and why",
        make="retention.value:AutoModel",
    )
    for name, model, summary in (
        ("sklearn", "SklearnModel", "any regressor of scikit-learn, learned from the log"),
        ("pymc-marketing", "PyMCModel", "a model of pymc-marketing, fitted there"),
    ):
        yield Contribution(name=name, summary=summary, make=f"retention.guests:{model}", default=False)


@hookimpl
def retention_timings() -> Iterable[Contribution]:
    """The clocks of this library: the log-t renewal, and every purchase model."""
    yield Contribution(
        name="log-t", summary="log-t renewal: each customer's own gaps, pauses, a cycle", make="retention.timing:LogT"
    )
    for name, model, summary in _PURCHASES:
        yield Contribution(name=name, summary=summary, make=partial(_clock, Imported(f"retention.value:{model}")))
    yield Contribution(
        name="lifelines",
        summary="any fitter of lifelines, learned from the gaps in the log",
        make="retention.guests:LifelinesClock",
        default=False,
    )


@hookimpl
def retention_tiering_rules() -> Iterable[Contribution]:
    """The tiering rule of this library."""
    yield Contribution(name="margin-bands", summary="bands on expected margin", make="retention.tiers:MarginBands")


@hookimpl
def retention_outreach_strategies() -> Iterable[Contribution]:
    """The strategies of this library."""
    for name, strategy, summary, default in _STRATEGIES:
        yield Contribution(name=name, summary=summary, make=f"retention.plan:{strategy}", default=default)
    yield Contribution(name="offers", summary="offers written as data", make=_offers, default=False)


@hookimpl
def retention_contact_policies() -> Iterable[Contribution]:
    """The contact policies of this library."""
    for name, policy, summary, default in _POLICIES:
        yield Contribution(name=name, summary=summary, make=f"retention.plan.policies:{policy}", default=default)


@hookimpl
def retention_estimators() -> Iterable[Contribution]:
    """The estimators of this library."""
    yield Contribution(
        name="permutation",
        summary="studentised shuffles: right for skewed spend, uses the past",
        make="retention.proof.intervals:Permutation",
    )
    yield Contribution(
        name="normal",
        summary="Welch's normal interval: for comparison, wrong where few spend most",
        make="retention.proof.welch:Normal",
    )


@hookimpl
def retention_reports() -> Iterable[Contribution]:
    """The report of this library."""
    yield Contribution(
        name="html", summary="one self-contained page for the shop owner", make="retention.report.reports:HtmlPage"
    )
