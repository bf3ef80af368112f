"""Score where the data are: a fitted model goes to the histories, batch by batch, in the engine that holds them."""

import atexit
import datetime as dt
import importlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from attrs import frozen

from retention.domain.days import as_day
from retention.errors import ColumnError, ConfigError, ModelError, ReadError
from retention.frames.batches import Columns, mapped, mapped_batches
from retention.frames.export import write_parts
from retention.frames.lazy import engine_of, open_lazy
from retention.frames.table import Provenance, Table
from retention.histories import Histories, HistoryScan
from retention.timing import FittedClock, anticipate
from retention.value import FittedValueModel, Posterior

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw

__all__ = ["Scored", "score"]

Scorer = Callable[[Histories], Table]


def score(
    histories: Any,
    model: FittedValueModel | Posterior | FittedClock | Scorer,
    *,
    horizon_days: float = 365.0,
    discount_rate: float = 0.10,
    interval: float = 0.90,
    as_of: str | dt.date | None = None,
    currency: str | None = None,
    attributes: Sequence[str] = (),
    rows: int = 250_000,
) -> "Scored":
    """What a fitted model says of every customer, worked out in batches where the histories are.

    Nothing is read or worked out until the result is asked for. Each batch is a base of its own, so the model must
    look at one customer at a time, as all fitted models of this library do: then the scores are those of the whole
    base in memory. A fitted model goes to the workers of a cluster as JSON (its ``to_dict``) and is read there with
    the same release of this library.

    Args:
        histories: what ``summarize`` made of a scan; or a lazy frame, or a path to Parquet files, with the columns
            that :class:`Histories` has (``frequency``, ``recency_days``, ``age_days`` and ``customer_id`` at least;
            what else is missing is 0).
        model: a fitted value model, for a ``Valuation`` of each batch; or a fitted clock, for an ``Outlook``; or any
            function of a base that gives a table with a row a customer, such as
            ``lambda base: anticipate(base, clock=model, tail=0.01)``.
        horizon_days: as in ``appraise``; for value models alone, as the next two are.
        discount_rate: per year.
        interval: the probability that the bounds hold.
        as_of: the day of histories that come without one.
        currency: their currency.
        attributes: columns of theirs that a model with covariates reads.
        rows: customers in a batch.

    Raises:
        ConfigError: a model that is not fitted, or a number that is none.
        ColumnError: histories without one of the columns that they must have.

    Example:
        >>> import polars
        >>> from retention.value import BGNBD
        >>> histories = polars.LazyFrame({"customer_id": ["a", "b"], "frequency": [2, 0], "recency_days": [213.0, 0.0],
        ...                               "age_days": [272.0, 272.0], "margin_mean": [22.35, 0.0]})
        >>> model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44)
        >>> scored = score(histories, model, horizon_days=273)
        >>> scored.frame.collect()["expected_purchases"].round(2).to_list()
        [1.23, 0.2]
        >>> scored.collect()
        <Valuation: 2 rows, customer_id, p_alive, expected_purchases, margin_mean, expected_margin, value, value_low, \
value_high, value_sd, p_purchase>
    """
    if rows < 1:
        raise ConfigError(f"rows={rows!r}", rule="a batch has customers in it", remedy="rows=250_000")
    asked: dict[str, Any] = {"horizon_days": horizon_days, "discount_rate": discount_rate, "interval": interval}
    wrong = [f"{name}={value!r}" for name, value in asked.items() if not isinstance(value, Real)]
    if wrong:
        raise ConfigError(", ".join(wrong), rule="it is a number", remedy="horizon_days=365, discount_rate=0.10")
    scorer = _scorer(model, asked)
    if isinstance(histories, HistoryScan):
        told = [name for name, given in (("as_of", as_of), ("currency", currency)) if given is not None]
        if told or attributes:
            raise ConfigError(
                f"{', '.join(told) or 'attributes'} with histories of a scan",
                rule="histories of a scan have their own day and currency, and no other columns",
                remedy="leave it out",
            )
        frame, local = histories.frame, histories.local
        provenance = attrs.evolve(histories.scan.provenance, as_of=histories.as_of.isoformat())
        batch = _Batch(as_of=histories.as_of, currency=histories.scan.currency, provenance=provenance)
    else:
        frame, local = open_lazy(histories), None
        day = None if as_of is None else as_day(as_of)
        provenance = Provenance(as_of=None if day is None else day.isoformat())
        batch = _Batch(as_of=day, currency=currency, provenance=provenance, attributes=tuple(attributes))
    missing = [name for name in (*_NEEDED, *attributes) if name not in frame.columns]
    if missing:
        raise ColumnError(
            f"histories without {', '.join(missing)}",
            rule=f"histories have at least the columns {', '.join((*_NEEDED, *attributes))}",
            remedy="summarize a scan of transactions, or rename the columns",
        )
    wanted = [f.name for f in attrs.fields(Histories) if f.metadata.get("column") and f.name in frame.columns]
    return Scored(
        source=frame.select(*wanted, *attributes),
        local=local if local is None else attrs.evolve(local, currency=batch.currency, provenance=batch.provenance),
        rule=_Rule(scorer=scorer, batch=batch),
        rows=rows,
    )


