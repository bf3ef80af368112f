"""The whole way in one call: receipts in, a plan with reasons out, remembered."""

import datetime as dt

import attrs
import numpy as np
import pytest

import retention as rt
from retention.errors import (
    ConfigError,
    JournalError,
    PlanError,
    PluginError,
    RetentionError,
    RetentionWarning,
    UnknownNameError,
)
from retention.plan import Review, check
from retention.program import Program
from retention.records import TransactionLog
from retention.worlds import Shop
from retention.worlds.demo import make_demo


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The demo's files."""
    return make_demo(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def night(shop):
    return Program.load(shop).run()


def test_a_night_goes_from_messy_receipts_to_a_plan(night):
    assert night.log.quality.reconciles
    assert night.log.quality.rows_in > night.log.quality.rows_kept
    assert len(night.base) == len(night.worth) == len(night.when) == len(night.tiers) == len(night.plan)
    assert night.summary()["contacts"] > 0
    assert all(night.plan["reason"])
    assert night.leak.per_day == pytest.approx(night.leak["at_risk_per_day"].sum())


def test_the_same_night_from_the_same_files_is_the_same_to_the_byte(shop, night, tmp_path):
    again = Program.load(shop).run()
    assert again.plan.fingerprint() == night.plan.fingerprint()
    for folder, result in (("one", night), ("two", again)):
        result.save(tmp_path / folder)
    for name in ("plan.csv", "leads.csv", "report.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_the_ten_lines_and_the_program_make_the_same_plan(shop, night):
    program = Program.load(shop)
    log = rt.read_transactions(program.source, **program.read)
    base = rt.summarize(log, as_of=night.as_of)
    worth = rt.appraise(base, model="bg-nbd", horizon_days=365, discount_rate=0.10, interval=0.90)
    when = rt.anticipate(base)
    tiers = rt.assign_tiers(base, worth, rule="margin-bands")
    from retention.records.lists import read_consents, read_touches

    plan = rt.make_plan(
        base,
        worth,
        when,
        tiers,
        budget=rt.Budget(money=10, hours=1.5),
        consents=read_consents(program.consents),
        touches=read_touches(program.touches),
        seed=7,
    )
    assert plan.fingerprint() == night.plan.fingerprint()


def test_running_a_night_twice_changes_nothing_and_says_so(shop, tmp_path):
    program = Program.load(shop)
    with rt.Journal(tmp_path / "j.db") as journal:
        first = program.run(journal=journal)
        events = journal.events
        second = program.run(journal=journal)
        assert not first.recorded.already
        assert second.recorded.already
        assert "nothing" in second.recorded.message or "already" in second.recorded.message
        assert journal.events == events
        assert second.plan.fingerprint() == first.plan.fingerprint()


def test_a_night_decided_with_other_inputs_stands(shop, tmp_path):
    with rt.Journal(tmp_path / "j.db") as journal:
        Program.load(shop).run(journal=journal)
        with pytest.raises(JournalError, match="decided"):
            Program.load(shop, hours=1).run(journal=journal)


def test_thirty_nights_break_no_rule(shop, tmp_path):
    """Asserted from the journal's own contacts, with an independent count.

    Caps, gaps, hold-outs, consent, budgets; and of the two whom a plan without these lists would contact first, one has
    a complaint open on all nights and one has asked to be left alone.
    """
    complains, declines, *_ = Program.load(shop).run().plan.contacts["customer_id"].tolist()
    program = Program.load(shop, complaints=(complains,), do_not_contact=(declines,))
    log = program.read_log()
    last = program.day(log)
    plans = []
    with rt.Journal(tmp_path / "j.db") as journal:
        for back in range(29, -1, -1):
            plans.append(program.run(log, as_of=last - dt.timedelta(days=back), journal=journal).plan)
        decided = journal.decisions()
        contacts = decided.take(decided["arm"] == "contact")
        told = journal.adherence()
    assert told["planned"].sum() == len(contacts)
    held = {who for plan in plans for who in plan["customer_id"][plan["decision"] == "hold-out"].tolist()}
    given = rt.Program.load(shop)
    from retention.records.lists import read_consents, read_touches

    earlier = read_touches(given.touches)
    consents = read_consents(given.consents)
    assert len(contacts) > 0
    assert not {complains, declines} & set(contacts["customer_id"].tolist())
    assert not held & set(contacts["customer_id"].tolist())
    for who in sorted(set(contacts["customer_id"].tolist())):
        ours = contacts["as_of"][contacts["customer_id"] == who]
        theirs = earlier["at"][(earlier["customer_id"] == who) & (earlier["direction"] == "out")]
        every = np.sort(np.concatenate([ours, theirs]))
        for day in ours:
            window = (every > day - np.timedelta64(28, "D")) & (every <= day)
            assert window.sum() <= 2
            before = every[every < day]
            assert not len(before) or (day - before.max()).astype(int) >= 7
            assert (every == day).sum() == 1
    for plan in plans:
        assert plan.spent_money <= 10
        assert plan.spent_hours <= 1.5
        chosen = plan["decision"] == "contact"
        for channel in ("email", "phone"):
            allowed = consents.granted_to(channel, on=plan.as_of)
            assert set(plan["customer_id"][chosen & (plan["channel"] == channel)].tolist()) <= allowed


def test_with_hours_alone_there_is_still_a_plan(shop):
    plan = Program.load(shop, money=0.0, hours=1.0).run().plan
    assert plan.spent_money == 0.0
    assert 0 < plan.spent_hours <= 1.0


def test_without_consents_no_channel_that_needs_one_is_used_and_it_is_said(shop):
    plan = Program.load(shop, consents=None).run().plan
    chosen = plan["decision"] == "contact"
    assert chosen.any()
    assert not set(plan["channel"][chosen].tolist()) & {"email", "phone"}
    assert any("no consent data" in note for note in plan.notes)


class NeverOnPost:
    """A host's own policy, ten lines."""

    name = "never-on-post"

    def review(self, proposals, situation):
        return Review.veto(proposals.of_actions("channel") == "post", "we send no post")


def test_a_host_brings_its_own_policy_in_code(shop):
    plan = Program.load(shop, plugins=[NeverOnPost()]).run().plan
    assert "post" not in plan["channel"].tolist()
    assert "never-on-post" in plan.vetoes_by_policy()["policy"].tolist()


def test_a_host_policy_that_fails_lets_nothing_through(shop):
    class Broken(NeverOnPost):
        name = "broken"

        def review(self, proposals, situation):
            raise RuntimeError("out of order")

    plan = Program.load(shop, plugins=[Broken()]).run().plan
    assert not (plan["decision"] == "contact").any()
    assert any("broken" in note for note in plan.notes)


def test_names_choose_and_unknown_names_are_told(shop):
    with pytest.raises(UnknownNameError, match="did you mean 'bg-nbd'"):
        Program.load(shop, model="bg-ndb").run()
    with pytest.raises(PluginError, match="frequency-cap"):
        Program.load(shop, options={"frequency-cap": {"max": 3}}).run()
    only = Program.load(shop, strategies=["thank-the-quiet-best"]).run().plan
    assert set(only["strategy"].tolist()) <= {"", "thank-the-quiet-best"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[plann]\nmoney = 3\n", "did you mean 'plan'"),
        ("[plan]\nmony = 3\n", "did you mean 'money'"),
        ("[plan]\nmoney = -3\n", "money = -3"),
        ("[plan]\nstrategies = 'check-in-overdue'\n", "strategies"),
        ("[value]\ninterval = 'wide'\n", "interval"),
        ("plan = 3\n", "plan = 3"),
        ("not toml", "configuration"),
        ("[plan]\nholdout = 1.0\n", "holdout"),
        ("[read]\nsource = 5\n", "source = 5"),
        ("[output]\njournal = 5\n", "journal = 5"),
        ("[value]\nmodel = 5\n", "model = 5"),
        ("[files]\ntouches = 4\n", "touches"),
        ("[options]\nmargin-bands = 1\n", "options"),
        ("[output]\nas_of = ''\n", "as_of"),
    ],
)
def test_a_configuration_that_means_nothing_is_one_error(tmp_path, text, names):
    path = tmp_path / "retention.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=names):
        Program.load(path)


def test_a_journal_on_a_server_is_an_address_and_no_file(tmp_path):
    path = tmp_path / "retention.toml"
    path.write_text("[output]\njournal = 'postgresql://shop:secret@db/crm'\n")
    assert Program.load(path).journal == "postgresql://shop:secret@db/crm"
    path.write_text("[output]\njournal = 'crm/journal.db'\n")
    assert Program.load(path).journal == str(tmp_path / "crm" / "journal.db")


def test_a_date_of_tomls_own_is_a_day(tmp_path):
    path = tmp_path / "retention.toml"
    path.write_text("[output]\nas_of = 2011-12-01\n")
    assert Program.load(path).as_of == "2011-12-01"


def test_a_night_before_all_receipts_is_refused(shop, tmp_path):
    with rt.Journal(tmp_path / "j.db") as journal:
        with pytest.raises(ConfigError, match="not before all receipts"):
            Program.load(shop).run(as_of="2001-01-01", journal=journal)
        assert journal.events == 0


def test_a_demonstration_starts_afresh_and_writes_over_nothing_but_itself(tmp_path):
    config = make_demo(tmp_path / "demo")
    program = Program.load(config)
    with rt.Journal(program.journal) as journal:
        program.run(journal=journal)
    make_demo(tmp_path / "demo")
    with rt.Journal(program.journal) as journal:
        assert journal.events == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "retention.toml").write_text("[plan]\nmoney = 3\n")
    with pytest.raises(ConfigError, match="no demonstration"):
        make_demo(tmp_path / "mine")


