"""The command line: thin over the public API.

Exit codes: 0 done (also when a night had been run before and nothing changed), 1 something in the data or the
configuration must be mended (one message on standard error says what), or what was checked is rejected, 2 the command
was not understood.
"""

import argparse
import contextlib
import io
import json
import os
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from retention.errors import ConfigError, RetentionError, RetentionWarning

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
    if _traced():
        _trace()
    try:
        with _plain_warnings():
            return int(arguments.command(arguments) or 0)
    except RetentionError as error:
        print(f"retention: {error}", file=sys.stderr)
        _print_notes(error)
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
        frames = traceback.extract_tb(error.__traceback__)
        noted = any(note.startswith("while ") for note in getattr(error, "__notes__", ()))
        place = frames[-1] if noted else [f for f in frames if f.filename.startswith(str(Path(__file__).parent))][-1]
        rule = (
            "a stage answers as its kind is to" if noted else "whatever is given ends in a result or in one clear error"
        )
        remedy = (
            "mend the stage that is named below, or its options; RETENTION_TRACE=1 shows the whole traceback"
            if noted
            else "look for a value of the wrong kind in the configuration; else please report this as a defect"
        )
        print(
            f"retention: {type(error).__name__} in {Path(place.filename).name}, line {place.lineno}\n"
            f"  rule: {rule}\n  remedy: {remedy}",
            file=sys.stderr,
        )
        _print_notes(error)
        if _traced():
            traceback.print_exception(error)
        return 1