_NEEDED = ("customer_id", "frequency", "recency_days", "age_days")


@frozen(eq=False, repr=False, kw_only=True)
class Scored:
    """Scores that are worked out when they are asked for, in the engine that holds the histories."""

    source: "nw.LazyFrame[Any]"
    local: Histories | None
    rule: "_Rule"
    rows: int

    @cached_property
    def frame(self) -> "nw.LazyFrame[Any]":
        """The scores as a lazy frame of the same engine, one row a customer in no order.

        polars, Spark and Dask score when the frame is asked for something. DuckDB and Ibis have no way to call the
        model from within a query: there the batches are scored when ``frame`` is first named, into temporary Parquet
        files (they go when the process ends), and the frame, of the same connection, reads those.
        """
        others = self._others()
        return mapped(
            self.source,
            self.rule,
            empty=self._like.columns(),
            others=(self._like if others is None else others).columns(),
            rows=self.rows,
            spool=str(Path(_spools(), f"scored-{next(_NUMBERS)}")),
        )

    def batches(self) -> Iterator[Table]:
        """The scores as tables, each of a batch of customers: what is in memory is one batch at a time.

        While they are read from DuckDB, ask nothing else of the same connection. Dask scores all customers at once, so
        that it reads the receipts once; their scores are in memory then, their histories are not.
        """
        for columns in mapped_batches(self.source, self.rule, self.rows):
            yield _table(self._like, columns)
        others = self._others()
        if others is not None:
            yield others

    def to_parquet(self, folder: str | os.PathLike[str]) -> Path:
        """Write the scores into a folder of Parquet parts, a batch each, one batch in memory at a time.

        The folder appears whole; parts that stood in it are replaced.
        """
        found = (one.columns() for one in self.batches())
        first = next(found, None)
        return write_parts([self._like.columns()] if first is None else itertools.chain([first], found), folder)

    def collect(self) -> Any:
        """All scores as one table in memory, in order of the customers' ids; as of the whole base but for what is of
        a total (``total_bounds``)."""
        found = [one.columns() for one in self.batches()] or [self._like.columns()]
        together = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
        order = np.argsort(together[self._like.key], kind="stable")
        return _table(self._like, {name: values[order] for name, values in together.items()})

    @cached_property
    def _like(self) -> Table:
        """No rows of what comes out: its kind and the types of its columns."""
        nobody: Columns = _NOBODY
        if self.rule.batch.attributes:  # which of them there are only the frame knows
            head = self.source.head(1).collect()
            nobody = {name: head[name].to_numpy() for name in head.columns} if len(head) else nobody
        return self.rule.table(nobody).take(slice(0, 0))

    def _others(self) -> Table | None:
        """The scores of the customers whose histories are here, not in the engine."""
        return None if self.local is None else self.rule.checked(self.rule.scorer(self.local), self.local)

    def __repr__(self) -> str:
        return f"<Scored: in {engine_of(self.source)}, batches of {self.rows:,} customers, not worked out>"


def _table(like: Table, columns: Columns) -> Table:
    """A table of the same kind with other rows; what is said of all rows together is left out."""
    kinds = like.columns()
    if columns.keys() != kinds.keys():
        raise ModelError(
            f"batches with different columns ({', '.join(sorted(columns.keys() ^ kinds.keys()))})",
            rule="a model says the same of whatever customers it is asked about",
            remedy="score with a model whose tables always have the same columns",
        )
    text = {name: np.str_ if kind.dtype.kind == "U" else kind.dtype for name, kind in kinds.items()}
    typed: dict[str, Any] = {name: columns[name].astype(kind, copy=False) for name, kind in text.items()}
    return attrs.evolve(like, **typed)


