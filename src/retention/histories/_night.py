"""The making of one night of a history store."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from attrs import frozen

from retention.errors import ConfigError, ReadError
from retention.frames.embedded import parquet, write_rows
from retention.histories._manifest import HISTORY, LINE, File, Manifest, Shape, histories_of, id_type, lines_of, scan_of
from retention.histories.nights import TakenIn
from retention.histories.summarize import summarize
from retention.records.quality import Quality, SetAside
from retention.records.scan import MICRO, TransactionScan

_MANY = 30
"""Of more files than this one is made."""

_ORDERED = 'ORDER BY customer, "at", "order", line_id'


@frozen(kw_only=True, eq=False)
class Work:
    """The files of the next generation, prepared beside those that are there."""

    folder: Path
    known: Manifest
    workshop: Path
    engine: Any

    def written(self, what: str, query: str) -> File:
        """The rows of a query as a file of the next generation."""
        path = self.folder / f"part-{self.known.generation + 1:06}-{what}.parquet"
        self.engine.execute(
            f"COPY ({query}) TO '{_quoted(path)}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 50000)"
        )
        return File(name=path.name, bytes=path.stat().st_size)

    def one(self, query: str) -> Any:
        """The answer to a question."""
        return self.engine.execute(query).fetchall()[0][0]


class OneNight:
    """The making of one night's files."""

    def __init__(self, work: Work, day: dt.date, delivery: str | None) -> None:
        self.work, self.day, self.delivery = work, day, delivery
        self.folder, self.known, self.workshop, self.engine = work.folder, work.known, work.workshop, work.engine
        self.number = len(work.known.nights) + 1

    def take(self, scan: TransactionScan, withdrawn: list[str]) -> Manifest:
        """What the store holds with these rows; its files are written, and not yet settled on the disk."""
        known, night = self.known, TakenIn(night=self.number, as_of=self.day, delivery=self.delivery)
        night, shape = self._stage(scan, night)
        if withdrawn and not (shape is not None and shape.line_ids):
            raise ConfigError(
                f"{len(withdrawn):,} line ids to withdraw",
                rule="rows are withdrawn by the line ids that they came with",
                remedy="name line_id in scan_transactions from the first night on",
            )
        mark = self._fingerprint(night)
        known_delivery = night.rows_kept > 0 and mark in known.fingerprints
        night = attrs.evolve(night, known_delivery=known_delivery)
        self._compare("tonight WHERE false" if known_delivery else "tonight WHERE true", withdrawn)
        night = self._count(night)
        rows = f"SELECT {', '.join(LINE)}, {self.number} AS night FROM accepted {_ORDERED}"
        lines, gone = known.lines, known.gone
        if night.rows_kept > night.repeated:
            lines += (self.work.written("lines", rows),)
        if self.work.one("SELECT count(*) FROM gone"):
            gone += (self.work.written("gone", f"SELECT line_id, {self.number} AS night FROM gone"),)
        last = self.work.one("SELECT max(date) FROM accepted")
        then = attrs.evolve(
            known,
            generation=known.generation + 1,
            as_of=self.day,
            last_day=max((one for one in (known.last_day, last) if one is not None), default=None),
            shape=shape,
            notes=tuple(dict.fromkeys([*known.notes, *scan.provenance.notes])) if night.rows_kept else known.notes,
            lines=lines,
            gone=gone,
            account=known.account + self._account(scan.quality, night),
            before=tuple(file.name for file in known.files),
            fingerprints=(*known.fingerprints, mark),
        )
        then, night = self._summed(then, night)
        if len(lines) > _MANY:
            everything = f"SELECT * FROM ({lines_of(self.folder, then)}) {_ORDERED}"
            then = attrs.evolve(then, lines=(self.work.written("all", everything),), gone=())
        return attrs.evolve(then, nights=(*known.nights, night))

    def _stage(self, scan: TransactionScan, night: TakenIn) -> tuple[TakenIn, Shape | None]:
        """The rows of tonight on this machine as the view ``tonight``, in the store's types."""
        path = self.workshop / "delivered.parquet"
        write_rows(scan.lines, path)
        described = self.engine.execute(f"DESCRIBE SELECT * FROM {parquet([path])}").fetchall()
        types = {name: kind for name, kind, *_ in described}
        quality = scan.quality
        rows = int(self.work.one(f"SELECT count(*) FROM {parquet([path])}"))
        if rows != quality.rows_kept:
            raise ReadError(
                f"{rows:,} rows and then {quality.rows_kept:,}",
                rule="rows do not change while they are taken in",
                remedy="export them to a file first, and take in that",
            )
        shape = self._shape(scan, types["customer"]) if rows else self.known.shape
        ids = "VARCHAR" if shape is None or shape.ids == "text" else "BIGINT"
        stamp = "TIMESTAMP" if shape is not None and shape.times else "DATE"
        self.engine.execute(
            f"""CREATE TEMP VIEW tonight AS SELECT CAST(customer AS {ids}) AS customer, CAST("at" AS {stamp}) AS "at",
            CAST(date AS DATE) AS date, {_text('"order"', types)} AS "order", revenue, margin,
            CAST(pieces AS BIGINT) AS pieces, CAST(bought AS INTEGER) AS bought, {_text("line_id", types)} AS line_id
            FROM {parquet([path])}"""
        )
        aside = {reason: part.rows for reason, part in quality.set_aside.items()}
        return attrs.evolve(night, rows_read=quality.rows_in, rows_kept=rows, set_aside=aside), shape

    def _shape(self, scan: TransactionScan, ids: str) -> Shape:
        known = self.known.shape
        shape = Shape(
            # Where ids are text, those of a night that happen to be numbers are text as well.
            ids="text" if ids == "VARCHAR" or (known is not None and known.ids == "text") else "whole numbers",
            orders=scan.has_orders,
            line_ids=scan.has_line_ids,
            times=scan.has_times,
            margins=scan.has_margin,
            currency=scan.currency,
        )
        if known is not None and shape != known:
            was, now = attrs.asdict(known), attrs.asdict(shape)
            other = next(name for name in was if was[name] != now[name])
            raise ReadError(
                f"{other.replace('_', ' ')}: {now[other]} tonight, {was[other]} in the nights before",
                rule="all deliveries name the same columns and have them in the same types and currency",
                remedy="cast or name the columns as on the first night",
            )
        return shape

    def _fingerprint(self, night: TakenIn) -> str:
        """The same for the same rows under the same name, in whatever order they come."""
        cells = ", ".join(f"coalesce(CAST({name} AS VARCHAR), chr(0))" for name in LINE)
        total = self.work.one(
            f"SELECT sum(CAST(md5_number_lower(concat_ws(chr(31), {cells})) AS HUGEINT)) FROM tonight"
        )
        return f"{night.rows_kept}:{total or 0}:{night.delivery or ''}"

    def _compare(self, rows: str, withdrawn: list[str]) -> None:
        """Rows that have line ids beside the earlier ones of the same ids.

        Then ``accepted`` are the rows that say something new, and ``gone`` the ids whose earlier lines count no more.
        """
        run = self.engine.execute
        run("CREATE TEMP TABLE withdrawn (line_id VARCHAR)")
        if withdrawn:
            run("INSERT INTO withdrawn SELECT DISTINCT unnest(?)", [withdrawn])
        run(f"CREATE TEMP TABLE told AS SELECT DISTINCT * FROM {rows} AND line_id IS NOT NULL")
        ids, distinct = run("SELECT count(*), count(DISTINCT line_id) FROM told").fetchall()[0]
        both = self.work.one("SELECT count(*) FROM told SEMI JOIN withdrawn USING (line_id)")
        if ids != distinct or both:
            raise ReadError(
                f"{ids - distinct + both:,} rows that contradict others of tonight under the same line id",
                rule="in one night a line id has one row, or is withdrawn",
                remedy="keep the last version of each line, or take in one version a night",
            )
        stored = lines_of(self.folder, self.known)
        wanted = "SELECT line_id FROM told UNION ALL SELECT line_id FROM withdrawn"
        run(f"CREATE TEMP TABLE earlier AS SELECT * FROM ({stored}) SEMI JOIN ({wanted}) USING (line_id)")
        cells = ", ".join(LINE)
        run(f"CREATE TEMP TABLE same AS (SELECT {cells} FROM told INTERSECT SELECT {cells} FROM earlier)")
        run("CREATE TEMP TABLE gone AS SELECT line_id FROM earlier ANTI JOIN same USING (line_id)")
        run(
            f"""CREATE TEMP VIEW accepted AS SELECT * FROM told ANTI JOIN same USING (line_id)
            UNION ALL SELECT * FROM {rows} AND line_id IS NULL"""
        )

    def _count(self, night: TakenIn) -> TakenIn:
        """Which of the accepted rows are corrections, and when the others happened."""
        late = "false" if self.known.as_of is None else f"date <= DATE '{self.known.as_of}'"
        accepted, replaced, late_rows, ahead = self.engine.execute(
            f"""SELECT count(*), count(*) FILTER (replaces), count(*) FILTER (NOT replaces AND {late}),
            count(*) FILTER (NOT replaces AND date > DATE '{self.day}')
            FROM (SELECT date, line_id IS NOT NULL AND line_id IN (FROM gone) AS replaces FROM accepted)"""
        ).fetchall()[0]
        return attrs.evolve(
            night,
            new=accepted - replaced - late_rows - ahead,
            late=late_rows,
            ahead=ahead,
            corrected=replaced,
            repeated=night.rows_kept - accepted,
            withdrawn=int(self.work.one("SELECT count(*) FROM gone SEMI JOIN withdrawn USING (line_id)")),
        )

    def _account(self, came: Quality, night: TakenIn) -> Quality:
        """Tonight's rows and money, to the last millionth: what counts now, and what does not, by reason."""

        def rows_and_money(rows: str) -> SetAside:
            count, micro = self.engine.execute(f"SELECT count(*), coalesce(sum(revenue), 0) FROM {rows}").fetchall()[0]
            return SetAside(count, Decimal(int(micro)) / MICRO)

        accepted, gone = rows_and_money("accepted"), rows_and_money("earlier SEMI JOIN gone USING (line_id)")
        withdrawn = rows_and_money("earlier SEMI JOIN withdrawn USING (line_id)")
        parts = {
            "repeated": SetAside(night.repeated, came.money_kept - accepted.money),
            "replaced by a correction": SetAside(gone.rows - withdrawn.rows, gone.money - withdrawn.money),
            "withdrawn": withdrawn,
        }
        return Quality(
            rows_in=came.rows_in,
            rows_kept=accepted.rows - gone.rows,
            money_in=came.money_in,
            money_kept=accepted.money - gone.money,
            set_aside={**came.set_aside, **{reason: part for reason, part in parts.items() if part.rows}},
        )

    def _summed(self, then: Manifest, night: TakenIn) -> tuple[Manifest, TakenIn]:
        """The histories of all whom tonight concerns, from all their lines; and the others' as they were."""
        run, folder = self.engine.execute, self.folder
        run(f"CREATE TEMP TABLE concerned AS SELECT DISTINCT customer FROM ({self._concerned()})")
        count = int(self.work.one("SELECT count(*) FROM concerned"))
        if not count:
            return then, attrs.evolve(night, customers=self.known.customers)
        theirs = lines_of(folder, then)
        if self.known.histories:
            path = self.workshop / "theirs.parquet"
            run(f"COPY (SELECT * FROM ({theirs}) SEMI JOIN concerned USING (customer) {_ORDERED}) TO '{_quoted(path)}'")
            theirs = f"SELECT * FROM {parquet([path])}"
        summed = summarize(scan_of(self.engine, theirs, then), as_of=self.day)
        path = self.workshop / "summed.parquet"
        summed.frame.to_native().write_parquet(str(path))
        parts = [f"SELECT {', '.join(HISTORY)} FROM {parquet([path])}"]
        if summed.local is not None and len(summed.local):
            parts.append(self._local(summed.local.columns(), then))
        run(f"CREATE TEMP TABLE anew AS {' UNION ALL '.join(parts)}")
        known = f"({histories_of(folder, self.known)})"
        run(f"CREATE TEMP TABLE had AS SELECT customer_id FROM {known} SEMI JOIN concerned ON customer_id = customer")
        here = int(self.work.one("SELECT count(*) FROM anew"))
        had = int(self.work.one("SELECT count(*) FROM had"))
        both = int(self.work.one("SELECT count(*) FROM anew SEMI JOIN had USING (customer_id)"))
        # Whoever has no history any more has a row that says so.
        nobody = ", ".join(["customer", *("NULL" for _ in HISTORY[1:])])
        rows = f"""SELECT *, {self.number} AS night FROM anew
            UNION ALL SELECT {nobody}, {self.number} FROM concerned ANTI JOIN anew ON customer = customer_id
            ORDER BY customer_id"""
        files = (*then.histories, self.work.written("histories", rows))
        then = attrs.evolve(then, histories=files)
        if len(files) > _MANY:
            everybody = f"SELECT *, {self.number} AS night FROM ({histories_of(folder, then)}) ORDER BY customer_id"
            then = attrs.evolve(then, histories=(self.work.written("everybody", everybody),))
        joined, left = here - both, had - both
        night = attrs.evolve(night, computed=count, joined=joined, left=left, customers=then.customers + joined - left)
        return attrs.evolve(then, customers=night.customers), night

    def _concerned(self) -> str:
        """Whose rows tonight are not those of the evening before: by rows that came, went, or lay ahead until now."""
        known, until_now = self.known, f"date <= DATE '{self.day}'"
        queries = [
            f"SELECT customer FROM accepted WHERE {until_now}",
            "SELECT customer FROM earlier SEMI JOIN gone USING (line_id)",
        ]
        if known.as_of is not None and known.last_day is not None and known.last_day > known.as_of:
            stored = lines_of(self.folder, known)
            queries.append(f"SELECT customer FROM ({stored}) WHERE date > DATE '{known.as_of}' AND {until_now}")
        return " UNION ALL ".join(queries)

    def _local(self, columns: dict[str, Any], then: Manifest) -> str:
        """Histories that were worked out in memory, as a query."""
        told = {name: values.astype("datetime64[us]") if values.dtype.kind == "M" else values.astype(object)
                if values.dtype.kind == "U" else np.array(values) for name, values in columns.items()}  # fmt: skip
        self.engine.register("looked_at", told)
        cast = {"customer_id": id_type(then), "first_at": "DATE", "last_at": "DATE"}
        cells = [f"CAST({name} AS {cast[name]}) AS {name}" if name in cast else name for name in HISTORY]
        return f"SELECT {', '.join(cells)} FROM looked_at"