def _traced() -> bool:
    return os.environ.get("RETENTION_TRACE", "").strip() == "1"


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings of this library as one line of text, without a place in its code."""
    usual = warnings.formatwarning

    def plain(message: Any, category: type[Warning], *rest: Any, **more: Any) -> str:
        ours = issubclass(category, RetentionWarning)
        return f"retention: warning: {message}\n" if ours else usual(message, category, *rest, **more)

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = usual


def _print_notes(error: Exception) -> None:
    """Whose stage was at work, where the library noted it."""
    for note in getattr(error, "__notes__", ()):
        if note.startswith("while "):
            print(f"  {note}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retention", description="From a pile of receipts to the next contact worth making."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
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

    plugins = command("plugins", _plugins, "who is on board, and what failed to load")
    plugins.add_argument("ask", nargs="?", choices=["show"], help="everything about one of them, or about each")
    plugins.add_argument("name", nargs="?", help="a plugin's name, or its distribution's")

    check = command("check", _check, "grade a contact policy before it goes live; of other contributions, their laws")
    check.add_argument("what", metavar="MODULE_OR_NAME", help="a name on board, a module, module:object, or a file.py")
    check.add_argument("--journal", metavar="FILE", help="what was decided before, and with which chances")
    check.add_argument("--receipts", metavar="FILE", help="of the same shop: retention.toml, or a file of transactions")
    check.add_argument("--options", nargs="+", metavar="KEY=VALUE", default=[], help="what it is made with")
    check.add_argument("--interval", type=float, default=0.95, help="of the intervals (default: %(default)s)")
    check.add_argument("--nights", type=int, default=30, metavar="N", help="simulated nights (default: %(default)s)")
    _add_columns(check)
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

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.quiet = arguments.json or getattr(arguments, "quiet", False)
        self.start = time.monotonic()

    def __call__(self, stage: str) -> None:
        elapsed = time.monotonic() - self.start
        if not self.quiet and elapsed > 2.0:
            print(f"[{elapsed:5.1f} s] {stage}", file=sys.stderr, flush=True)


def _night(arguments: argparse.Namespace, progress: _Progress, *, remember: bool) -> Any:
    """One night of the program. Without ``remember`` the journal is read, not written."""
    from retention.journal import Journal

    program = _program(arguments)
    if program.journal is None:
        return program, program.run(progress=progress)
    on_a_server = "://" in program.journal
    if not remember:
        if not (on_a_server or Path(program.journal).exists()):
            return program, program.run(progress=progress)
        with Journal(program.journal) as journal:
            return program, program.run(journal=journal, record=False, progress=progress)
    if not on_a_server:
        Path(program.journal).parent.mkdir(parents=True, exist_ok=True)
    with Journal(program.journal) as journal:
        return program, program.run(journal=journal, progress=progress)


def _say(told: object) -> None:
    """Print for a person; a control character in a name is spelled out, for a terminal would obey it."""
    print(_CONTROL.sub(lambda found: repr(found[0])[1:-1], str(told)))


def _print_json(value: Any) -> None:
    spells_all = (sys.stdout.encoding or "").casefold().replace("-", "").startswith("utf")
    print(json.dumps(value, indent=2, ensure_ascii=not spells_all, default=str))


def _run(arguments: argparse.Namespace) -> None:
    from retention.plan.vetoes import FAILED

    progress = _Progress(arguments)
    program, night = _night(arguments, progress, remember=True)
    for note in night.plan.notes:
        if note.endswith(FAILED):
            print(f"retention: warning: {note}: mend it and run the night again, it is not on file", file=sys.stderr)
    paths = night.save(arguments.out or program.folder, progress=progress)
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
    _, night = _night(arguments, _Progress(arguments), remember=False)
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
    _, night = _night(arguments, _Progress(arguments), remember=False)
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
    from retention.plugins import open_registry, show

    with _prints_aside():
        registry = open_registry(strict=False if arguments.ask else None)
    if arguments.name is not None:
        plugin = show(arguments.name, registry)
        _print_json(plugin.details()) if arguments.json else _say(plugin)
    elif arguments.json:
        _print_json([plugin.details() if arguments.ask else plugin.to_dict() for plugin in registry.plugins])
    else:
        _say("\n\n".join(map(str, registry.plugins)) if arguments.ask else registry.plugins)


@contextlib.contextmanager
def _prints_aside() -> Iterator[None]:
    """What anyone but us writes to standard output, programs and C code too, goes to standard error."""
    sys.stdout.flush()
    try:
        ours = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of them is closed: there is nothing to keep apart
        yield
        return
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(ours, 1)
        os.close(ours)


def _trace() -> None:
    """Every hook that is called and every thing that a plugin makes, on standard error."""
    import logging

    log = logging.getLogger("retention.plugins")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
        log.setLevel(logging.DEBUG)


def _check(arguments: argparse.Namespace) -> int:
    """Report cards; 1 if any verdict is to reject."""
    from retention.journal import Journal
    from retention.proof.arms import of_the_decided
    from retention.testing import report_card
    from retention.testing.subjects import subjects

    options, program, told = dict(_option(text) for text in arguments.options), None, {}
    if arguments.receipts is not None:
        arguments.source, arguments.as_of, arguments.money, arguments.hours, arguments.consents = (
            arguments.receipts, None, None, None, None,
        )  # fmt: skip
        program = _program(arguments)
        options = {**program.options.get(arguments.what, {}), **options}  # the one on duty, not one by default
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a module of the folder one works in can be named
    with _prints_aside():
        found = subjects(arguments.what, options=options)
    place = arguments.journal if program is None else program.journal
    if (place is None) != (program is None):
        raise ConfigError(
            "receipts without a journal" if place is None else "a journal without receipts",
            rule="what a policy would have earned is told by both: who was contacted by chance, and what she bought",
            remedy="give --journal and --receipts, or neither",
        )
    if place is not None and "://" not in place and not Path(place).exists():
        raise ConfigError(f"journal {place}", rule="the journal is there", remedy="check the path")
    with contextlib.nullcontext() if place is None else Journal(place) as journal:
        if program is not None and journal is not None and any(one.kind == "contact_policy" for one in found):
            log, _ = of_the_decided(journal, program.read_log())
            told = {"log": log, "known": _known(program)}
        cards: list[Any] = []
        for one in found:
            with _prints_aside():
                card = report_card(
                    one.thing,
                    kind=one.kind,
                    journal=journal,
                    nights=arguments.nights,
                    interval=arguments.interval,
                    options=one.options,
                    **told,
                )
            if not arguments.json:
                _say(f"\n{card}" if cards else card)
            cards.append(card)
    if arguments.json:
        _print_json([card.to_dict() for card in cards])
    return int(any(card.verdict == "reject" for card in cards))


def _known(program: Any) -> Any:
    """What the program knows of its customers beside receipts and journal."""
    from retention.records import read_attributes, read_causes, read_consents, read_customer_list
    from retention.testing import Known

    def read(given: Any, reader: Callable[[Any], Any]) -> Any:
        return reader(given) if isinstance(given, str) else given

    return Known(
        consents=read(program.consents, read_consents),
        do_not_contact=read(program.do_not_contact, read_customer_list) or (),
        causes=read(program.causes, read_causes) or {},
        attributes=read(program.attributes, read_attributes) or {},
    )


def _option(text: str) -> tuple[str, Any]:
    """A key and its value: JSON where it is that, else the text."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"the option {text!r}", rule="options are written key=value", remedy="like days=14")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _demo(arguments: argparse.Namespace) -> None:
    from retention.worlds.demo import make_demo

    folder = Path(arguments.folder)
    config = make_demo(folder)
    _run(_parser().parse_args(["run", str(config), *(["--json"] if arguments.json else [])]))
    if not arguments.json:
        print(f"Everything is in {folder}/ . Next: retention why CUSTOMER {config}")


if __name__ == "__main__":
    sys.exit(main())
