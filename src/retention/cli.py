"""The command line: thin over the public API.

Exit codes: 0 done (also when a night had been run before and nothing changed), 1 something in the data or the
configuration must be mended (one message on standard error says what), 2 the command was not understood.
"""

import argparse
import io
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from retention.errors import ConfigError, RetentionError

__all__ = ["main"]

_ROLES = (
    "customer", "at", "revenue", "quantity", "unit_price", "order", "category", "channel", "cost", "item", "line_id",
)  # fmt: skip

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding does not know is spelled out, and is no reason to stop.
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        arguments.command(arguments)
    except RetentionError as error:
        print(f"retention: {error}", file=sys.stderr)
        return 1
    except ExceptionGroup as group:
        print(f"retention: {group.message}", file=sys.stderr)
        for one in group.exceptions:
            print(f"- {type(one).__name__}: {one}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (head, less) went away: that is its right.
        sys.stderr.close()
        return 0
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        where = getattr(error, "filename", None)
        given = reason if where is None else f"{os.fspath(where)}: {reason}"
        print(f"retention: {given}\n  rule: files can be read and written\n  remedy: check the path", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("retention: stopped; what was written is whole", file=sys.stderr)
        return 1
    except Exception as error:  # the last resort: its text may hold a customer's data, its kind and place do not
        here = str(Path(__file__).parent)
        place = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(here)][-1]
        print(
            f"retention: {type(error).__name__} in {Path(place.filename).name}, line {place.lineno}\n"
            "  rule: whatever is given ends in a result or in one clear error\n"
            "  remedy: look for a value of the wrong kind in the configuration; else please report this as a defect",
            file=sys.stderr,
        )
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retention", description="From a pile of receipts to the next contact worth making."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=run)
        sub.add_argument("--json", action="store_true", help="print JSON for a machine")
        return sub

    demo = command("demo", _demo, "make a small shop's messy invoices and run everything on them")
    demo.add_argument("--folder", default="retention-demo", help="where to leave the files (default: %(default)s)")

    run = command("run", _run, "one night: read, audit, appraise, plan, remember, report")
    _add_program(run)
    run.add_argument("--out", help="folder for plan.csv, leads.csv and report.html")
    run.add_argument("--quiet", action="store_true", help="no progress on standard error")

    audit = command("audit", _audit, "what the customer base looks like and how it moves")
    _add_program(audit)

    listing = command("list", _list, "whom to contact, best first")
    _add_program(listing)
    listing.add_argument("--top", type=int, default=20, metavar="N", help="how many (default: %(default)s)")
    listing.add_argument("--why", action="store_true", help="with the reason of each")

    why = command("why", _why, "why one customer was, or was not, chosen")
    why.add_argument("customer", help="her id, as written in the data")
    _add_program(why)

    doctor = command("doctor", _doctor, "which features the data allow, what is missing and what is done instead")
    doctor.add_argument("source", help="file of transactions, or retention.toml")
    _add_columns(doctor)

    command("plugins", _plugins, "who is on board, and what failed to load")
    return parser


def _add_program(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("source", nargs="?", help="retention.toml, or a file of transactions (default: retention.toml)")
    sub.add_argument(
        "--as-of", metavar="DAY", help="the plan's day (default: as configured, else the last in the data)"
    )
    sub.add_argument("--journal", metavar="FILE", help="where decisions are remembered")
    sub.add_argument("--money", type=float, help="money that may be spent")
    sub.add_argument("--hours", type=float, help="hours that may be spent")
    sub.add_argument("--consents", metavar="FILE", help="permissions on file")
    _add_columns(sub)


def _add_columns(sub: argparse.ArgumentParser) -> None:
    columns = sub.add_argument_group("columns of a file of transactions", "guessed from the header where not named")
    for role in _ROLES:
        columns.add_argument(f"--{role.replace('_', '-')}", dest=f"role_{role}", metavar="COLUMN")
    columns.add_argument("--margin", metavar="RATE|COLUMN", help="a rate of revenue, or the column that holds it")
    columns.add_argument("--currency", metavar="CODE|COLUMN", help="a currency's code, or the column that holds it")


def _program(arguments: argparse.Namespace) -> Any:
    """The program that the arguments describe: a configuration, or a file whose columns are named or guessed."""
    from retention.program import Program

    source = Path(arguments.source or "retention.toml")
    chosen = {"money": arguments.money, "hours": arguments.hours, "consents": arguments.consents}
    overrides: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    if arguments.journal is not None:
        overrides["journal"] = arguments.journal
    if arguments.as_of is not None:
        overrides["as_of"] = arguments.as_of
    if source.suffix == ".toml":
        if named := _named(arguments):
            raise ConfigError(
                f"{', '.join(named)} beside the configuration {source.name}",
                rule="columns are named in its [read] section, or beside a file of transactions",
                remedy="write them into [read], or give the file of transactions instead of the configuration",
            )
        return Program.load(source, **overrides)
    from retention.frames.reading import open_source
    from retention.records import complete_roles, lacking_roles

    table = open_source(source)
    roles = complete_roles(table, _named(arguments))
    if lacking := lacking_roles(roles):
        raise ConfigError(
            f"{table.name}: no column was found for {', '.join(lacking)}",
            rule="columns are known by usual headers, or named",
            remedy=f"name them, like --{lacking[0].split()[0]} COLUMN; `retention doctor` shows which there are",
        )
    if not arguments.json:
        print("read as: " + ", ".join(f"{role} = {column!r}" for role, column in roles.items()), file=sys.stderr)
    return Program(source=table, read=roles, **overrides)


def _named(arguments: argparse.Namespace) -> dict[str, Any]:
    """The columns that the arguments name, by role."""
    named = {role: getattr(arguments, f"role_{role}") for role in _ROLES}
    named["margin"] = None if arguments.margin is None else _rate_or_column(arguments.margin)
    named["currency"] = arguments.currency
    return {role: column for role, column in named.items() if column is not None}


def _rate_or_column(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


class _Progress:
    """Stages on standard error, once the run has taken two seconds."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.start = time.monotonic()

    def __call__(self, stage: str) -> None:
        elapsed = time.monotonic() - self.start
        if not self.quiet and elapsed > 2.0:
            print(f"[{elapsed:5.1f} s] {stage}", file=sys.stderr, flush=True)


def _night(arguments: argparse.Namespace, *, remember: bool) -> Any:
    """One night of the program. Without ``remember`` the journal is read, not written."""
    from retention.journal import Journal

    program = _program(arguments)
    quiet = arguments.json or getattr(arguments, "quiet", False)
    if program.journal is None:
        return program, program.run(progress=_Progress(quiet))
    on_a_server = "://" in program.journal
    if not remember:
        if not (on_a_server or Path(program.journal).exists()):
            return program, program.run(progress=_Progress(quiet))
        with Journal(program.journal) as journal:
            return program, program.run(journal=journal, record=False, progress=_Progress(quiet))
    if not on_a_server:
        Path(program.journal).parent.mkdir(parents=True, exist_ok=True)
    with Journal(program.journal) as journal:
        return program, program.run(journal=journal, progress=_Progress(quiet))


def _say(told: object) -> None:
    """Print for a person; a control character in a name is spelled out, for a terminal would obey it."""
    print(_CONTROL.sub(lambda found: repr(found[0])[1:-1], str(told)))


def _print_json(value: Any) -> None:
    spells_all = (sys.stdout.encoding or "").casefold().replace("-", "").startswith("utf")
    print(json.dumps(value, indent=2, ensure_ascii=not spells_all, default=str))


def _run(arguments: argparse.Namespace) -> None:
    program, night = _night(arguments, remember=True)
    paths = night.save(arguments.out or program.folder)
    if arguments.json:
        _print_json(night.summary() | {name: str(path) for name, path in paths.items()})
        return
    _say(_told(night))
    for name, path in paths.items():
        print(f"{name}: {path}")
    if program.journal is not None:
        # An address may hold a password.
        print(f"journal: {re.sub(r'(?<=://)[^@/]*@', '', program.journal)}")


def _told(night: Any) -> str:
    """What a shop owner wants to see."""
    from retention.report import tell

    return str(tell(night))


def _audit(arguments: argparse.Namespace) -> None:
    from retention.lenses import audit

    program = _program(arguments)
    log = program.read_log()
    touches = program.read_touches()
    lenses = audit(log, as_of=program.day(log), period_days=program.period_days, touches=touches)
    _print_json(lenses.to_dict()) if arguments.json else _say(lenses)


def _list(arguments: argparse.Namespace) -> None:
    _, night = _night(arguments, remember=False)
    leads = night.plan.lead_list()[: max(arguments.top, 0)]
    rows = [leads.row(i) for i in range(len(leads))]
    if arguments.json:
        _print_json(rows)
        return
    for place, row in enumerate(rows, start=1):
        _say(f"{place:3}. {row['customer_id']}: {row['action']} ({row['channel']}), gain {row['amount']:,.2f} assumed")
        if arguments.why:
            _say(f"     {row['why']}")
    if not rows:
        print("nobody: see `retention why CUSTOMER` or the report for the reasons")


def _why(arguments: argparse.Namespace) -> None:
    _, night = _night(arguments, remember=False)
    explanation = night.why(arguments.customer)
    _print_json(explanation.to_dict()) if arguments.json else _say(explanation)


def _doctor(arguments: argparse.Namespace) -> None:
    from retention.program import Program
    from retention.records import doctor

    if Path(arguments.source).suffix == ".toml":
        program = Program.load(arguments.source)
        diagnosis = doctor(program.source, **program.read)
    else:
        diagnosis = doctor(arguments.source, **_named(arguments))
    _print_json(diagnosis.to_dict()) if arguments.json else _say(diagnosis)


def _plugins(arguments: argparse.Namespace) -> None:
    from retention.plugins import open_registry

    table = open_registry().table()
    if arguments.json:
        _print_json(table)
        return
    for entry in table:
        print(f"{entry['plugin']}: {entry['status']}")
        for kind, names in sorted(entry["gives"].items()):
            print(f"  {kind.replace('_', ' ')}: {', '.join(sorted(names))}")


def _demo(arguments: argparse.Namespace) -> None:
    from retention.worlds.demo import make_demo

    folder = Path(arguments.folder)
    config = make_demo(folder)
    _run(_parser().parse_args(["run", str(config), *(["--json"] if arguments.json else [])]))
    if not arguments.json:
        print(f"Everything is in {folder}/ . Next: retention why CUSTOMER {config}")


if __name__ == "__main__":
    sys.exit(main())
