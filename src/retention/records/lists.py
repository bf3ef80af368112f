"""The small lists beside the receipts: consents, contacts so far, who brought whom, customers named in a file.

These decide whom we may contact and who gets the credit. A line that cannot be read is an error that names it, never
a guess.
"""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from retention.errors import ReadError
from retention.frames.reading import RawColumn, Source, open_source
from retention.frames.source import looks_like_data
from retention.frames.table import DayColumn
from retention.records._arguments import check_day_first
from retention.records._dates import FINE, MISSING, parse_dates
from retention.records._names import names, plain
from retention.records.contracts import Contracts
from retention.records.permissions import Consents
from retention.records.referrals import Referrals
from retention.records.roles import SYNONYMS, column_headed
from retention.records.touches import Touches

__all__ = [
    "read_attributes",
    "read_causes",
    "read_consents",
    "read_contracts",
    "read_customer_list",
    "read_referrals",
    "read_touches",
]

_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})([.][0-9]+)?")

# Usual headers in English, German, French and Spanish, folded as in SYNONYMS. A number comes before a mere "id", and
# that before an address or a name.
_HEADERS = {
    "customer": SYNONYMS["customer"].replace("customeremail", "id customeremail"),
    "at": "at date day contactdate consentdate " + SYNONYMS["at"] + " kontaktdatum einwilligungsdatum "
    "datecontact datedecontact dateconsentement datedeconsentement fechacontacto fechadecontacto fechaconsentimiento",
    "channel": "channel contactchannel kanal kontaktkanal canal canaldecontact canaldecontacto",
    "purpose": "purpose zweck verwendungszweck finalite finalidad proposito",
    "granted": "granted consent permission optin erteilt einwilligung zustimmung "
    "accorde consentement accord concedido otorgado consentimiento permiso",
    "kind": "kind type art kontaktart typ genre tipo",
    "direction": "direction richtung kontaktrichtung sens direccion sentido",
    "referrer": "referrer referrerid referredby referredbyid recommendedby invitedby broughtby recommender inviter "
    "recruiter recruiterid advocate werber werberid geworbenvon empfehler empfohlenvon parrain parraine "
    "parrainepar recommandepar padrino recomendador recomendadopor referidopor referente",
    "referred": "referred referredid referredcustomer referredcustomerid referee invitee recruit newcustomer "
    "newcustomerid geworben geworbener geworbenerkunde neukunde neukundennummer filleul filleule nouveauclient "
    "referido ahijado clientereferido nuevocliente ",
    "tie": "tie tietype relation relationship beziehung verhaeltnis verhaltnis lien relacion vinculo",
}
_HEADERS |= {
    "start": "start started startdate contractstart begin begins since from signedon joined beginn vertragsbeginn "
    "startdatum von seit debut datededebut datedebut inicio fechainicio fechadeinicio desde",
    "end": "end ended enddate contractend until to cancelledon terminated terminationdate ende vertragsende enddatum "
    "bis kuendigung kundigung fin datefin datedefin resiliation fechafin fechadefin hasta baja",
    "cause": "cause reason reasonforleaving churnreason leavingreason cancellationreason terminationreason grund "
    "ursache kuendigungsgrund kundigungsgrund motif motifderesiliation raison motivo causa motivodebaja",
}
_HEADERS["referred"] += _HEADERS["customer"]  # a list of customers with a column that says who brought each
_HEADERS["at"] += " referraldate referredat referredon empfehlungsdatum dateparrainage datedeparrainage"
# Answers in those languages, as `plain` writes them.
_YES = (
    "yes y true 1 granted opted_in opt-in ja j wahr erteilt zugestimmt eingewilligt oui o vrai accorde accepte "
    "si s verdadero concedido otorgado aceptado"
)
_NO = (
    "no n false 0 withdrawn denied opted_out opt-out nein falsch widerrufen abgelehnt verweigert non faux retire "
    "refuse revoque falso retirado revocado rechazado denegado"
)
_ANSWERS = {word.replace("_", " "): answer for words, answer in ((_YES, True), (_NO, False)) for word in words.split()}
_ANSWERS[""] = False
_IN = "in inbound incoming eingehend ein entrant entrante"
_OUT = "out outbound outgoing ausgehend aus sortant saliente"
_KIN = {
    "friend": "friend freund freundin ami amie amigo amiga",
    "family": "family relative sister brother mother father spouse familie verwandt verwandte famille parent parente "
    "familia pariente",
    "co-worker": "co-worker coworker co_worker colleague kollege kollegin collegue companero companera colega",
    "other": "other neighbour neighbor andere sonstige nachbar nachbarin autre voisin voisine otro otra vecino vecina",
}
_TIES = {"": "other"} | {word.replace("_", " "): tie for tie, words in _KIN.items() for word in words.split()}
_DIRECTIONS = {"": "out"} | {word: way for words, way in ((_IN, "in"), (_OUT, "out")) for word in words.split()}


