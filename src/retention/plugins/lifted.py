"""Stages made of plain functions: a policy, a tiering rule, a strategy."""

import datetime as dt
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from attrs import evolve, field, frozen

from retention.domain import Action, Tier
from retention.errors import PluginError, nearest
from retention.histories import Histories
from retention.plugins.contribution import KINDS, Contribution
from retention.plugins.customers import known_customers

if TYPE_CHECKING:
    from retention.plan import Proposals, Review, Situation
    from retention.tiers import Tiering
    from retention.value import Valuation

__all__ = ["FunctionPolicy", "FunctionRule", "FunctionStage", "FunctionStrategy", "Proposal", "is_number"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@frozen(kw_only=True)
class Proposal:
    """What a strategy proposes for one customer.

    ``gain`` is the expected incremental margin before the cost of the contact, ``gain_sd`` its standard deviation
    (None: half of it), ``reason`` why in words (None: the first line of the function's docstring). The window is two
    weeks from the plan's day unless ``opens`` and ``closes`` say otherwise.
    """

    gain: float
    reason: str | None = None
    gain_sd: float | None = None
    opens: dt.date | None = None
    closes: dt.date | None = None


@frozen(kw_only=True, eq=False)
class FunctionStage:
    """A function with a name, made into a stage; still callable as it was written."""

    kind: ClassVar[str]
    ROW: ClassVar[tuple[str, ...]]
    COLUMNS: ClassVar[tuple[str, ...]]

    function: Callable[..., Any]
    name: str
    options: Mapping[str, Any] = _EMPTY

    def __attrs_post_init__(self) -> None:
        shown = getattr(self.function, "__name__", type(self.function).__name__)
        what = KINDS[self.kind].what
        if not callable(self.function) or inspect.isclass(self.function):
            raise PluginError(
                f"a {type(self.function).__name__} as a {what}",
                rule="a function is lifted",
                remedy="write def, and the decorator above it",
            )
        if _never_returns(self.function):
            raise PluginError(
                f"{shown} is a generator or a coroutine",
                rule="a stage is a plain function: it returns its answer",
                remedy="write def, without yield and without async",
            )
        parameters = inspect.signature(self.function).parameters
        first = next(iter(parameters), "")
        known = {self.ROW[0]: self.ROW, self.COLUMNS[0]: self.COLUMNS}.get(first, ())
        strange = [
            name
            for name, p in parameters.items()
            if name not in known and (p.default is p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
        ]
        if not known or strange or any(p.kind is p.POSITIONAL_ONLY for p in parameters.values()):
            raise PluginError(
                f"{shown}({', '.join(parameters)}) as a {what}",
                rule=f"the arguments of a {what} are ({', '.join(self.ROW)}) for one customer, or "
                f"({', '.join(self.COLUMNS)}) for the columns, the later ones as needed; all others have a default",
                remedy=nearest(strange[0] if strange else first, [*self.ROW, *self.COLUMNS]),
            )
        unknown = sorted(name for name in self.options if name in known or name not in parameters)
        if unknown:
            own = [name for name in parameters if name not in known]
            raise PluginError(
                f"{what} {self.name!r} with the option {unknown[0]!r}",
                rule="its options are the arguments of the function that have a default",
                remedy=nearest(unknown[0], own),
            )
        _ = self.contribution  # the name is checked there

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        text = inspect.getdoc(self.function) or ""
        return text.strip().splitlines()[0].strip() if text.strip() else f"the function {self.name}"

    @property
    def contribution(self) -> Contribution:
        """What a plugin gives: options of the configuration are arguments of the function."""
        return Contribution(name=self.name, summary=self.summary, make=self.with_options)

    @property
    def of_one(self) -> bool:
        """Whether the function is of one customer."""
        return next(iter(inspect.signature(self.function).parameters)) == self.ROW[0]

    def with_options(self, **options: Any) -> Self:
        """The same stage with other values for arguments that have a default."""
        return evolve(self, options={**self.options, **options}) if options else self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function itself, as it was written."""
        return self.function(*args, **kwargs)

    def _asked(self) -> tuple[str, ...]:
        """The arguments that the function wants of those it may have."""
        parameters = inspect.signature(self.function).parameters
        return tuple(name for name in (self.ROW if self.of_one else self.COLUMNS) if name in parameters)

    def _ask(self, **known: Any) -> Any:
        """The function's answer; what it raises is told with its name."""
        try:
            return self.function(**{name: known[name] for name in self._asked()}, **self.options)
        except Exception as error:
            error.add_note(self._note())
            raise

    def _each(self, questions: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
        """The answers of one customer after the other."""
        asked = self._asked()
        try:
            for known in questions:
                yield self.function(**{name: known[name] for name in asked}, **self.options)
        except Exception as error:
            error.add_note(f"{self._note()}, asked about one customer")
            raise

    def _note(self) -> str:
        where = f"{self.function.__module__}.{self.function.__qualname__}"
        return f"while the {KINDS[self.kind].what} {self.name!r} ({where}) was at work"

    def _wrong(self, answer: Any, rule: str) -> PluginError:
        """The answer is shown by its type: it may hold what is known of a customer."""
        seen = f"an array of {answer.dtype} {answer.shape}" if isinstance(answer, np.ndarray) else type(answer).__name__
        return PluginError(
            f"the {KINDS[self.kind].what} {self.name!r} answered with {seen}"
            + (" that is no number" if isinstance(answer, float) else ""),
            rule=rule,
            remedy="mend the function",
        )

    def __repr__(self) -> str:
        return f"<{KINDS[self.kind].what} {self.name!r}: {self.summary}>"


def _listed(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)


def is_number(value: Any) -> bool:
    """Whether a function answered with a finite number."""
    return not isinstance(value, bool) and isinstance(value, Real) and bool(np.isfinite(float(value)))


def _never_returns(function: Any) -> bool:
    return (
        inspect.isgeneratorfunction(function)
        or inspect.iscoroutinefunction(function)
        or inspect.isasyncgenfunction(function)
    )


@frozen(kw_only=True, eq=False, repr=False)
class FunctionPolicy(FunctionStage):
    """A contact policy made of a function, by :func:`contact_policy`."""

    kind = "contact_policy"
    ROW = ("customer", "action", "opens", "closes")
    COLUMNS = ("proposals", "situation")

    limit_seconds: float | None = None
    joint: bool = False
    monotone: bool = False

    def review(self, proposals: "Proposals", situation: "Situation") -> "Review":
        """Which proposals may go on, and for the others why not. Raises PluginError for an answer that is none."""
        from retention.plan import Review

        if not self.of_one:
            answer = self._ask(proposals=proposals, situation=situation)
            if isinstance(answer, Review):
                return answer
            allowed = np.asarray(answer)
            if np.ma.is_masked(answer) or allowed.shape != (len(proposals),) or allowed.dtype != np.bool_:
                raise self._wrong(answer, "a policy answers with True or False for each proposal, or with a Review")
            return Review.veto(~allowed, self.summary)
        rows, place = np.unique(proposals.base_row, return_inverse=True)
        customers = known_customers(rows, situation.histories, situation)
        questions = (
            {"customer": customers[i], "action": proposals.actions[k], "opens": opens, "closes": closes}
            for i, k, opens, closes in zip(
                place.reshape(-1).tolist(),
                proposals.action.tolist(),
                proposals.opens.tolist(),
                proposals.closes.tolist(),
                strict=True,
            )
        )
        reasons = [self._reason(answer) for answer in self._each(questions)]
        refused = np.asarray([bool(reason) for reason in reasons], dtype=np.bool_)
        return Review(allowed=~refused, reason=np.asarray(reasons, dtype=np.str_))

    def _reason(self, answer: Any) -> str:
        if answer is None or answer is True or (isinstance(answer, np.bool_) and answer):
            return ""
        if answer is False or isinstance(answer, np.bool_):
            return self.summary
        if isinstance(answer, str) and answer.strip():
            return answer
        raise self._wrong(answer, "a policy says why not (a text that is not blank), or True, False or None")


@frozen(kw_only=True, eq=False, repr=False)
class FunctionRule(FunctionStage):
    """A tiering rule made of a function, by :func:`tiering_rule`."""

    kind = "tiering_rule"
    ROW = ("customer", "previous")
    COLUMNS = ("histories", "valuation", "previous")

    tiers: tuple[str, ...] = field(converter=_listed)

    def __attrs_post_init__(self) -> None:
        FunctionStage.__attrs_post_init__(self)
        named = all(isinstance(name, str) and name.strip() for name in self.tiers)
        if not self.tiers or not named or len(set(self.tiers)) < len(self.tiers):
            raise PluginError(
                f"the tiering rule {self.name!r} with tiers {self.tiers!r}",
                rule="tiers are names, each once, from the lowest to the highest",
                remedy="tiers=('standard', 'gold')",
            )

    @property
    def joint(self) -> bool:
        """Whether the tier of one customer may depend on others: not where each is asked about alone."""
        return not self.of_one

    def assign(self, histories: Histories, valuation: "Valuation", previous: "Tiering | None" = None) -> "Tiering":
        """A tier for every customer.

        ``score`` is the rank and so are the floors, for a function knows no sum that earns a tier; ``to_next`` is 0 for
        everybody, so that nobody is told to be close to the next one.
        """
        from retention.tiers import Tiering

        n = len(histories)
        if self.of_one:
            before = (
                {}
                if previous is None
                else dict(zip(previous.customer_id.tolist(), previous.tier.tolist(), strict=True))
            )
            customers = known_customers(np.arange(n), histories, None, valuation=valuation, tier=before)
            given = list(self._each({"customer": c, "previous": before.get(c.id)} for c in customers))
        else:
            answer = self._ask(histories=histories, valuation=valuation, previous=previous)
            if np.shape(answer) != (n,):
                raise self._wrong(answer, "a rule names a tier for each customer")
            given = np.asarray(answer).tolist()
        ranks = {name: rank for rank, name in enumerate(self.tiers)}
        for tier in given:
            if not isinstance(tier, str) or tier not in ranks:
                raise self._wrong(tier, f"a rule names one of its tiers: {', '.join(self.tiers)}")
        rank = np.asarray([ranks[tier] for tier in given], dtype=np.int64)
        labels = np.asarray([*self.tiers, ""], dtype=np.str_)
        return Tiering(
            customer_id=histories.customer_id,
            tier=labels[rank],
            rank=rank,
            score=rank.astype(np.float64),
            next_tier=labels[rank + 1],
            to_next=np.zeros(n),
            tiers=tuple(Tier(name=name, rank=i, floor=float(i)) for i, name in enumerate(self.tiers)),
            rule=self.name,
            provenance=evolve(valuation.provenance, model=self.name, parameters=dict(self.options)).with_notes(
                f"the tiers of {self.name} come from a function: how far the next one is, is not known"
            ),
        )


@frozen(kw_only=True, eq=False, repr=False)
class FunctionStrategy(FunctionStage):
    """An outreach strategy made of a function, by :func:`outreach_strategy`."""

    kind = "outreach_strategy"
    ROW = ("customer",)
    COLUMNS = ("situation",)

    action: Action

    def propose(self, situation: "Situation") -> "Proposals":
        """The action, for each customer of whom the function says what it would gain."""
        from retention.plan import Assumption, Proposals

        if self.of_one:
            customers = known_customers(np.arange(len(situation)), situation.histories, situation)
            answers = [self._proposal(one) for one in self._each({"customer": c} for c in customers)]
            rows = np.asarray([i for i, one in enumerate(answers) if one is not None], dtype=np.int64)
            ideas = [one for one in answers if one is not None]
        else:
            answer = self._ask(situation=situation)
            if isinstance(answer, Proposals):
                return answer
            if np.shape(answer) != (len(situation),) or np.asarray(answer).dtype.kind not in "iuf":
                raise self._wrong(answer, "a strategy answers with a gain for each customer (NaN: nobody) or Proposals")
            gains = np.asarray(answer, dtype=np.float64)
            rows = np.flatnonzero(~np.isnan(gains))
            ideas = [Proposal(gain=gain) for gain in gains[rows].tolist()]
        if not ideas:
            return Proposals.none()
        gain = np.asarray([one.gain for one in ideas], dtype=np.float64)
        spread = [abs(one.gain) / 2.0 if one.gain_sd is None else one.gain_sd for one in ideas]
        opens = np.asarray([one.opens or situation.as_of for one in ideas], dtype="datetime64[D]")
        closes = np.asarray([one.closes or np.datetime64("NaT") for one in ideas], dtype="datetime64[D]")
        assumed = Assumption(
            strategy=self.name,
            name=self.action.name,
            value=float(gain.mean()),
            spread=float(np.mean(spread)),
            meaning=f"mean gain of a contact, as the function says: {self.summary}",
        )
        return Proposals.of(
            situation,
            rows,
            self.action,
            strategy=self.name,
            gain=gain,
            reason=[one.reason or self.summary for one in ideas],
            gain_sd=np.asarray(spread, dtype=np.float64),
            opens=opens,
            closes=np.where(np.isnat(closes), opens + np.timedelta64(13, "D"), closes),
            assumptions=[assumed],
        )

    def _proposal(self, answer: Any) -> Proposal | None:
        if answer is None or answer is False:
            return None
        if is_number(answer):
            return Proposal(gain=float(answer))
        if isinstance(answer, Proposal):
            return answer
        raise self._wrong(answer, "a strategy answers with a finite gain, a Proposal, or None for nobody")
