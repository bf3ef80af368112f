"""What is drawn is valid, shrinks to little, is found by ``st.from_type``, and finds faults in what is given it."""

import importlib
import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import attrs
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import find as find_any
from hypothesis import strategies as st

import retention.domain
from retention.domain import Customer
from retention.errors import RetentionError
from retention.frames.table import Table
from retention.histories import summarize
from retention.plan import Budget, ContactPolicy, OutreachStrategy, check
from retention.plan.make import plan_for
from retention.plan.policies import built_in_policies
from retention.records import read_transactions
from retention.testing import strategies
from retention.testing._hypothesis import STRATEGIES, register
from retention.tiers import TieringRule
from retention.timing.backtest import Clock, FittedClock
from retention.value import FittedValueModel, ValueModel

register()
TYPES = [getattr(importlib.import_module(module), name) for module, listed in STRATEGIES.items() for name in listed]
few = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def find(strategy, condition):
    """The smallest example; what it has in common with others is not asked (that takes most of the time)."""
    without = settings(phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck), max_examples=500)
    return find_any(strategy, condition, settings=without)


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def words_of_the_domain():
    named = (getattr(retention.domain, name) for name in retention.domain.__all__)
    return {one for one in named if isinstance(one, type) and attrs.has(one)}


def given_to_plugins():
    """Every class of ours that is reachable from what stages take and return."""
    protocols = (ValueModel, FittedValueModel, Clock, FittedClock, TieringRule, OutreachStrategy, ContactPolicy)
    hints = [
        hint
        for protocol in protocols
        for name, method in vars(protocol).items()
        if not name.startswith("_") and callable(method)
        for hint in typing.get_type_hints(method, localns={"Self": object}).values()
    ]
    seen: set[type] = set()
    while hints:
        hint = hints.pop()
        hints += typing.get_args(hint)
        if isinstance(hint, type) and attrs.has(hint) and hint not in seen:
            seen.add(hint)
            hints += [field.type for field in attrs.fields(hint)]
    return seen


def test_every_word_of_the_domain_and_all_that_plugins_are_given_has_a_strategy():
    parts = {"Provenance"}  # comes with a table and never alone
    missing = {one.__name__ for one in words_of_the_domain() | given_to_plugins()} - {one.__name__ for one in TYPES}
    assert missing == parts


def test_the_table_of_strategies_names_strategies_that_are_public():
    made = {name for listed in STRATEGIES.values() for name in listed.values()}
    assert made <= set(strategies.__all__)
    assert len(made) == len(TYPES)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_from_type_makes_one_of_each(kind):
    @settings(few, max_examples=10)
    @given(st.from_type(kind))
    def makes(one):
        assert isinstance(one, kind)
        repr(one)
        if isinstance(one, Table):
            assert len(one[:0]) == 0
            assert one.equals(one.take(np.arange(len(one))))
            assert all(not values.flags.writeable for values in one.columns().values())
        else:
            assert attrs.evolve(one) is not one  # its own validators pass again

    makes()


def test_importing_hypothesis_imports_nothing_of_ours_but_the_hook():
    """Also where hypothesis has not called the hook itself, because this environment is older than the hook."""
    code = (
        "import sys, hypothesis; before = {m for m in sys.modules if not m.startswith('retention')};"
        "from retention.testing._hypothesis import register; register();"
        "print(sorted(set(sys.modules) - before))"
    )
    assert fresh(code) == str(["retention", "retention.testing", "retention.testing._hypothesis"])


@pytest.mark.parametrize("order", ["hypothesis first", "the library first"])
def test_types_are_known_whichever_is_imported_first(order):
    """And the module of a type keeps the loader that it would have had."""
    ours = "from retention.plan import Proposals; from retention.domain import Customer"
    theirs = "import hypothesis; from retention.testing._hypothesis import register; register()"
    first, second = (theirs, ours) if order == "hypothesis first" else (ours, theirs)
    code = (
        f"{first}\n{second}\n"
        "import sys\nfrom hypothesis import Phase, given, settings, strategies as st\n"
        "@settings(max_examples=3, phases=[Phase.generate], database=None, deadline=None)\n"
        "@given(st.from_type(Customer), st.from_type(Proposals))\n"
        "def drawn(one, many): assert one.id.strip() and {'drawn'} >= set(many.strategy.tolist())\n"
        "drawn()\n"
        "module = sys.modules['retention.domain.customer']\n"
        "print(type(module.__loader__).__name__, type(module.__spec__.loader).__name__)"
    )
    assert fresh(code) == "SourceFileLoader SourceFileLoader"


def test_the_distribution_announces_its_hooks():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    hooks = {group: points["retention"].split(":") for group, points in project["entry-points"].items()}
    assert set(hooks) == {"hypothesis", "pytest11"}
    module, function = hooks["hypothesis"]
    assert getattr(importlib.import_module(module), function) is register
    assert importlib.import_module(*hooks["pytest11"]).shop


