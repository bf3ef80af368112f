"""A plan keeps numbers and says words when asked: nothing in it depends on how its text is kept."""

import datetime as dt
import hashlib

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import retention as rt
from retention.frames.export import write_csv
from retention.frames.texts import Texts
from retention.journal import Journal
from retention.plan import Budget, Proposals, WinBack, built_in_policies, built_in_strategies, holdout_draws, plan_for
from retention.plan.policies import GivesBeforeAsk, QuietHours
from retention.plan.responses import Response, Responses
from retention.worlds import Pantry

SOME = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
STRATEGIES = (*built_in_strategies(), WinBack())
POLICIES = (*built_in_policies(), GivesBeforeAsk(), QuietHours(channel=["phone"], time_zone="Europe/Berlin"))


def _written(table):
    """The same table with all of its text written out."""
    return attrs.evolve(table, **{name: np.array(values) for name, values in table.columns().items()})


@attrs.frozen
class _Writes:
    """A strategy or policy that answers as another does, with plain arrays."""

    other: object

    @property
    def name(self):
        return self.other.name

    def propose(self, situation):
        return _written(self.other.propose(situation))

    def review(self, proposals, situation):
        answer = self.other.review(_written(proposals), situation)
        return attrs.evolve(answer, reason=np.array(answer.reason))


@attrs.frozen
class _Learned:
    """What was learned, applied to plain arrays."""

    other: Responses

    def apply(self, proposals, situation):
        return _written(self.other.apply(_written(proposals), situation))


def _responses():
    def learned(strategy, action, segment, multiplier, evidence):
        return Response(
            strategy=strategy, action=action, segment=segment, contacts=1240, held_out=140, expected=12.0, seen=0.55,
            seen_error=0.1, multiplier=multiplier, sd=0.09, low=0.47, high=0.77, share=0.96, pooled=False, alike=0.1,
            evidence=evidence,
        )  # fmt: skip

    return Responses.of(
        [
            learned("check-in-overdue", "check-in card", "silver", 0.6, "measured"),
            learned("check-in-overdue", "check-in card", "", 0.7, "assumption"),
            learned("thank-the-quiet-best", "thank-you card", "", -0.2, "measured"),
        ]
    )


def _text_columns(plan):
    return {name: values for name, values in plan.columns().items() if values.dtype.kind == "U"}


@SOME
@given(data=st.data())
def test_a_plan_is_the_same_whether_strategies_and_policies_write_their_text_out_or_not(data, shop):
    situation = data.draw(shop.situations())
    few = data.draw(st.integers(0, len(STRATEGIES)))  # the others are as they are: both kinds meet in one table
    settled = {
        "budget": data.draw(st.sampled_from([Budget(None, None), Budget(5, 0.5), Budget(0, 0), Budget(3, 1)])),
        "holdout": data.draw(st.sampled_from([0.0, 0.4])),
        "explore": data.draw(st.sampled_from([0.0, 0.5])),
    }
    learned = data.draw(st.sampled_from([None, _responses()]))
    one = plan_for(situation, strategies=STRATEGIES, policies=POLICIES, responses=learned, **settled)
    other = plan_for(
        situation,
        strategies=[_Writes(strategy) if i < few else strategy for i, strategy in enumerate(STRATEGIES)],
        policies=[_Writes(policy) for policy in POLICIES],
        responses=learned and _Learned(learned),
        **settled,
    )
    for mine, theirs in ((one, other), (one.considered, other.considered), (one.vetoes, other.vetoes)):
        assert mine.equals(theirs)
    assert (one.notes, one.summary, one.assumptions) == (other.notes, other.summary, other.assumptions)
    assert one.fingerprint() == other.fingerprint()
    assert [str(one.why(who)) for who in one.customer_id] == [str(other.why(who)) for who in one.customer_id]


@SOME
@given(data=st.data())
def test_each_reason_follows_from_what_the_plan_shows_of_her(data, shop):
    situation = data.draw(shop.situations())
    budget = data.draw(st.sampled_from([Budget(None, None), Budget(5, 0.5), Budget(0, 0)]))
    explore = data.draw(st.sampled_from([0.0, 0.5]))
    _reads_right(plan_for(situation, budget=budget, holdout=0.3, explore=explore), situation)


@pytest.mark.parametrize("budget", [Budget(None, None), Budget(20, 2), Budget(0, 0)], ids=repr)
def test_so_it_does_in_a_base_with_every_fate(shop, budget):
    situation = shop.situation(shop.tables_by_chance([f"c{i}" for i in range(400)], 1))
    plan = plan_for(situation, budget=budget, holdout=0.2, explore=0.2)
    _reads_right(plan, situation)
    fates = list(zip(plan.considered.customer_id, plan.considered.fate, strict=True))
    without_room, not_worth_it = ({who for who, fate in fates if fate == one} for one in ("budget", "no gain"))
    assert budget.money != 0 or without_room & not_worth_it  # of two stories of hers one is told