def test_ids_of_nobody_are_counted_and_told(shop):
    plan = Program.load(shop, do_not_contact=("10001", "010001", "nobody")).run().plan
    assert any("2 of 3 ids in the list of do-not-contact" in note for note in plan.notes)


def test_everybody_who_may_read_the_plan_may_read_the_report(night, tmp_path):
    paths = night.save(tmp_path)
    assert paths["report"].stat().st_mode == paths["plan"].stat().st_mode


def test_reading_without_columns_is_told(tmp_path):
    with pytest.raises(ConfigError, match="customer and at"):
        Program(source="x.csv").read_log()
    with pytest.raises(ConfigError, match="receipts"):
        Program().read_log()
    (tmp_path / "x.csv").write_text("a,b,c\n1,2011-01-01,3\n")
    with pytest.raises(ConfigError, match="custommer"):
        Program(source=str(tmp_path / "x.csv"), read={"customer": "a", "at": "b", "custommer": "c"}).read_log()


def test_the_plan_passes_the_independent_checker(night, shop):
    from retention.plan import Situation
    from retention.records.lists import read_consents, read_touches

    program = Program.load(shop)
    situation = Situation(
        as_of=night.as_of,
        histories=night.base,
        valuation=night.worth,
        outlook=night.when,
        tiering=night.tiers,
        touches=read_touches(program.touches).before(night.as_of),
        consents=read_consents(program.consents),
    )
    assert check(night.plan, situation) == []