def test_drawn_things_shrink_to_little():
    situation, proposals = find(strategies.situations_with_proposals(), lambda drawn: len(drawn[1]) > 0)
    assert (len(situation), len(proposals), proposals.gain.tolist()) == (1, 1, [0.0])
    assert situation.histories.age_days.tolist() == [0.0]
    log = find(strategies.transaction_logs(), lambda log: bool(log.is_cancelled.any()))
    assert (len(log) <= 6, abs(log.revenue.minor).max()) == (True, 1)
    rows = find(strategies.messy_transactions(), lambda rows: len(rows["who"]) > 1)
    assert len(rows["who"]) == 2


def test_sizes_are_kept():
    @few
    @given(
        strategies.transaction_logs(min_size=3, max_size=4),
        strategies.situations(min_size=2, max_size=3),
        strategies.histories(min_size=1, max_size=2, max_frequency=5, max_days=90),
        strategies.customers(max_lines=1),
    )
    def kept(log, situation, base, customer):
        assert 3 <= len(log) <= 4
        assert 2 <= len(situation) <= 3
        assert 1 <= len(base) <= 2
        assert base.frequency.max() <= 5
        assert base.age_days.max() <= 90
        assert len(customer.transactions) <= 1

    kept()


@few
@given(strategies.situations())
def test_the_tables_of_a_situation_are_of_the_same_customers_on_its_day(situation):
    for table in (situation.valuation, situation.outlook, situation.tiering):
        assert table.customer_id.tolist() == situation.customer_id.tolist()
    assert situation.histories.as_of == situation.as_of
    assert not (situation.touches.at >= np.datetime64(situation.as_of, "D")).any()
    worth, when, tiers = situation.valuation, situation.outlook, situation.tiering
    assert (worth.value_low <= worth.value).all()
    assert (worth.value <= worth.value_high).all()
    assert (np.abs(worth.value) <= np.abs(worth.expected_margin)).all()
    assert (when.window_opens_at <= when.window_closes_at).all()
    assert (when.gap_low_days <= when.usual_gap_days).all()
    assert [tiers.tiers[rank].name for rank in tiers.rank] == tiers.tier.tolist()
    assert all(
        tier.floor <= score for tier, score in zip((tiers.tiers[r] for r in tiers.rank), tiers.score, strict=True)
    )


@few
@given(strategies.situations_with_proposals())
def test_proposals_are_of_the_customers_they_name(drawn):
    situation, proposals = drawn
    assert proposals.customer_id.tolist() == situation.customer_id[proposals.base_row].tolist()
    assert (proposals.opens >= np.datetime64(situation.as_of, "D")).all()
    assert (proposals.opens <= proposals.closes).all()


@settings(max_examples=60)
@given(strategies.transaction_logs())
def test_everyone_in_a_log_has_a_history_or_is_counted_as_left_out(log):
    base = summarize(log, as_of="2011-11-30")
    assert len(base) + sum(base.left_out.values()) == len(log.customers.labels)


@settings(max_examples=150)
@given(strategies.messy_transactions())
def test_a_reader_keeps_a_row_or_says_why_not(rows):
    """Rows in are rows kept and rows set aside, or there is one clear error: never a crash."""
    frame = pd.DataFrame(rows, dtype=object)
    try:
        log = read_transactions(frame, customer="who", at="day", revenue="sum", quantity="pieces")
    except RetentionError:
        return
    assert log.quality.reconciles
    assert log.quality.rows_in == len(frame)
    assert log.quality.rows_kept == len(log)
    assert len(log.quality.rows_set_aside()) == len(frame) - len(log)


@pytest.mark.parametrize("policy", built_in_policies(), ids=lambda policy: policy.name)
def test_a_policy_answers_for_each_proposal_whatever_the_shop(policy):
    @few
    @given(strategies.situations_with_proposals())
    def answers(drawn):
        situation, proposals = drawn
        review = policy.review(proposals, situation)
        assert review.allowed.shape == review.reason.shape == (len(proposals),)
        assert ((review.reason == "") == review.allowed).all()

    answers()


@few
@given(strategies.situations_with_proposals(min_size=0), strategies.budgets(), st.sampled_from([0.0, 0.2]))
def test_a_plan_of_anything_keeps_all_the_rules(drawn, budget, holdout):
    """The independent look at a plan finds nothing, whatever was proposed to whom."""
    situation, proposals = drawn
    drawer = strategies.nights.Drawn(proposals)
    plan = plan_for(situation, budget=budget, strategies=[drawer], holdout=holdout)
    assert check(plan, situation) == []


def test_a_wrong_policy_is_found_out():
    """The strategies reach the corners: a policy that forgets withdrawals is caught by one drawn shop."""

    def forgetful(situation):
        told = situation.consents
        return {} if told is None else {str(w) for w, ok in zip(told.customer_id, told.granted, strict=True) if ok}

    def differs(situation):
        if situation.consents is None:
            return False
        right = {w for c in strategies.words.CHANNELS for w in situation.consents.granted_to(c, on=situation.as_of)}
        return forgetful(situation) != right

    caught = find(strategies.situations(), differs)
    assert not caught.consents.granted.all() or (caught.consents.at > np.datetime64(caught.as_of)).any()


def test_budgets_and_customers_come_from_type_hints_alone():
    @few
    @given(...)
    def both(budget: Budget, customer: Customer):
        assert isinstance(budget, Budget)
        assert all(line.customer_id == customer.id for line in customer.transactions)

    both()