def _reads_right(plan, situation):
    considered, vetoes = {}, {}
    for found, table in ((considered, plan.considered), (vetoes, plan.vetoes)):
        for i in range(len(table)):
            found.setdefault(table.customer_id[i], []).append(table.row(i))
    who = plan.customer_id.tolist()
    said = [_reason(plan, situation, i, considered.get(one, []), vetoes.get(one, [])) for i, one in enumerate(who)]
    assert plan.reason.tolist() == said
    assert [plan.reason[row] for row in range(len(plan))] == said
    assert [plan.row(row)["reason"] for row in range(len(plan))] == said
    assert [plan.why(one).reason for one in who[::7]] == said[::7]
    assert plan.next_contacts()["reason"][::-1].tolist() == said[::-1]
    by_id = dict(zip(who, said, strict=True))
    leads = plan.lead_list()
    assert leads.why.tolist() == [by_id[one] for one in leads.customer_id.tolist()]


def _reason(plan, situation, row, hers, vetoes):
    """Why or why not, from the public columns of one customer, one word after the other."""
    unit = f" {plan.currency}" if plan.currency else ""
    order = ("vetoed", "no gain", "budget", ("drawn", "hold-out", "chosen"))
    weight = {fate: i for i, fates in enumerate(order) for fate in ([fates] if isinstance(fates, str) else fates)}
    told = [
        (weight[p["fate"]], p["net"], p["action"], p["strategy"], i) for i, p in enumerate(hers) if p["fate"] in weight
    ]
    if not told:
        idle, margin = situation.outlook.idle_days[row], situation.valuation.expected_margin[row]
        horizon = situation.valuation.horizon_days
        return (
            f"no strategy proposes a contact: silent for {idle:.0f} days, {margin:,.2f}{unit} of expected margin in "
            f"{horizon:.0f} days"
        )
    it = hers[max(told)[-1]]
    action = next(a for a in plan.actions if a.name == it["action"])
    cost = f"{it['money']:,.2f}{unit} and {it['hours']:g} hours" if it["money"] else f"{it['hours']:g} hours"
    hoped = f"{it['gain']:,.2f}{unit} for {cost} (assumption)"
    match it["fate"]:
        case "chosen" if plan.explored[row]:
            why = f"{it['reason']}; drawn by chance among what could be done for her"
            return f"{why}: a {action.name}, expected to bring {hoped}"
        case "chosen":
            return f"{it['reason']}; a {action.name} is expected to bring {hoped}"
        case "drawn":
            why = "drawn by chance to be left alone tonight, so that something is learned"
            return f"{why}; a {action.name} was expected to bring {hoped}"
        case "hold-out":
            why = f"held out with {plan.holdout_share:.0%} of all customers, so that the effect can be measured"
            return f"{why}; a {action.name} was expected to bring {hoped}"
        case "no gain":
            return f"not worth its cost: a {action.name} is expected to bring {hoped}"
        case "vetoed":
            by = "; ".join(dict.fromkeys(f"{v['policy']} ({v['reason']})" for v in vetoes))
            return f"refused by {by}; a {action.name} was expected to bring {hoped}"
    left = [
        f"unlimited {name}" if limit is None else f"{limit - spent:,.2f} {name}"
        for name, limit, spent in (
            ("money", plan.budget.money, plan.spent_money),
            ("hours", plan.budget.hours, plan.spent_hours),
        )
    ]
    price = plan.prices.get("money", 0.0) * it["money"] + plan.prices.get("hours", 0.0) * it["hours"]
    price += action.expected_cost
    others = f"; with others what it takes brings {price:,.2f}{unit}" if price > it["gain"] * (1 + 1e-9) else ""
    why = f"no room in the budgets: a {action.name} is expected to bring {hoped}"
    return f"{why}, with {' and '.join(left)} left{others}"


@settings(max_examples=60)
@given(
    margins=st.lists(
        st.floats(-1e17, 1e17)
        | st.integers(-10_000, 10_000).map(lambda i: i / 8)
        | st.floats(0, 1000).map(lambda x: round(x, 3)),
        min_size=1,
        max_size=20,
    )
)
def test_an_amount_in_a_reason_is_rounded_as_python_rounds_it(margins, shop):
    ids = [f"c{i:02d}" for i in range(len(margins))]
    base = shop.tables(ids, expected_margin=margins, value=0.0, idle_days=[0.5 * i for i in range(len(margins))])
    plan = plan_for(shop.situation(base), budget=Budget(0, 0), strategies=[])
    assert plan.reason.tolist() == [
        f"no strategy proposes a contact: silent for {0.5 * i:.0f} days, {margin:,.2f} of expected margin in 365 days"
        for i, margin in enumerate(margins)
    ]


