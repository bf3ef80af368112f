"""Laws: what every implementation of a kind keeps, and three ways to hold one to them.

A law is a small function with a name and a sentence; it raises AssertionError when it is broken. Ask as suits you:

- ``check_contact_policy(policy)``, one for each kind, raises one :class:`BrokenLaws` that names all that it breaks;
- ``@pytest.mark.parametrize("law", conformance(policy))`` makes a test of each: ``def test_law(law): law()``;
- ``report(policy)`` tells law by law what was found.

What is known to fail is named with its reason, ``expected_failures={"law": "reason"}``, and is strict: one that passes
after all is a finding too.
"""

import html
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, Literal

from attrs import field, frozen

from retention.errors import ConfigError, RetentionError, nearest
from retention.plugins.contribution import KINDS

__all__ = ["BrokenLaws", "Finding", "Kit", "Law", "NotAsked", "Report", "conformance", "kit", "kits", "report", "run"]

Status = Literal["passed", "failed", "expected failure", "not asked"]

_MODULES = {
    "reader": "readers",
    "value_model": "value_models",
    "timing": "timings",
    "tiering_rule": "tiering_rules",
    "outreach_strategy": "outreach_strategies",
    "contact_policy": "contact_policies",
    "estimator": "estimators",
    "report": "reports",
    "plugin": "plugin",
}


class BrokenLaws(RetentionError, AssertionError):
    """Laws that an implementation breaks; ``broken`` maps each law's name to what was seen."""

    def __init__(self, who: str, broken: Mapping[str, str]) -> None:
        listing = "".join(f"\n  - {name}: {seen}" for name, seen in broken.items())
        super().__init__(
            f"{who} breaks {len(broken)} law(s):{listing}",
            rule="an implementation keeps all laws of its kind",
            remedy="retention.testing.kit(kind).laws says what each asks",
        )
        self.broken = dict(broken)


class NotAsked(Exception):
    """Raised by a law that has nothing to ask of this subject; the text says why."""


@frozen
class Law:
    """A name, the sentence that it asks, and the function that raises AssertionError where it is broken.

    Example:
        >>> def is_text(subject):
        ...     "It is text."
        ...     assert isinstance(subject, str), f"a {type(subject).__name__}"
        >>> Law.of(is_text)
        Law(name='is_text', ask='It is text.')
        >>> run([Law.of(is_text)], 7, who="seven").to_dict()["findings"]
        [{'law': 'is_text', 'status': 'failed', 'seen': 'a int'}]
    """

    name: str
    ask: str
    check: Callable[[Any], None] = field(repr=False, eq=False)

    @classmethod
    def of(cls, function: Callable[[Any], None]) -> "Law":
        """A documented function as a law."""
        return cls(function.__name__, " ".join((function.__doc__ or "").split()), function)


def laws(*functions: Callable[[Any], None]) -> tuple[Law, ...]:
    """Documented functions as laws."""
    return tuple(Law.of(function) for function in functions)


@frozen
class Finding:
    """What one law found: its status and, unless it passed, what was seen or the reason given."""

    law: str
    status: Status
    seen: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing has to be done."""
        return self.status != "failed"


@frozen(repr=False)
class Report:
    """What every law found of one thing, in the order of the laws.

    Example:
        >>> told = run([], "anything", who="anything")
        >>> told.passed, told
        (True, <Report on anything: all of 0 laws kept>)
    """

    who: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no law failed; expected failures and laws with nothing to ask are none."""
        return all(finding.good for finding in self.findings)

    @property
    def broken(self) -> dict[str, str]:
        """The laws that failed, and what was seen."""
        return {finding.law: finding.seen for finding in self.findings if not finding.good}

    def __getitem__(self, law: str) -> str:
        """What one law found: ``"passed"``, or its status and what was seen."""
        for finding in self.findings:
            if finding.law == law:
                return _told(finding)
        raise KeyError(law)

    def __iter__(self) -> Iterator[str]:
        return (finding.law for finding in self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def raise_if_broken(self) -> None:
        """Raise one :class:`BrokenLaws` that names every law that failed."""
        if not self.passed:
            raise BrokenLaws(self.who, self.broken)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        listed = [{"law": f.law, "status": f.status, "seen": f.seen} for f in self.findings]
        return {"who": self.who, "passed": self.passed, "findings": listed}

    def __repr__(self) -> str:
        broken = len(self.broken)
        head = f"{broken} of {len(self)} laws broken" if broken else f"all of {len(self)} laws kept"
        width = max((len(law) for law in self), default=0)
        lines = [f"\n  {finding.law:<{width}}  {_told(finding)}" for finding in self.findings]
        return f"<Report on {self.who}: {head}{''.join(lines)}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(f.law)}</td><td>{html.escape(f.status)}</td><td>{html.escape(f.seen)}</td></tr>"
            for f in self.findings
        )
        head = "<tr><th>law</th><th>found</th><th>seen</th></tr>"
        return f"<table><caption>{html.escape(self.who)}</caption><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _told(finding: Finding) -> str:
    return f"{finding.status}: {finding.seen}" if finding.seen else finding.status