@frozen(kw_only=True)
class _Batch:
    """What turns columns of an engine into a base."""

    as_of: dt.date | None
    currency: str | None
    provenance: Provenance
    attributes: tuple[str, ...] = ()

    def base(self, columns: Columns) -> Histories:
        """The rows of a batch as a base, in the order of the batch."""
        known = {name: values for name, values in columns.items() if name not in self.attributes}
        for name, values in known.items():
            kind = values.dtype.kind
            holes = np.isnan(values).sum() if kind == "f" else values.tolist().count(None) if kind == "O" else 0
            if holes:
                raise ReadError(
                    f"histories with {holes:,} holes in {name}",
                    rule="a history has no holes; one is where more money of a customer than can be summed exactly is",
                    remedy="fill them, or set a max_amount that leaves slips of the finger aside",
                )
        days: dict[str, Any] = {
            name: known[name].astype("datetime64[D]") for name in ("first_at", "last_at") if name in known
        }
        who = known["customer_id"].astype(np.str_)
        told: dict[str, Any] = {**known, **days, "customer_id": who}
        base = Histories.from_arrays(**told, as_of=self.as_of, currency=self.currency)
        base = attrs.evolve(base, provenance=self.provenance)
        return base.with_attributes({name: columns[name] for name in self.attributes}) if self.attributes else base


@frozen(kw_only=True)
class _Rule:
    """From columns of histories to columns of scores, wherever that is."""

    scorer: Any
    batch: _Batch

    def __call__(self, columns: Columns) -> Columns:
        return self.table(columns).columns()

    def table(self, columns: Columns) -> Table:
        """The scores of these rows."""
        base = self.batch.base(columns)
        return self.checked(self.scorer(base), base)

    def checked(self, told: Any, base: Histories) -> Table:
        """What a scorer said, if it is a table with a row for each of these customers."""
        if not isinstance(told, Table) or len(told) != len(base):
            raise ModelError(
                f"a score of {len(base):,} customers that is a {type(told).__name__}"
                + (f" of {len(told):,} rows" if isinstance(told, Table) else ""),
                rule="a score is a table with one row a customer",
                remedy="return what model.value(base, ...) or anticipate(base, clock=model) returns",
            )
        return told


_NOBODY: dict[str, Any] = {
    "customer_id": np.array(["nobody"]),
    "first_at": np.array(["2000-01-01"], dtype="datetime64[D]"),
    "last_at": np.array(["2000-01-01"], dtype="datetime64[D]"),
    "frequency": np.zeros(1, dtype=np.int64),
    "recency_days": np.zeros(1),
    "age_days": np.zeros(1),
    "margin": np.ones(1),
}
"""A customer of today who does not exist: what is said of her shows what is said of customers."""


@frozen
class _Stored:
    """A fitted model as JSON, and what is asked of it: what goes to a worker."""

    where: str
    text: str
    asked: tuple[tuple[str, float], ...]

    def __call__(self, base: Histories) -> Table:
        return _answer(_read(self.where, self.text), base, dict(self.asked))


@frozen
class _Told:
    """A fitted model that has no JSON, and what is asked of it."""

    model: Any
    asked: tuple[tuple[str, float], ...]

    def __call__(self, base: Histories) -> Table:
        return _answer(self.model, base, dict(self.asked))


@lru_cache(maxsize=8)
def _read(where: str, text: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name).from_dict(json.loads(text))


def _answer(model: Any, base: Histories, asked: Mapping[str, float]) -> Table:
    if isinstance(model, FittedValueModel):
        return model.value(base, **asked)
    return anticipate(base, clock=model)


def _scorer(model: Any, asked: Mapping[str, float]) -> Scorer:
    """What is called with each batch."""
    if isinstance(model, Posterior):
        model = model.model()  # its draws as points: what ``value`` goes by
    if isinstance(model, FittedValueModel):
        return _sent(model, tuple((name, float(value)) for name, value in asked.items()))
    idle = [name for name, value in asked.items() if value != _USUAL[name]]
    if idle:
        raise ConfigError(
            f"{', '.join(idle)} with a model of type {type(model).__name__}",
            rule="it is asked of value models alone",
            remedy="leave it out; a function says for itself what it asks",
        )
    if isinstance(model, FittedClock):
        return _sent(model, ())
    if not callable(model) or isinstance(model, type) or hasattr(model, "fit"):
        raise ConfigError(
            f"model of type {type(model).__name__}",
            rule="a fitted value model, a fitted clock, or a function from a base to a table scores",
            remedy="fit it first: BGNBD().fit(base), or fit_purchases(*histories.cells())",
        )
    return model  # type: ignore[no-any-return]


def _sent(model: Any, asked: tuple[tuple[str, float], ...]) -> Scorer:
    """A fitted model as it goes to a worker."""
    kind = type(model)
    if hasattr(model, "to_dict") and hasattr(kind, "from_dict"):
        return _Stored(f"{kind.__module__}:{kind.__qualname__}", json.dumps(model.to_dict()), asked)
    return _Told(model, asked)


_USUAL = {"horizon_days": 365.0, "discount_rate": 0.10, "interval": 0.90}
_NUMBERS = itertools.count()


@lru_cache(maxsize=1)
def _spools() -> str:
    """A folder for what lasts as long as the process."""
    folder = tempfile.mkdtemp(prefix="retention-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