def read_consents(
    source: Any,
    *,
    customer: str | None = None,
    channel: str | None = None,
    granted: str | None = None,
    purpose: str | None = None,
    at: str | None = None,
    day_first: bool | None = None,
) -> Consents:
    """Permissions on file, from a CSV or Parquet file or a frame.

    Columns that are not named are found by their usual headers (Customer, Channel, Purpose, Granted, Date, or the
    German, French or Spanish words). Customer and channel must be there. Without a column of answers (yes or no in
    these languages) every row is a permission, without purposes it is for marketing, without dates its date is
    unknown (older than any dated row).

    Days are read as ``read_transactions`` reads them, but no order is guessed: where the column does not prove whether
    03/04 is the third of April, that is an error until ``day_first`` says so.

    Raises:
        ReadError: a row without customer, channel or a readable date or answer; it names the line.
    """
    check_day_first(day_first)
    table = open_source(source)
    answers, purposes, days = (
        _header(table, role, name) for role, name in (("granted", granted), ("purpose", purpose), ("at", at))
    )
    return Consents.from_arrays(
        customer_id=_cells(table, "customer", customer),
        channel=_cells(table, "channel", channel),
        purpose=None if purposes is None else _cells(table, "purpose", purposes),
        granted=None if answers is None else _worded(table, "granted", answers, _ANSWERS, "an answer is yes or no"),
        at=None if days is None else _days(table, days, day_first, needed=False),
    )


def read_touches(
    source: Any,
    *,
    customer: str | None = None,
    at: str | None = None,
    channel: str | None = None,
    kind: str | None = None,
    direction: str | None = None,
    day_first: bool | None = None,
) -> Touches:
    """Contacts that happened, from a CSV or Parquet file or a frame.

    Columns that are not named are found by their usual headers (Customer, Date, Channel, Kind, Direction, or the
    German, French or Spanish words). Customer, day and channel must be there; a contact is a "give" and goes "out"
    where the file does not say.

    Days are read as ``read_transactions`` reads them, but no order is guessed: where the column does not prove whether
    03/04 is the third of April, that is an error until ``day_first`` says so.

    Raises:
        ReadError: a row without customer, channel or a readable date; it names the line.
    """
    check_day_first(day_first)
    table = open_source(source)
    kinds, directions = (_header(table, role, name) for role, name in (("kind", kind), ("direction", direction)))
    return Touches.from_arrays(
        customer_id=_cells(table, "customer", customer),
        at=_days(table, at, day_first, needed=True),
        channel=_cells(table, "channel", channel),
        kind=["give"] * len(table) if kinds is None else _cells(table, "kind", kinds),
        direction=None
        if directions is None
        else _worded(
            table,
            "direction",
            directions,
            _DIRECTIONS,
            "a direction is 'out' (from the firm) or 'in' (from the customer)",
        ),
    )


