"""The whole way in one call: names chosen in a configuration, one nightly run."""

import datetime as dt
import functools
import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs
from attrs import field, frozen

from retention.domain.days import as_day
from retention.errors import ConfigError, PluginError, PluginLoadError, nearest
from retention.histories import summarize
from retention.journal import Journal
from retention.lenses import audit
from retention.night import Night
from retention.plan import Budget, OfferStrategy, read_offers
from retention.plan.policies import policies_from
from retention.plan.vetoes import FAILED
from retention.plugins import Registry, open_registry
from retention.proof import learn
from retention.records import (
    Consents,
    Touches,
    TransactionLog,
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

_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "value": ("model", "horizon_days", "discount_rate", "interval"),
    "timing": ("clock", "tail"),
    "tiers": ("rule",),
    "audit": ("period_days",),
    "plan": (
        "strategies",
        "policies",
        "money",
        "hours",
        "capacity",
        "at_least",
        "at_most",
        "risk",
        "holdout",
        "explore",
        "learn_days",
        "salt",
        "seed",
    ),
    "files": ("consents", "touches", "complaints", "do_not_contact", "causes", "attributes", "offers"),
    "output": ("folder", "journal", "as_of", "reports"),
    "plugins": ("blocked",),
}


def _quiet(stage: str) -> None:
    """Say nothing."""


