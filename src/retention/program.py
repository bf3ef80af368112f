"""The whole way in one call: names chosen in a configuration, one nightly run."""

import datetime as dt
import functools
import inspect
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import field, frozen

from retention import configuration
from retention.domain.days import as_day
from retention.errors import ConfigError, PluginError, PluginLoadError, nearest
from retention.histories import HistoryScan, HistoryStore, summarize, take_in_files
from retention.journal import Journal
from retention.lenses import audit
from retention.night import Night, quiet
from retention.plan import Budget, OfferStrategy, read_offers
from retention.plan.policies import policies_from
from retention.plan.vetoes import FAILED
from retention.plugins import Registry, open_registry
from retention.proof import learn
from retention.records import (
    Consents,
    Touches,
    TransactionLog,
    TransactionScan,
    read_consents,
    read_customer_list,
    read_touches,
)
from retention.report.reports import Report, checked_reports
from retention.timing import leak
from retention.verbs import anticipate, appraise, assign_tiers, make_plan

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Program"]


_OURS = {"receipts": "rt.read_transactions", "scan": "rt.scan_transactions"}


@frozen(kw_only=True)
class Program:
    """What runs every night: where the receipts are, which stages by which names, what may be spent.

    All fields have visible defaults; ``Program.load`` reads them from a TOML file. Plugins given in code are on
    board beside the installed ones, and policies and strategies given in code are used in every plan of this
    program without being named; all else that is given in code is used when named.

    Example:
        >>> Program(money=500, hours=8).model
        'bg-nbd'
    """

    source: Any = None
    reader: str = field(default="receipts", validator=configuration.a_text)
    read: Mapping[str, Any] = field(factory=dict, validator=configuration.a_section)
    store: str | None = field(default=None, validator=configuration.a_path)
    model: str = field(default="bg-nbd", validator=configuration.a_text)
    horizon_days: float = field(default=365.0, validator=configuration.a_number(1e-9))
    discount_rate: float = field(default=0.10, validator=configuration.a_number(0.0))
    interval: float = field(default=0.90, validator=configuration.a_number(0.01, 0.999))
    clock: str = field(default="log-t", validator=configuration.a_text)
    tail: float = field(default=0.05, validator=configuration.a_number(1e-6, 0.5))
    rule: str = field(default="margin-bands", validator=configuration.a_text)
    period_days: int = field(default=365, validator=configuration.a_number(1))
    strategies: tuple[str, ...] | None = field(
        default=None, converter=configuration.as_names, validator=configuration.some_names
    )
    policies: tuple[str, ...] | None = field(
        default=None, converter=configuration.as_names, validator=configuration.some_names
    )
    policy: tuple[Mapping[str, Any], ...] | None = field(
        default=None, converter=configuration.as_names, validator=configuration.some_names
    )
    offers: str | Mapping[str, Any] | OfferStrategy | None = field(
        default=None, validator=configuration.a_file_or(Mapping, OfferStrategy)
    )
    options: Mapping[str, Mapping[str, Any]] = field(factory=dict, validator=configuration.a_section)
    money: float | None = field(default=0.0, validator=configuration.a_number(0.0))
    hours: float | None = field(default=8.0, validator=configuration.a_number(0.0))
    capacity: Mapping[str, int] = field(factory=dict, validator=configuration.a_section)
    at_least: Mapping[str, int] = field(factory=dict, validator=configuration.a_section)
    at_most: Mapping[str, int] = field(factory=dict, validator=configuration.a_section)
    risk: float = field(default=0.0, validator=configuration.a_number(0.0, 100.0))
    holdout: float = field(default=0.1, validator=configuration.a_number(0.0, 0.9))
    explore: float = field(default=0.0, validator=configuration.a_number(0.0, 0.5))
    learn_days: int = field(default=0, validator=configuration.a_whole_number)
    salt: str = field(default="retention", validator=configuration.a_text)
    seed: int = field(default=0, validator=configuration.a_number(0))
    consents: str | Consents | None = field(default=None, validator=configuration.a_file_or(Consents))
    touches: str | Touches | None = field(default=None, validator=configuration.a_file_or(Touches))
    complaints: str | tuple[str, ...] | None = field(
        default=None, converter=configuration.as_names, validator=configuration.a_file_or(tuple)
    )
    do_not_contact: str | tuple[str, ...] | None = field(
        default=None, converter=configuration.as_names, validator=configuration.a_file_or(tuple)
    )
    causes: str | Mapping[str, str] | None = field(default=None, validator=configuration.a_file_or(Mapping))
    attributes: str | Mapping[str, Any] | None = field(default=None, validator=configuration.a_file_or(Mapping))
    folder: str = field(default="retention-out", validator=configuration.a_text)
    journal: str | None = field(default=None, validator=configuration.a_path)
    as_of: str = field(default="last", converter=configuration.as_iso, validator=configuration.a_text)
    reports: tuple[str, ...] = field(
        default=("html",), converter=configuration.as_names, validator=configuration.some_texts
    )
    plugins: tuple[Any, ...] = field(default=(), converter=tuple)
    blocked: tuple[str, ...] | None = field(
        default=None, converter=configuration.as_names, validator=configuration.some_names
    )

    @classmethod
    def load(cls, path: "str | PathLike[str]", **overrides: Any) -> Self:
        """A program from a TOML file; file names in it are relative to the file's own folder.

        Raises:
            ConfigError: the file is missing, is not TOML, or has a section, key or value that means nothing.
        """
        where = Path(path)
        try:
            raw = tomllib.loads(where.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(
                f"configuration {where.name}: {type(error).__name__}: {error}".splitlines()[0],
                rule="a program is a TOML file in UTF-8",
                remedy="`retention demo` writes one to start from",
            ) from None
        return cls(**(configuration.arguments_of(raw, where) | overrides))

    def open_plugins(self) -> Registry:
        """Who is on board for this program."""
        return open_registry(self.plugins, blocked=self.blocked)

    def read_log(self, source: Any = None, *, registry: Registry | None = None) -> TransactionLog | TransactionScan:
        """The transactions, from the given source or the configured one, as the configured reader reads it.

        The reader "scan" leaves them where they are (:func:`retention.records.scan_transactions`).
        """
        what = self.source if source is None else source
        if what is None:
            raise ConfigError(
                "a program without receipts",
                rule="a run needs a file or a frame of transactions",
                remedy="set source in the [read] section, or pass one",
            )
        if self.reader in ("receipts", "scan") and (
            missing := [role for role in ("customer", "at") if role not in self.read]
        ):
            raise ConfigError(
                f"[read] without {' and '.join(missing)}",
                rule="the columns that hold the customer and the date are named",
                remedy="add customer = '...' and at = '...' to [read]; `retention doctor FILE` suggests them",
            )
        aboard = self.open_plugins() if registry is None else registry
        given, reader = aboard.find("reader", self.reader), self._make(aboard, "reader", self.reader)
        ours = given.source == "builtin"
        try:
            inspect.signature(reader.read).bind(what, **self.read)
            read = (
                reader.read
                if ours
                else functools.partial(_read_by, reader.read, f"{self.reader!r} from {given.origin}")
            )
            return read(what, **self.read)
        except TypeError as error:
            raise ConfigError(
                f"[read]: {error}",
                rule="the keys of [read] are the arguments of "
                + (_OURS.get(self.reader) or f"the reader {self.reader!r}"),
                remedy=_nearest_key(reader.read, self.read),
            ) from None

    @property
    def budget(self) -> Budget:
        """What one plan may spend."""
        return Budget(
            money=self.money, hours=self.hours, capacity=self.capacity, at_least=self.at_least, at_most=self.at_most
        )

    def read_touches(self) -> Touches | None:
        """The contacts so far, from the configured file; None if there is none."""
        return read_touches(self.touches) if isinstance(self.touches, str) else self.touches

    def run(
        self,
        log: TransactionLog | TransactionScan | None = None,
        *,
        as_of: str | dt.date | None = None,
        journal: Journal | None = None,
        record: bool = True,
        progress: Callable[[str], None] = quiet,
    ) -> "Night":
        """One night: histories, audit, value, timing, tiers, plan; written to the journal if there is one.

        Running the same night again changes nothing and says so (``night.recorded.already``).

        Args:
            log: the receipts, or a scan of them; None reads the configured source. Of a scan only sums by customer
                come into memory.
            as_of: the plan's day; None takes the configured one (``"last"`` is the last day of the log).
            journal: where decisions are remembered; None keeps nothing.
            record: whether to write the night into the journal, or only to go by what it holds.
            progress: told the name of each stage as it begins.
        """
        progress("opening plugins")
        registry = self.open_plugins()
        self._check_options(registry)
        policies, strategies = self._policies(registry), self._strategies(registry)
        model, rule = self._make(registry, "value_model", self.model), self._make(registry, "tiering_rule", self.rule)
        clock, reports = self._make(registry, "timing", self.clock), self._reports(registry)
        kept = None
        if log is None and self.store is not None:
            progress("taking in what is new")
            kept = self._take_in(as_of, registry)
            log = kept.scan
        if log is None:
            progress("reading receipts")
            log = self.read_log(registry=registry)
        days = _days_of(log)
        day = self._day(days, as_of) if kept is None else kept.as_of
        if days is not None and day < days[0]:
            raise ConfigError(
                f"as_of = {day}, and the first line of the log is of {days[0]}",
                rule="a night knows something: its day is not before all receipts",
                remedy="give a day within the receipts, or as_of = 'last'",
            )
        touches = self.read_touches()
        seen = touches
        if journal is not None:
            if record and touches is not None:
                journal.record_touches(touches)
            remembered = journal.touches_before(day)
            # What is recorded is in the journal already, less what was corrected there since.
            seen = remembered if record or touches is None else touches.merged(remembered)

        progress("summing up histories")
        known = log.until(day) if isinstance(log, TransactionScan) else log  # so that the engine is asked once
        summed = summarize(known, as_of=day) if kept is None else kept
        base = summed.collect() if isinstance(summed, HistoryScan) else summed
        if isinstance(known, TransactionScan):
            known.rest()
        progress("auditing the customer base")
        lenses = audit(known, as_of=day, period_days=self.period_days, touches=seen)
        if isinstance(known, TransactionScan):
            known.rest()
        progress("appraising customers")
        worth = appraise(
            base,
            model=model,
            horizon_days=self.horizon_days,
            discount_rate=self.discount_rate,
            interval=self.interval,
            log=_learned_from(log, model, "model"),
            registry=registry,
        )
        progress("reading each customer's clock")
        needed = _learned_from(log, clock, "clock")
        when = anticipate(base, clock=clock, tail=self.tail, log=needed, registry=registry)
        tiers = assign_tiers(base, worth, rule=rule, registry=registry)
        responses = None
        if journal is not None and self.learn_days:
            progress("learning from earlier nights")
            # The plan's own day is still open: what counts is over by the day before, tonight and whenever it is rerun.
            yesterday = day - dt.timedelta(days=1)
            responses = learn(journal, log.until(yesterday), window_days=self.learn_days, until=yesterday)
        progress("planning contacts")
        plan = make_plan(
            base,
            worth,
            when,
            tiers,
            budget=self.budget,
            strategies=strategies,
            policies=policies,
            journal=journal,
            touches=seen,
            consents=read_consents(self.consents) if isinstance(self.consents, str) else self.consents,
            complaints=_customers(self.complaints),
            do_not_contact=_customers(self.do_not_contact),
            causes=self.causes,
            attributes=self.attributes,
            responses=responses,
            holdout=self.holdout,
            explore=self.explore,
            risk=self.risk,
            salt=self.salt,
            seed=self.seed,
            as_of=day,
            registry=registry,
        )
        recorded = None
        # With a guard that failed nothing was decided: once it is mended the night can be run.
        if journal is not None and record and not any(note.endswith(FAILED) for note in plan.notes):
            progress("writing the journal")
            recorded = journal.record(plan)
            if not journal.announced(day):
                registry.announce("retention_plan_made", plan=plan)
                journal.record_announced(day)
        return Night(
            as_of=day,
            log=log,
            base=base,
            audit=lenses,
            worth=worth,
            when=when,
            tiers=tiers,
            plan=plan,
            responses=responses,
            leak=leak(when, as_of=day, touches=seen),
            recorded=recorded,
            adherence=None if journal is None else journal.adherence(),
            reports=reports,
        )

    def day(self, log: TransactionLog | TransactionScan, as_of: str | dt.date | None = None) -> dt.date:
        """The plan's day: the one asked for, else the configured one; ``"last"`` is the last day of the log."""
        return self._day(_days_of(log), as_of)

    def _day(self, days: tuple[dt.date, dt.date] | None, as_of: str | dt.date | None) -> dt.date:
        asked = self.as_of if as_of is None else as_of
        if asked != "last":
            return as_day(asked)
        if days is None:
            raise ConfigError(
                "as_of = 'last' with a log that kept no lines",
                rule="the last day of an empty log does not exist",
                remedy="look at log.quality to see why every line was set aside, or give a date",
            )
        return days[1]

    def _take_in(self, as_of: str | dt.date | None, registry: Registry) -> HistoryScan:
        """The histories of the store's folder, with what is new of the source."""
        if self.reader != "scan":
            raise ConfigError(
                f"store with the reader {self.reader!r}",
                rule="a store takes in tables that are clean in their types",
                remedy="set reader = 'scan' in [read], or take store out",
            )
        self.read_log(registry=registry)  # so that a wrong key is told as ever; nothing is read by it
        limits = {name: self.read[name] for name in ("threads", "memory") if name in self.read}
        store = HistoryStore.create(self.store or "", exist_ok=True, **limits)
        asked = self.as_of if as_of is None else as_of
        if isinstance(self.source, str | Path):
            take_in_files(store, str(self.source), as_of=asked, **self.read)
        else:
            scan = cast("TransactionScan", self.read_log(registry=registry))
            store.take_in(scan, as_of=self._day(scan.days(), as_of))
        return store.histories()

    def _make(self, registry: Registry, kind: str, name: str) -> Any:
        return registry.make(kind, name, **self.options.get(name, {}))

    def _reports(self, registry: Registry) -> tuple[Report, ...]:
        """The reports chosen by name, each with a file of its own."""
        return checked_reports(self._make(registry, "report", name) for name in self.reports)

    def _check_options(self, registry: Registry) -> None:
        known = {name for kind in registry.providers for name in registry.providers[kind]}
        for name in self.options:
            if name in known:
                continue
            rule, remedy = "options are of a stage that is on board", nearest(name, known)
            if failed := registry.failures:
                raise PluginLoadError(
                    f"[options.'{name}']: nobody on board is called that, and these plugins failed to load: "
                    + "; ".join(f"{p.origin}: {p.reason}" for p in failed),
                    rule=rule,
                    remedy=f"`retention plugins show {failed[0].name}` tells why; {remedy}",
                ) from failed[0].error
            raise ConfigError(f"[options.'{name}']", rule=rule, remedy=remedy)

    def _strategies(self, registry: Registry) -> list[Any]:
        """The strategies chosen by name, and the offers written as data."""
        chosen = self._chosen(registry, "outreach_strategy", self.strategies)
        if self.offers is None:
            return chosen
        return [*chosen, self.offers if isinstance(self.offers, OfferStrategy) else read_offers(self.offers)]

    def _policies(self, registry: Registry) -> list[Any]:
        """The policies chosen by name, or those of the ``[[policy]]`` tables on top of the built-in ones."""
        if self.policy is None:
            return self._chosen(registry, "contact_policy", self.policies)
        if self.policies is not None:
            raise ConfigError(
                "policies in [plan] and [[policy]] tables",
                rule="contact policies are chosen by name or written as tables",
                remedy="write a [[policy]] with that kind for each name, and take policies out of [plan]",
            )
        names = registry.names("contact_policy")
        if unread := sorted({*names} & {*self.options}):
            raise ConfigError(
                f"[options.'{unread[0]}'] and [[policy]] tables",
                rule="the settings of a contact policy stand in one place",
                remedy=f"write a [[policy]] with kind = '{unread[0]}' and those settings",
            )
        more = {name: functools.partial(registry.make, "contact_policy", name) for name in names}
        written = policies_from(self.policy, more=more)
        return [*written, *registry.host.get("contact_policy", ())]

    def _chosen(self, registry: Registry, kind: str, names: tuple[str, ...] | None) -> list[Any]:
        """The stages chosen by name, and those that the host gave in code."""
        given = [thing for thing in registry.host.get(kind, ()) if names is None or thing.name not in names]
        if names is not None:
            return [self._make(registry, kind, name) for name in names] + given
        replaced = {thing.name for thing in given}
        own = [c for c in registry.defaults(kind) if c.name not in replaced]
        return [registry.build(kind, c, **self.options.get(c.name, {})) for c in own] + given


def _days_of(log: TransactionLog | TransactionScan) -> tuple[dt.date, dt.date] | None:
    """The days of the first and the last line; None if there is none."""
    if isinstance(log, TransactionScan):
        return log.days()
    return (as_day(log.day.min()), as_day(log.day.max())) if len(log) else None


def _learned_from(log: TransactionLog | TransactionScan, stage: Any, role: str) -> TransactionLog | None:
    """The log, for a stage that learns from one; a scan has no lines to learn from."""
    if not getattr(stage, "needs_log", False):
        return None
    if isinstance(log, TransactionScan):
        raise ConfigError(
            f"{role} = {stage.name!r} on a scan",
            rule="what learns from single receipts needs them in memory",
            remedy="name one that needs the histories alone, such as 'bg-nbd' or 'log-t', or use the reader 'receipts'",
        )
    return log


def _nearest_key(read: Callable[..., Any], given: Mapping[str, Any]) -> str:
    known = [name for name in inspect.signature(read).parameters if name != "source"]
    strange = [name for name in given if name not in known]
    return nearest(strange[0], known) if strange else "see its documentation"


def _read_by(read: Callable[..., Any], who: str, source: Any, **options: Any) -> TransactionLog | TransactionScan:
    """What a stranger's reader reads; what it raises is told with its name."""
    try:
        log = read(source, **options)
    except TypeError as error:  # its own, not one of its arguments
        raise PluginError(
            f"the reader {who}: TypeError: {error}",
            rule="read(source, **options) gives a TransactionLog",
            remedy="mend the reader",
        ) from error
    except Exception as error:
        error.add_note(f"while the reader {who} was at work")
        raise
    if not isinstance(log, TransactionLog | TransactionScan):
        raise PluginError(
            f"the reader {who} answered with a {type(log).__name__}",
            rule="read(source, **options) gives a TransactionLog",
            remedy="mend the reader: it may end with retention.read_transactions(...)",
        )
    return log


def _customers(given: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    return read_customer_list(given) if isinstance(given, str) else given