def read_referrals(
    source: Any,
    *,
    referrer: str | None = None,
    referred: str | None = None,
    at: str | None = None,
    tie: str | None = None,
    day_first: bool | None = None,
) -> Referrals:
    """Who brought whom, from a CSV or Parquet file or a frame.

    Columns that are not named are found by their usual headers (Referrer or Referred by, Referred or else Customer,
    Date, Tie or Relation, or the German, French or Spanish words), so a list of customers with a column for who brought
    each will do. Both ends must be there; a row without a referrer is a customer whom nobody on file brought: no
    referral, and a note of ``provenance`` counts them. Without a tie (friend, family, co-worker, other, in these
    languages) it is "other", without a date its day is unknown. Days are read as in ``read_touches``.

    Raises:
        ReadError: a row without a referred customer, a date or tie that cannot be read, or rows that are no forest (a
            customer who refers herself, one referred by two rows, a circle); it names the lines, never a customer.
    """
    check_day_first(day_first)
    table = open_source(source)
    down = _cells(table, "referred", referred)
    up_column = _column(table, "referrer", referrer)
    up = _names(up_column)
    days, ties = _header(table, "at", at), _header(table, "tie", tie)
    rule = "a tie is friend, family, co-worker or other"
    columns = {
        "referrer_id": np.asarray(up, dtype=np.str_),
        "referred_id": np.asarray(down, dtype=np.str_),
        "at": np.full(len(table), np.datetime64("NaT", "D"))
        if days is None
        else _days(table, days, day_first, needed=False),
        "tie": np.full(len(table), "other") if ties is None else np.asarray(_worded(table, "tie", ties, _TIES, rule)),
        "line": np.asarray(table.line),
    }
    brought = np.asarray([bool(name) for name in up], dtype=bool)
    listed = Referrals(**{name: values[brought] for name, values in columns.items()})
    listed.tree(source=table.name, unit=table.unit)
    if brought.all():
        return listed
    note = f"{int((~brought).sum()):,} rows of {table.name} name no referrer in column {up_column.name!r}: no referrals"
    return attrs.evolve(listed, provenance=listed.provenance.with_notes(note))


def read_contracts(
    source: Any,
    *,
    customer: str | None = None,
    start: str | None = None,
    end: str | None = None,
    cause: str | None = None,
    as_of: dt.date | str,
    observed_from: dt.date | str | None = None,
    day_first: bool | None = None,
) -> Contracts:
    """Contracts with their ends and causes, from a CSV or Parquet file or a frame.

    Columns that are not named are found by their usual headers (Customer, Start, End, Cause or Reason, or the German,
    French or Spanish words). Customer, start and end must be there: an empty cell of the end is a contract that runs;
    an empty cause is one that nobody stated, and stays unknown. ``observed_from`` is the first day whose ends are on
    file, if older contracts are in the list only because they lasted until then. Days are read as in ``read_touches``.

    Raises:
        ReadError: a row without customer, a start or end that cannot be read, an end before the start, a cause without
            an end, or overlapping contracts of one customer; it names the lines, never a customer.
    """
    check_day_first(day_first)
    table = open_source(source)
    reasons = _header(table, "cause", cause)
    return Contracts.from_arrays(
        customer_id=_cells(table, "customer", customer),
        start=_days(table, start, day_first, needed=True, role="start"),
        end=_days(table, end, day_first, needed=False, role="end"),
        cause=None if reasons is None else _text(_column(table, "cause", reasons)),
        as_of=as_of,
        observed_from=observed_from,
        line=table.line,
        source=table.name,
        unit=table.unit,
    )


def read_causes(source: Any, *, customer: str | None = None, cause: str | None = None) -> dict[str, str]:
    """Why customers leave, by id, from a CSV or Parquet file or a frame: what exit questions and why-tasks brought.

    Columns that are not named are found by their usual headers (Customer, Cause or Reason, or the German, French or
    Spanish words). A row without a cause says nothing; of several rows of one customer the last counts.

    Raises:
        ReadError: a row without customer, or a file without these columns; it names the line.
    """
    table = open_source(source)
    who, why = _cells(table, "customer", customer), _text(_column(table, "cause", cause))
    return {name: reason for name, reason in zip(who, why, strict=True) if reason}


def read_customer_list(source: Any, *, customer: str | None = None) -> tuple[str, ...]:
    """The customers that a file names (open complaints, do-not-contact), each once, in order."""
    return tuple(dict.fromkeys(_cells(open_source(source), "customer", customer)))


def read_attributes(source: Any, *, customer: str | None = None) -> dict[str, dict[str, Any]]:
    """What is known of customers besides what they bought: for each column its values by id.

    A file of one row a customer: time zone, household, points, anything. A column whose cells are all plain numbers
    holds numbers, any other holds text; an empty cell says nothing of her. Of several rows of one customer the last
    that says something counts.

    Raises:
        ReadError: a row without customer, or a file without a column for the customer; it names the line.

    Example:
        >>> import pandas as pd
        >>> read_attributes(pd.DataFrame({"customer": ["a", "b"], "time_zone": ["Asia/Tokyo", None], "points": [3, 7]}))
        {'time_zone': {'a': 'Asia/Tokyo'}, 'points': {'a': 3.0, 'b': 7.0}}
    """
    table = open_source(source)
    who = _cells(table, "customer", customer)
    key = _header(table, "customer", customer)
    found: dict[str, dict[str, Any]] = {}
    for name in table.columns:
        if name != key:
            cells = _text(table.column(name, role=name))
            numbers = _numbers([cell for cell in cells if cell])
            told = {one: cell for one, cell in zip(who, cells, strict=True) if cell}
            found[name] = {one: float(cell) for one, cell in told.items()} if numbers else told
    return found