@frozen
class Kit:
    """The laws of one kind, and how a thing of that kind is made a subject of them: ``subject(thing, **data)``."""

    kind: str
    laws: tuple[Law, ...]
    subject: Callable[..., Any]
    more: Callable[[Any], tuple[Law, ...]] = lambda subject: ()

    def asked(self, subject: Any) -> tuple[Law, ...]:
        """All laws that are asked of a subject: of a plugin, those of what it contributes as well."""
        return self.laws + self.more(subject)


def kit(kind: str) -> Kit:
    """The laws of a kind.

    Example:
        >>> kit("tiering_rule").laws[0].ask
        'It has a name: text that is not blank.'
    """
    if kind not in _MODULES:
        raise ConfigError(
            f"the laws of {kind!r}", rule="laws are of a kind of contribution", remedy=nearest(kind, _MODULES)
        )
    found: Kit = importlib.import_module(f"retention.testing.{_MODULES[kind]}").KIT
    return found


def kits() -> tuple[Kit, ...]:
    """The laws of every kind, and those of plugins."""
    return tuple(kit(kind) for kind in _MODULES)


def run(
    laws: Iterable[Law], subject: Any, *, who: str | None = None, expected_failures: Mapping[str, str] | None = None
) -> Report:
    """Hold a subject to laws, one after another, whatever breaks.

    ``expected_failures`` names laws that are known to fail, each with the reason: such a failure is no finding, and a
    law among them that is kept is one. Raises ConfigError for a name that no law has.
    """
    listed = tuple(laws)
    expected = checked_names(expected_failures, (law.name for law in listed))
    findings = tuple(_finding(law, subject, expected.get(law.name)) for law in listed)
    return Report(type(subject).__name__ if who is None else who, findings)


def checked_names(expected: Mapping[str, str] | None, names: Iterable[str]) -> dict[str, str]:
    """The expected failures, if laws of these names exist and each has a reason."""
    known = list(names)
    for name, reason in (expected or {}).items():
        if name not in known:
            raise ConfigError(
                f"the expected failure {name!r}",
                rule="an expected failure is a law that is asked",
                remedy=nearest(str(name), known),
            )
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigError(
                f"the expected failure {name!r} without a reason",
                rule="whoever expects a law to fail says why",
                remedy=f'expected_failures={{"{name}": "the reason"}}',
            )
    return dict(expected or {})


def _finding(law: Law, subject: Any, expected: str | None) -> Finding:
    try:
        law.check(subject)
    except NotAsked as reason:
        return Finding(law.name, "not asked", str(reason))
    except BaseException as error:  # whatever a stranger's code raises is a finding, not an end of the check
        if isinstance(error, KeyboardInterrupt):
            raise
        seen = str(error) if isinstance(error, AssertionError) else f"raised {type(error).__name__}: {error}"
        return (
            Finding(law.name, "failed", seen) if expected is None else Finding(law.name, "expected failure", expected)
        )
    if expected is not None:
        return Finding(law.name, "failed", f"is kept, and was expected to fail: {expected}")
    return Finding(law.name, "passed")