def test_one_customer_or_none_is_a_base_too():
    log = Shop.corner_shop(seed=1).simulate().log
    for keep in (0, 1, 5):
        few = log.take(np.isin(log.customers.codes, np.arange(keep)))
        if keep == 0:
            with pytest.raises(RetentionError, match="last"):
                Program().run(few)
            night = Program().run(few, as_of="2011-01-01")
        else:
            night = Program().run(few)
        assert len(night.plan) == len(night.base) <= keep
        assert attrs.asdict(Program())["hours"] == 8.0


def test_what_is_passed_in_the_wrong_place_is_told(night):
    with pytest.raises(RetentionError, match="a Outlook as valuation"):
        rt.make_plan(night.base, night.when, night.worth, night.tiers, budget=rt.Budget())
    with pytest.raises(RetentionError, match="int as budget"):
        rt.make_plan(night.base, night.worth, night.when, night.tiers, budget=20)


def test_a_plan_is_announced_once_and_after_a_crash_in_between_once_more(shop, tmp_path):
    heard = []

    class Listens:
        @rt.hookimpl
        def retention_plan_made(self, plan):
            heard.append(plan.fingerprint())
            if len(heard) == 1:
                raise KeyboardInterrupt  # whoever stops the process does it here

    program = attrs.evolve(Program.load(shop), plugins=(Listens(),))
    with rt.Journal(tmp_path / "j.db") as journal:
        with pytest.raises(KeyboardInterrupt):
            program.run(journal=journal)
        assert len(journal.nights()) == 1
        for _ in range(2):
            assert program.run(journal=journal).recorded.already
    assert len(heard) == 2
    assert len(set(heard)) == 1