def _numbers(cells: list[str]) -> bool:
    """Whether all are plain numbers; a number that begins with a zero is a name, as postcodes are."""
    return bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)


def _header(table: Source, role: str, name: str | None) -> str | None:
    """The column that plays a role: the one named, else the first with a usual header."""
    return name if name is not None else column_headed(_HEADERS[role], table.columns)


def _column(table: Source, role: str, name: str | None) -> RawColumn:
    header = _header(table, role, name)
    if name is None and looks_like_data(table.columns):
        header = None  # the word "email" in a first line of data is not the header of the customers
    if header is None:
        raise ReadError(
            f"{table.name} has no column for the {role}",
            rule=f"the {role} stands in a column that is named, or under a usual header",
            remedy=f"rename a column, or pass {role}=...; {table.nearest(role)}",
        )
    return table.column(header, role=role)


def _text(column: RawColumn) -> list[str]:
    """The cells as text, empty where there is none."""
    if column.kind == "text":
        cells = [column.labels[code].strip() if code >= 0 else "" for code in column.values.tolist()]
    elif column.kind == "float":
        cells = [str(int(v)) if float(v).is_integer() else str(v) for v in column.values.tolist()]
    else:
        cells = [str(v) for v in column.values.tolist()]
    return ["" if gone else cell for cell, gone in zip(cells, column.missing.tolist(), strict=True)]


def _names(column: RawColumn) -> list[str]:
    """Customers as the transaction log calls them."""
    texts, codes, _ = names(column)
    return [texts[code] if code >= 0 else "" for code in codes.tolist()]


def _cells(table: Source, role: str, name: str | None) -> list[str]:
    column = _column(table, role, name)
    cells = _names(column) if role in ("customer", "referred") else _text(column)
    _refuse_shapeless(table)
    if "" in cells:
        raise ReadError(
            f"{table.name}, {table.unit} {table.line[cells.index('')]}: no {role}",
            rule=f"every row of this list names its {role}",
            remedy=f"fill the cell in column {column.name!r} or take the row out",
        )
    return cells


def _days(table: Source, name: str | None, day_first: bool | None, *, needed: bool, role: str = "at") -> DayColumn:
    """The days of a list, NaT where there is none and none is needed."""
    column = _column(table, role, name)
    dates = parse_dates(column, day_first=day_first, zone=None, may_guess=False)
    fine = (dates.state == FINE) | ((dates.state == MISSING) & (not needed))
    if not fine.all():
        rule = (
            "a day is written like 2011-12-31, 31.12.2011 or 31 Dec 2011; "
            "like 03/04/2011 only where day_first or the other days of the column settle the order"
        )
        raise _unreadable(table, column, int(np.argmin(fine)), rule)
    return np.where(dates.state == FINE, dates.at, np.datetime64("NaT", "s")).astype("datetime64[D]")


def _worded(table: Source, role: str, name: str | None, words: Mapping[str, Any], rule: str) -> list[Any]:
    """What the words of a column mean; one that has no meaning is an error."""
    column = _column(table, role, name)
    cells = [plain(cell) for cell in _text(column)]
    for row, cell in enumerate(cells):
        if cell not in words:
            raise _unreadable(table, column, row, f"{rule}: {', '.join(filter(None, words))}")
    return [words[cell] for cell in cells]


def _unreadable(table: Source, column: RawColumn, row: int, rule: str) -> ReadError:
    return ReadError(
        f"{table.name}, {table.unit} {table.line[row]}, column {column.name!r}: {_text(column)[row][:40]!r}",
        rule=rule,
        remedy="mend the cell or take the row out: what a list says is never guessed",
    )


def _refuse_shapeless(table: Source) -> None:
    if len(table.misshapen):
        raise ReadError(
            f"{table.name}, line {int(table.misshapen[0])}: too few or too many cells",
            rule="every row of this list has as many cells as the header",
            remedy="mend the line: what a list says is never guessed",
        )