def _number(least: float, most: float = float("inf")) -> Any:
    def check(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is None and attribute.name in ("money", "hours"):
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ConfigError(
                f"{attribute.name} = {value!r}",
                rule=f"a number from {least:g}" + ("" if most == float("inf") else f" to {most:g}"),
                remedy=f"give {attribute.name} such a number",
            )

    return check


def _whole(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(
            f"{attribute.name} = {value!r}",
            rule="a whole number from 0",
            remedy=f"give {attribute.name} such a number",
        )


def _text(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(
            f"{attribute.name} = {value!r}",
            rule="a text that is not blank",
            remedy=f"write {attribute.name} = '...' in quotes",
        )


def _path(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None:
        _text(instance, attribute, value)


def _section(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    inner = value.values() if isinstance(value, Mapping) and attribute.name == "options" else ()
    if not isinstance(value, Mapping) or not all(isinstance(one, Mapping) for one in inner):
        raise ConfigError(
            f"{attribute.name} of type {type(value).__name__}",
            rule=f"{attribute.name} holds keys and values" + (", by name" if attribute.name == "options" else ""),
            remedy="write [options.'frequency-cap'] and its keys below, or [plan.capacity] and phone = 30",
        )


def _list_of(*kinds: type) -> Any:
    def check(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is not None and not isinstance(value, (str, *kinds)):
            raise ConfigError(
                f"{attribute.name} of type {type(value).__name__}",
                rule=f"the name of a file, or {' or '.join(kind.__name__ for kind in kinds)}",
                remedy=f"write {attribute.name} = 'file.csv' in quotes",
            )

    return check


def _iso(value: Any) -> Any:
    """TOML has dates of its own; as_of = 2011-12-01 without quotes is one."""
    return value.isoformat() if isinstance(value, dt.date) else value


def _names(value: Any) -> Any:
    if value is None or isinstance(value, str) or not isinstance(value, Iterable):
        return value
    return tuple(value)


def _name_list(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and not isinstance(value, tuple):
        raise ConfigError(
            f"{attribute.name} = {value!r}",
            rule="a list of names",
            remedy=f"write {attribute.name} = ['name', ...], or leave it out for the built-in ones",
        )


def _texts(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if not isinstance(value, tuple) or not all(isinstance(one, str) and one.strip() for one in value):
        raise ConfigError(
            f"{attribute.name} = {value!r}",
            rule="a list of names, which may be empty",
            remedy=f"write {attribute.name} = ['name', ...]",
        )


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
    reader: str = field(default="receipts", validator=_text)
    read: Mapping[str, Any] = field(factory=dict, validator=_section)
    model: str = field(default="bg-nbd", validator=_text)
    horizon_days: float = field(default=365.0, validator=_number(1e-9))
    discount_rate: float = field(default=0.10, validator=_number(0.0))
    interval: float = field(default=0.90, validator=_number(0.01, 0.999))
    clock: str = field(default="log-t", validator=_text)
    tail: float = field(default=0.05, validator=_number(1e-6, 0.5))
    rule: str = field(default="margin-bands", validator=_text)
    period_days: int = field(default=365, validator=_number(1))
    strategies: tuple[str, ...] | None = field(default=None, converter=_names, validator=_name_list)
    policies: tuple[str, ...] | None = field(default=None, converter=_names, validator=_name_list)
    policy: tuple[Mapping[str, Any], ...] | None = field(default=None, converter=_names, validator=_name_list)
    offers: str | Mapping[str, Any] | OfferStrategy | None = field(
        default=None, validator=_list_of(Mapping, OfferStrategy)
    )
    options: Mapping[str, Mapping[str, Any]] = field(factory=dict, validator=_section)
    money: float | None = field(default=0.0, validator=_number(0.0))
    hours: float | None = field(default=8.0, validator=_number(0.0))
    capacity: Mapping[str, int] = field(factory=dict, validator=_section)
    at_least: Mapping[str, int] = field(factory=dict, validator=_section)
    at_most: Mapping[str, int] = field(factory=dict, validator=_section)
    risk: float = field(default=0.0, validator=_number(0.0, 100.0))
    holdout: float = field(default=0.1, validator=_number(0.0, 0.9))
    explore: float = field(default=0.0, validator=_number(0.0, 0.5))
    learn_days: int = field(default=0, validator=_whole)
    salt: str = field(default="retention", validator=_text)
    seed: int = field(default=0, validator=_number(0))
    consents: str | Consents | None = field(default=None, validator=_list_of(Consents))
    touches: str | Touches | None = field(default=None, validator=_list_of(Touches))
    complaints: str | tuple[str, ...] | None = field(default=None, converter=_names, validator=_list_of(tuple))
    do_not_contact: str | tuple[str, ...] | None = field(default=None, converter=_names, validator=_list_of(tuple))
    causes: str | Mapping[str, str] | None = field(default=None, validator=_list_of(Mapping))
    attributes: str | Mapping[str, Any] | None = field(default=None, validator=_list_of(Mapping))
    folder: str = field(default="retention-out", validator=_text)
    journal: str | None = field(default=None, validator=_path)
    as_of: str = field(default="last", converter=_iso, validator=_text)
    reports: tuple[str, ...] = field(default=("html",), converter=_names, validator=_texts)
    plugins: tuple[Any, ...] = field(default=(), converter=tuple)
    blocked: tuple[str, ...] | None = field(default=None, converter=_names, validator=_name_list)

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
        return cls(**(_settings(raw, where) | overrides))

    def open_plugins(self) -> Registry:
        """Who is on board for this program."""
        return open_registry(self.plugins, blocked=self.blocked)

    def read_log(self, source: Any = None, *, registry: Registry | None = None) -> TransactionLog:
        """The transaction log, from the given source or the configured one, as the configured reader reads it."""
        what = self.source if source is None else source
        if what is None:
            raise ConfigError(
                "a program without receipts",
                rule="a run needs a file or a frame of transactions",
                remedy="set source in the [read] section, or pass one",
            )
        if self.reader == "receipts" and (missing := [role for role in ("customer", "at") if role not in self.read]):
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
                + ("rt.read_transactions" if ours else f"the reader {self.reader!r}"),
                remedy="see its documentation",
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
        log: TransactionLog | None = None,
        *,
        as_of: str | dt.date | None = None,
        journal: Journal | None = None,
        record: bool = True,
        progress: Callable[[str], None] = _quiet,
    ) -> "Night":
        """One night: histories, audit, value, timing, tiers, plan; written to the journal if there is one.

        Running the same night again changes nothing and says so (``night.recorded.already``).

        Args:
            log: the receipts; None reads the configured source.
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
        if log is None:
            progress("reading receipts")
            log = self.read_log(registry=registry)
        day = self.day(log, as_of)
        if len(log) and day < as_day(log.day.min()):
            raise ConfigError(
                f"as_of = {day}, and the first line of the log is of {log.day.min()}",
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
        base = summarize(log, as_of=day)
        progress("auditing the customer base")
        lenses = audit(log, as_of=day, period_days=self.period_days, touches=seen)
        progress("appraising customers")
        worth = appraise(
            base,
            model=model,
            horizon_days=self.horizon_days,
            discount_rate=self.discount_rate,
            interval=self.interval,
            log=log if getattr(model, "needs_log", False) else None,
            registry=registry,
        )
        progress("reading each customer's clock")
        needed = log if getattr(clock, "needs_log", False) else None
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

    def day(self, log: TransactionLog, as_of: str | dt.date | None = None) -> dt.date:
        """The plan's day: the one asked for, else the configured one; ``"last"`` is the last day of the log."""
        asked = self.as_of if as_of is None else as_of
        if asked != "last":
            return as_day(asked)
        if not len(log):
            raise ConfigError(
                "as_of = 'last' with a log that kept no lines",
                rule="the last day of an empty log does not exist",
                remedy="look at log.quality to see why every line was set aside, or give a date",
            )
        return as_day(log.day.max())

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


def _settings(raw: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """The keyword arguments of a program, from the sections of a TOML file."""
    settings: dict[str, Any] = {}
    known = {*_SECTIONS, "read", "options", "policy", "offer", "segment"}
    if "offer" in raw or "segment" in raw:
        settings["offers"] = {name: raw[name] for name in ("offer", "segment") if name in raw}
        if "offers" in raw.get("files", {}):
            raise ConfigError(
                f"configuration {where.name}: [[offer]] and [files] offers",
                rule="offers stand in one place",
                remedy="move the [[offer]] tables into that file, or leave the file out",
            )
    for section, body in raw.items():
        if section not in known:
            raise ConfigError(
                f"configuration {where.name}: section [{section}]",
                rule="a section is one that a program knows",
                remedy=nearest(section, known),
            )
        if section in ("offer", "segment"):
            continue
        if section == "policy":
            settings["policy"] = body
            continue
        if not isinstance(body, dict):
            raise ConfigError(
                f"configuration {where.name}: {section} = {body!r}",
                rule=f"[{section}] is a section with keys",
                remedy=f"write [{section}] on a line of its own and its keys below",
            )
        if section == "options":
            settings["options"] = body
            continue
        if section == "read":
            settings["read"] = {key: value for key, value in body.items() if key not in ("source", "reader")}
            if "reader" in body:
                settings["reader"] = body["reader"]
            if "source" in body:
                if not isinstance(body["source"], str):
                    raise ConfigError(
                        f"configuration {where.name}: source = {body['source']!r}",
                        rule="source is the name of a file",
                        remedy="write source = 'invoices.csv' in quotes",
                    )
                place = body["source"]
                settings["source"] = place if "://" in place else str(where.parent / place)
            continue
        for key, value in body.items():
            if key not in _SECTIONS[section]:
                raise ConfigError(
                    f"configuration {where.name}: {key} in section [{section}]",
                    rule=f"a key of [{section}] is one that a program knows",
                    remedy=nearest(key, _SECTIONS[section]),
                )
            is_place = (section == "files" or key in ("folder", "journal")) and isinstance(value, str)
            settings[key] = str(where.parent / value) if is_place and "://" not in value else value
    return settings


def _read_by(read: Callable[..., Any], who: str, source: Any, **options: Any) -> TransactionLog:
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
    if not isinstance(log, TransactionLog):
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