def _digest(plan):
    """The fingerprint as it is defined, over columns written out."""
    digest = hashlib.blake2b(plan.as_of.isoformat().encode(), digest_size=16)
    for name, values in plan.columns().items():
        digest.update(f"|{name}:{len(values)}|".encode())
        for value in np.asarray(values).tolist():
            if isinstance(value, str):
                text = value.encode("utf-8", "surrogatepass")
                digest.update(len(text).to_bytes(4, "little") + text)
            elif values.dtype.kind == "M":
                minute = np.datetime64("NaT" if value is None else value, "m")
                digest.update(int(minute.astype(np.int64)).to_bytes(8, "little", signed=True))
            else:
                digest.update(np.asarray(float(value) + 0.0, dtype="<f8").tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("size", [0, 1, 40, 1500])
def test_the_fingerprint_is_of_the_words_as_they_are_written_out(shop, size):
    ids = sorted({*(f"c{i}" for i in range(size)), *(shop.nasty if size in (1, 40) else ())})
    plan = plan_for(shop.situation(shop.tables_by_chance(ids, 3)), budget=Budget(9, 1), explore=0.2)
    assert plan.fingerprint() == _digest(plan)


def test_a_night_of_a_made_up_shop_reads_the_same_in_every_form(tmp_path):
    world = Pantry(customers=150, seed=1).simulate()
    base = rt.summarize(world.log, as_of=world.as_of)
    worth = rt.appraise(base)
    plan = rt.make_plan(base, worth, rt.anticipate(base), rt.assign_tiers(base, worth), budget=Budget(50, 4))
    assert any(isinstance(values, Texts) for values in plan.columns().values())
    plain = {name: np.asarray(values) for name, values in plan.columns().items()}
    plan.to_csv(tmp_path / "plan.csv")
    assert (tmp_path / "plan.csv").read_bytes() == write_csv(plain, tmp_path / "plain.csv").read_bytes()
    frame = plan.to_frame(like="pandas")
    assert all(frame[name].tolist() == plain[name].tolist() for name in _text_columns(plan))
    parts = [plan[start : start + 7] for start in range(0, len(plan), 7)]
    for name, values in plain.items():
        assert np.array_equal(
            np.concatenate([part[name] for part in parts]), values, equal_nan=values.dtype.kind in "fM"
        )
    written = attrs.evolve(plan, **plain)
    assert written.equals(plan)
    assert repr(written) == repr(plan)
    assert written._repr_html_() == plan._repr_html_()
    assert written.next_contacts().equals(plan.next_contacts())
    assert written.lead_list().equals(plan.lead_list())
    assert written.vetoes_by_policy().equals(plan.vetoes_by_policy())
    with Journal(":memory:") as first, Journal(":memory:") as second:
        assert first.record(plan).events == second.record(written).events
        assert first.record(written).already
        assert first.decisions().equals(second.decisions())
        assert first.vetoes().equals(second.vetoes())


@settings(max_examples=60)
@given(data=st.data())
def test_customers_are_found_wherever_they_stand_and_strangers_are_not(data, shop):
    ids = data.draw(st.lists(st.text("abcé田", min_size=1, max_size=3), unique=True, max_size=150))
    ids = sorted(ids) if data.draw(st.booleans()) else ids
    situation = shop.situation(shop.tables(ids))
    wanted = data.draw(st.lists(st.sampled_from(ids) if ids else st.nothing(), max_size=4) if ids else st.just([]))
    wanted += data.draw(st.lists(st.text("abcé田", max_size=5), max_size=3))
    listed = wanted * data.draw(st.sampled_from([1, 100]))
    where = {who: row for row, who in enumerate(ids)}
    assert situation.rows_of(listed).tolist() == [where.get(who, -1) for who in listed]
    assert situation.mask_of(wanted).tolist() == [who in wanted for who in ids]
    assert not situation.repeats


@pytest.mark.parametrize("ids", [["a", "b", "b"], ["b", "a", "b"]])
def test_a_customer_who_appears_twice_is_seen_wherever_she_stands(shop, ids):
    assert shop.situation(shop.tables(ids)).repeats


def test_the_lots_are_those_of_each_customer_alone(shop):
    ids = [*shop.nasty, *(f"c{i}" for i in range(60))]
    situation = shop.situation(shop.tables_by_chance(ids, 5))
    plan = plan_for(situation, budget=Budget(None, None), holdout=0.5, salt="a shop")
    held = {who for who in ids if holdout_draws([who], "a shop")[0] < 0.5}
    decided = dict(zip(plan.customer_id.tolist(), plan.decision.tolist(), strict=True))
    assert {who for who, decision in decided.items() if decision == "hold-out"} <= held
    assert not held & {who for who, decision in decided.items() if decision == "contact"}
    assert Proposals.joined(s.propose(situation) for s in STRATEGIES)["customer_id"].tolist()
    assert plan.as_of == dt.date(2011, 12, 1)