def test_a_night_learns_from_what_is_over_by_the_day_before_and_from_nothing_else(shop, tmp_path):
    """On the last day of the window nothing counts yet; the day after all of it does, and what came since does not.

    Run again, from a log that has grown and a journal with later nights, the night is the same.
    """
    program = Program.load(shop, learn_days=30, holdout=0.4, hours=None, money=None)
    log = program.read_log()
    last = program.day(log)
    first = last - dt.timedelta(days=40)
    with rt.Journal(tmp_path / "j.db") as journal:
        assert len(program.run(log, as_of=first, journal=journal).responses) == 0
        closing = first + dt.timedelta(days=30)
        assert len(program.run(log, as_of=closing, journal=journal, record=False).responses) == 0
        ripe = closing + dt.timedelta(days=1)
        night = program.run(log, as_of=ripe, journal=journal)
        assert len(night.responses) > 0
        assert night.responses.as_of == closing
        assert not np.array_equal(night.plan.gain, night.plan.assumed)

        def grown(day):
            """The log with a large purchase of everybody on and after a day."""
            people = log.customers.labels
            more = TransactionLog.from_arrays(
                customer_id=[*people, *people],
                at=[str(day)] * len(people) + [str(last)] * len(people),
                revenue=np.full(2 * len(people), 9_000.0),
                margin=np.full(2 * len(people), 5_000.0),
                currency=log.currency,
            )
            return log + more

        program.run(log, as_of=last, journal=journal)
        same = program.run(grown(ripe), as_of=ripe, journal=journal, record=False)
        assert same.responses.equals(night.responses)
        # Wrong on purpose: a purchase within the window is not overlooked.
        other = program.run(grown(closing), as_of=ripe, journal=journal, record=False)
        assert not other.responses.equals(night.responses)
        again = program.run(log, as_of=ripe, journal=journal)
        assert again.recorded.already
        assert again.plan.fingerprint() == night.plan.fingerprint()


def test_without_a_window_or_a_journal_gains_stay_as_they_are_assumed(night, shop):
    assert night.responses is None
    assert Program.load(shop, learn_days=30).run().responses is None
    with pytest.raises(ConfigError, match=r"learn_days = 30\.5"):
        Program(learn_days=30.5)
    with pytest.raises(ConfigError, match="learn_days = -1"):
        Program(learn_days=-1)


class OneLineReport:
    """A report of one line."""

    name = "one-line"
    file_name = "line.txt"

    def render(self, night):
        return f"{night.as_of}: {len(night.plan)} customers"


class BadReport(OneLineReport):
    name = "bad-report"
    file_name = "bad.txt"

    def render(self, night):
        raise ValueError("customer 12347")


class TillReader:
    """A reader of lines like "anna;2011-12-01;9.50"."""

    name = "till"

    def __init__(self, wrong=None):
        self.wrong = wrong

    def read(self, source, *, separator=";"):
        if isinstance(self.wrong, BaseException):
            raise self.wrong
        if self.wrong is not None:
            return self.wrong
        with open(source, encoding="utf-8") as lines:
            who, at, paid = zip(*(line.strip().split(separator) for line in lines), strict=True)
        return TransactionLog.from_arrays(customer_id=list(who), at=list(at), revenue=list(paid))


def test_reports_are_chosen_by_name_and_ours_is_the_page(shop, night, tmp_path):
    plain = night.save(tmp_path / "plain")
    assert list(plain) == ["plan", "leads", "report"]
    program = Program.load(shop, reports=["one-line", "bad-report", "html"], plugins=[OneLineReport(), BadReport()])
    told = program.run()
    with pytest.warns(RetentionWarning, match="'bad-report' failed") as warned:
        paths = told.save(tmp_path / "all")
    assert len(warned) == 1
    assert list(paths) == ["plan", "leads", "one-line", "report"]
    assert paths["one-line"].read_text() == f"{night.as_of}: {len(night.plan)} customers"
    assert not (tmp_path / "all" / "bad.txt").exists()
    for name in plain:
        assert paths[name].read_bytes() == plain[name].read_bytes()
    assert list(Program.load(shop, reports=[]).run().save(tmp_path / "none")) == ["plan", "leads"]


def test_reports_that_clash_or_are_nobodys_are_told_before_anything_is_read(shop):
    class Same(OneLineReport):
        name = "same"
        file_name = "report.html"

    with pytest.raises(PluginError, match=r"'same' with the file name 'report\.html'"):
        Program(source="nowhere.csv", reports=("html", "same"), plugins=[Same()]).run()
    with pytest.raises(UnknownNameError, match="did you mean 'html'"):
        Program(source="nowhere.csv", reports=("htlm",)).run()
    for wrong in ("html", None, [1], [""]):
        with pytest.raises(ConfigError, match="a list of names"):
            Program(reports=wrong)