def forgotten(work: Work, customer_id: str) -> tuple[Manifest, int]:
    """The store without one customer, and how many rows of hers counted; no file that knows her stays."""
    known, folder = work.known, work.folder
    work.engine.execute("CREATE TEMP TABLE asked AS SELECT CAST(? AS VARCHAR) AS name", [customer_id])
    hers, lines = "CAST(customer AS VARCHAR) IN (FROM asked)", lines_of(folder, known)
    rows, micro = work.engine.execute(
        f"SELECT count(*), coalesce(sum(revenue), 0) FROM ({lines}) WHERE {hers}"
    ).fetchall()[0]
    histories = histories_of(folder, known)
    count = f"SELECT count(*) FROM ({histories}) WHERE CAST(customer_id AS VARCHAR) IN (FROM asked)"
    others = f"SELECT *, {len(known.nights)} AS night FROM ({histories}) WHERE CAST(customer_id AS VARCHAR) NOT IN "
    money = Decimal(int(micro)) / MICRO
    account = attrs.evolve(known.account, rows_kept=known.account.rows_kept - rows)
    account = attrs.evolve(account, money_kept=account.money_kept - money)
    aside = dict(account.set_aside)
    before = aside.get("forgotten", SetAside(0, Decimal(0)))
    aside["forgotten"] = SetAside(before.rows + rows, before.money + money)
    then = attrs.evolve(
        known,
        generation=known.generation + 1,
        customers=known.customers - int(work.one(count)),
        lines=(work.written("all", f"SELECT * FROM ({lines}) WHERE NOT {hers} {_ORDERED}"),),
        gone=(),
        histories=(work.written("everybody", f"{others} (FROM asked) ORDER BY customer_id"),),
        before=(),
        account=attrs.evolve(account, set_aside=aside) if rows else known.account,
    )
    return then, int(rows)


def _text(name: str, types: Mapping[str, str]) -> str:
    """A column of names as text: 17850 and 17850.0 are one, for a column with holes in it may come as floats."""
    kind = types.get(name.strip('"'))
    if kind is None:
        return "CAST(NULL AS VARCHAR)"
    text = f"CAST({name} AS VARCHAR)"
    return f"regexp_replace({text}, '\\.0$', '')" if kind in ("DOUBLE", "FLOAT") else text


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
