"""The whole way in one call: receipts in, a plan with reasons out, remembered."""

import datetime as dt

import attrs
import numpy as np
import pytest

import retention as rt
from retention.errors import ConfigError, JournalError, PluginError, RetentionError, UnknownNameError
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