def test_a_reader_is_chosen_by_name_and_gets_the_rest_of_its_section(tmp_path):
    (tmp_path / "till.txt").write_text("anna|2011-11-01|9.50\nbert|2011-12-01|3.00\n")
    (tmp_path / "p.toml").write_text("[read]\nsource = 'till.txt'\nreader = 'till'\nseparator = '|'\n")
    program = Program.load(tmp_path / "p.toml", plugins=[TillReader()])
    assert (program.reader, program.read) == ("till", {"separator": "|"})
    log = program.read_log()
    assert log.customers.labels.tolist() == ["anna", "bert"]
    assert len(program.run().plan) == 2
    with pytest.raises(ConfigError, match="unexpected keyword argument 'separater'"):
        Program.load(tmp_path / "p.toml", plugins=[TillReader()], read={"separater": "|"}).read_log()
    with pytest.raises(UnknownNameError, match="there are: receipts"):
        Program.load(tmp_path / "p.toml").read_log()


@pytest.mark.parametrize(
    ("wrong", "kind"), [(OSError("gone"), OSError), (TypeError("its own"), PluginError), ([1], PluginError)]
)
def test_a_reader_that_fails_is_named(wrong, kind):
    program = Program(source="till.txt", reader="till", plugins=[TillReader(wrong)])
    with pytest.raises(kind) as caught:
        program.read_log()
    assert "'till'" in str(caught.value) + "".join(getattr(caught.value, "__notes__", []))


def test_a_source_that_is_an_address_is_no_file(tmp_path):
    (tmp_path / "p.toml").write_text("[read]\nsource = 'till://counter/1'\nreader = 'till'\n")
    assert Program.load(tmp_path / "p.toml").source == "till://counter/1"


def test_a_clock_is_chosen_by_name(shop, night, tmp_path):
    told = Program.load(shop, clock="pareto-nbd").run()
    assert told.when.provenance.model == "pareto-nbd"
    assert told.when.equals(rt.anticipate(night.base, clock="pareto-nbd"))
    assert not told.when.equals(night.when)
    assert Program.load(shop, clock="log-t", options={"log-t": {"pause": 0.0}}).run().when.provenance != (
        night.when.provenance
    )
    with pytest.raises(UnknownNameError, match="timing 'log-tt'"):
        Program.load(shop, clock="log-tt").run()


class Fails:
    """A stage of each kind that raises."""

    def __init__(self, name, kind):
        self.name, self.kind = name, kind

    def fit(self, histories):
        raise ZeroDivisionError("by nothing")

    def assign(self, histories, valuation, previous=None):
        raise ZeroDivisionError("by nothing")

    def propose(self, situation):
        raise ZeroDivisionError("by nothing")


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("value_model", {"model": "fails"}),
        ("timing", {"clock": "fails"}),
        ("tiering_rule", {"rule": "fails"}),
        ("outreach_strategy", {"strategies": ["fails"]}),
    ],
)
def test_what_a_strangers_stage_raises_is_told_with_its_name_and_its_plugin(shop, kind, settings):
    """No number is quietly missing, and nobody has to guess whose it was."""
    with pytest.raises((ZeroDivisionError, PlanError)) as caught:
        Program.load(shop, plugins=[Fails("fails", kind)], **settings).run()
    notes = "".join(caught.value.__notes__)
    for said in ("'fails'", "(given in code)", kind.replace("_", " ")):
        assert said in notes


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda worth: None, "a NoneType"),
        (lambda worth: worth[1:], "other customers"),
        (lambda worth: worth[::-1], "other customers"),
        (lambda worth: attrs.evolve(worth, value=np.where(worth.value > 50, np.nan, worth.value)), "values of value"),
        (lambda worth: attrs.evolve(worth, p_alive=worth.p_alive + 1), "no probability"),
    ],
    ids=["nothing", "fewer", "another order", "NaN", "p_alive above 1"],
)
def test_a_value_model_that_leaves_a_number_out_is_an_error_with_its_name(night, change, seen):
    class Stranger:
        name = "stranger"

        def fit(self, histories):
            return self

        def p_alive(self, histories):
            return night.worth.p_alive

        def expected_purchases(self, histories, days):
            return night.worth.expected_purchases

        def value(self, histories, *, horizon_days, discount_rate, interval=0.9):
            return change(night.worth)

        def to_dict(self):
            return {}

        @classmethod
        def from_dict(cls, data):
            return cls()

    with pytest.raises(PluginError, match=f"'stranger' answered with .*{seen}"):
        rt.appraise(night.base, model=Stranger())


def test_a_rule_that_ranks_other_customers_is_an_error(night):
    class Other:
        name = "other"

        def assign(self, histories, valuation, previous=None):
            return night.tiers[1:]

    with pytest.raises(PluginError, match="'other' answered with other customers"):
        rt.assign_tiers(night.base, night.worth, rule=Other())