def report(
    thing: Any, kind: str | None = None, *, expected_failures: Mapping[str, str] | None = None, **data: Any
) -> Report:
    """What every law of its kind finds of a thing.

    Args:
        thing: the object, or a class or function that makes one without arguments.
        kind: of which kind it is; None goes by what it can do.
        expected_failures: laws that are known to fail, by name, each with the reason.
        data: what the laws try it on in place of the samples, by kind: ``histories`` (value models, timings),
            ``shop`` (rules, strategies, policies), ``source`` and ``options`` (readers), ``night`` (reports),
            ``options`` and ``data`` (plugins, see :func:`check_plugin`).

    Example:
        >>> from retention.plan.policies import DoNotContact
        >>> report(DoNotContact).passed
        True
    """
    chosen = kit(kind or kind_of(thing))
    subject = chosen.subject(thing, **data)
    return run(chosen.asked(subject), subject, who=who(thing), expected_failures=expected_failures)


def conformance(
    thing: Any, kind: str | None = None, *, expected_failures: Mapping[str, str] | None = None, **data: Any
) -> list[Any]:
    """Every law of its kind as a pytest parameter: a function without arguments that raises where the law is broken.

    Expected failures are marked xfail, strictly. The arguments are those of :func:`report`.

    Example:
        >>> from retention.plan.policies import DoNotContact
        >>> params = conformance(DoNotContact)
        >>> params[0].id, params[0].values[0]()
        ('has_a_name', None)
    """
    import pytest

    chosen = kit(kind or kind_of(thing))
    subject = chosen.subject(thing, **data)
    listed = chosen.asked(subject)
    expected = checked_names(expected_failures, (law.name for law in listed))

    def test(law: Law) -> Callable[[], None]:
        def ask() -> None:
            try:
                law.check(subject)
            except NotAsked as reason:
                pytest.skip(str(reason))

        ask.__name__, ask.__doc__ = law.name, law.ask
        return ask

    def marks(law: Law) -> list[Any]:
        return [pytest.mark.xfail(reason=expected[law.name], strict=True)] if law.name in expected else []

    return [pytest.param(test(law), id=law.name, marks=marks(law)) for law in listed]


def who(thing: Any) -> str:
    """What a thing is called in a report."""
    if isinstance(thing, str | ModuleType):
        return thing if isinstance(thing, str) else thing.__name__
    return thing.__name__ if isinstance(thing, type) else type(thing).__name__


def kind_of(thing: Any) -> str:
    """The kind of a thing, by what it can do.

    What can be fitted may be a value model or a timing: a timing's answers are ``p_purchase`` and ``p_alive`` alone. A
    module, the name of one, or an object with hooks is a plugin.
    """
    if isinstance(thing, str | ModuleType):
        return "plugin"
    made = thing() if is_factory(thing) else thing
    if getattr(made, "kind", None) in KINDS:
        return str(made.kind)
    for kind, spec in KINDS.items():
        if kind not in ("value_model", "timing") and _can(made, spec.methods):
            return kind
    fitted = made
    if _can(made, ("fit",)):
        from retention.testing.samples import sample_histories

        fitted = made.fit(sample_histories())
    if _can(fitted, ("p_alive", "value")):
        return "value_model"
    if _can(fitted, ("p_alive", "p_purchase")):
        return "timing"
    if any(name.startswith("retention_") for name in dir(made)):
        return "plugin"
    raise ConfigError(
        f"a {type(made).__name__} as a thing to be checked",
        rule="a " + "; a ".join(f"{spec.what} offers {', '.join(spec.methods)}()" for spec in KINDS.values()),
        remedy="add the missing method, or say kind='...'",
    )


def is_factory(thing: Any) -> bool:
    """Whether it makes the thing, and is not the thing: a class, or a function that is no stage itself."""
    methods = {method for spec in KINDS.values() for method in (*spec.methods, "p_alive")}
    return isinstance(thing, type) or (callable(thing) and not any(callable(getattr(thing, m, None)) for m in methods))


def _can(thing: Any, methods: Iterable[str]) -> bool:
    return all(callable(getattr(thing, method, None)) for method in methods)
