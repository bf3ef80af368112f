"""Segments: who is in, who is not, and who is not known to be either."""

import copy
import datetime as dt
import pickle

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.errors import ConfigError
from retention.plan import Criteria

IDS = ["a", "b", "c", "d"]


def _situation(shop, **given):
    attributes = given.pop("attributes", {})
    causes = given.pop("causes", {})
    return shop.situation(shop.tables(IDS, **given), attributes=attributes, causes=causes)


def _in(situation, told, **named):
    mask = Criteria(told, **named).among(situation)
    return "".join(who for who, there in zip(situation.customer_id, mask, strict=True) if there)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, "abcd"),
        ({"orders": 2}, "b"),
        ({"orders": [1, 4]}, "ad"),
        ({"orders": {"is_not": 2}}, "acd"),
        ({"orders": {"not_in": [1, 2]}}, "cd"),
        ({"orders": {"at_least": 2}}, "bcd"),
        ({"orders": {"at_most": 2}}, "ab"),
        ({"orders": {"above": 2}}, "cd"),
        ({"orders": {"below": 2}}, "a"),
        ({"orders": {"between": [2, 3]}}, "bc"),
        ({"orders": {"at_least": 2, "below": 4}}, "bc"),
        ({"orders": {"at_least": 2}, "overdue": True}, "b"),
        ({"overdue": False}, "cd"),
        ({"tier": ["gold", "silver"]}, "abcd"),
        ({"customers": ["a", "d", "a stranger"]}, "ad"),
        ({"not": {"customers": ["a"]}}, "bcd"),
        ({"any": [{"orders": 1}, {"orders": 4}]}, "ad"),
        ({"any": []}, ""),
        ({"all": []}, "abcd"),
        ({"all": [{"orders": {"above": 1}}, {"orders": {"below": 4}}]}, "bc"),
        ({"orders": {"above": 1}, "not": {"orders": 3}}, "bd"),
        ({"valuation": {"value": {"at_least": 20}}}, "bcd"),
        ({"valuation.value": {"at_least": 20}}, "bcd"),
        ({"cause": "price"}, "c"),
        ({"cause": {"known": False}}, "abd"),
        ({"valuation.p_purchase": {"at_least": 0}}, ""),
        ({"not": {"valuation.p_purchase": {"at_least": 0}}}, ""),
        ({"attribute": {"diet": "vegan"}}, "a"),
        ({"attribute.diet": ["vegan", "none"]}, "ab"),
        ({"attribute.children": {"at_least": 2}}, "d"),
        ({"attribute.since": {"below": dt.date(2010, 1, 1)}}, "a"),
        ({"next_due_at": {"at_most": "2011-12-01"}}, "abcd"),
        ({"next_due_at": {"above": dt.date(2011, 12, 1)}}, ""),
    ],
)
def test_a_condition_picks_whom_it_says(shop, told, expected):
    situation = _situation(
        shop,
        orders=[1, 2, 3, 4],
        overdue=[True, True, False, False],
        value=[10, 20, 30, 40],
        causes={"c": "price"},
        attributes={
            "diet": {"a": "vegan", "b": "none", "c": None},
            "children": [0, 1, None, 2],
            "since": {"a": dt.date(2009, 5, 1), "b": dt.date(2010, 5, 1)},
        },
    )
    assert _in(situation, told) == expected


def test_what_is_not_known_is_neither_in_nor_in_the_opposite(shop):
    """Fail closed: no attribute, no number, no cause is no reason to contact anybody, not even under a not."""
    situation = _situation(shop, value=[10, np.nan, 30, np.nan], attributes={"diet": {"a": "vegan", "b": "any"}})
    for told, known in (
        ({"valuation.value": {"above": 20}}, "ac"),
        ({"valuation.value": {"is_not": 7}}, "ac"),
        ({"attribute.diet": "vegan"}, "ab"),
        ({"attribute.diet": {"not_in": ["vegan"]}}, "ab"),
    ):
        inside, outside = _in(situation, told), _in(situation, {"not": told})
        assert sorted(inside + outside) == sorted(known), told
    # One known no settles an "all", one known yes an "any", whatever else is not known.
    assert _in(situation, {"not": {"attribute.diet": "vegan", "customers": ["a"]}}) == "bcd"
    assert _in(situation, {"any": [{"attribute.diet": "vegan"}, {"customers": ["d"]}]}) == "ad"


LEAVES = st.sampled_from(
    [
        {"orders": {"at_least": 2}},
        {"valuation.value": {"between": [10, 30]}},
        {"overdue": True},
        {"attribute.diet": "vegan"},
        {"attribute.diet": {"not_in": ["vegan", "any"]}},
        {"cause": {"is_not": "price"}},
        {"customers": ["a", "c"]},
        {},
    ]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda one: {"not": one}, inner),
        st.builds(lambda many: {"any": many}, st.lists(inner, max_size=3)),
        st.builds(lambda many: {"all": many}, st.lists(inner, max_size=3)),
    ),
    max_leaves=6,
)


@settings(max_examples=60)
@given(first=TREES, second=TREES, data=st.data())
def test_segments_compose_by_the_laws_of_logic(shop, first, second, data):
    n = len(IDS)
    situation = _situation(
        shop,
        orders=data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n)),
        value=data.draw(st.lists(st.sampled_from([5.0, 20.0, np.nan]), min_size=n, max_size=n)),
        attributes={"diet": data.draw(st.dictionaries(st.sampled_from(IDS), st.sampled_from(["vegan", "any", None])))},
        causes=data.draw(st.dictionaries(st.sampled_from(IDS), st.sampled_from(["price", "moved"]))),
    )
    a, b = Criteria(first), Criteria(second)

    def same(left, right):
        return np.array_equal(left.among(situation), right.among(situation))

    assert same(a & b, b & a)
    assert same(a | b, b | a)
    assert same(~~a, a)
    assert same(~(a & b), ~a | ~b)
    assert same(~(a | b), ~a & ~b)
    assert not (a.among(situation) & (~a).among(situation)).any()
    assert np.array_equal((a & b).among(situation), a.among(situation) & b.among(situation))
    assert np.array_equal((a | b).among(situation), a.among(situation) | b.among(situation))
    assert Criteria(a.to_dict()) == a == pickle.loads(pickle.dumps(a)) == copy.deepcopy(a)


def test_a_segment_may_use_those_that_have_a_name(shop):
    young = Criteria({"orders": {"at_most": 2}})
    named = {"young": young}
    situation = _situation(shop, orders=[1, 2, 3, 4])
    assert _in(situation, {"segment": "young"}, named=named) == "ab"
    assert _in(situation, {"not": {"segment": "young"}}, named=named) == "cd"
    one, other = Criteria({"segment": "young"}, named=named), Criteria({"segment": "young"}, named={"young": ~young})
    assert (one & one).among(situation).sum() == 2
    with pytest.raises(ConfigError, match="two segments named 'young'"):
        one & other


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"teir": "gold"}, "did you mean 'tier'"),
        ({"valuation": {"valeu": 1}}, "did you mean 'valuation.value'"),
        ({"outlook": 3}, "stands before a name"),
        ({"orders": {"atleast": 2}}, "did you mean 'at_least'"),
        ({"orders": "two"}, "number values"),
        ({"orders": True}, "number values"),
        ({"orders": {"at_least": [2]}}, "takes one value"),
        ({"orders": {"between": [3, 2]}}, "low comes before high"),
        ({"orders": {"between": [3]}}, "two values"),
        ({"orders": {"at_least": float("nan")}}, "numbers or dates"),
        ({"orders": {}}, "what must hold"),
        ({"tier": {"at_least": "gold"}}, "numbers or dates"),
        ({"tier": {"in": "gold"}}, "takes a list"),
        ({"overdue": "yes"}, "flag values"),
        ({"next_due_at": "someday"}, "day values"),
        ({"attribute.diet": ["vegan", 3]}, "one kind"),
        ({"cause": {"known": "no"}}, "true or false"),
        ({"any": {"orders": 1}}, "list of segments"),
        ({"all": ["orders"]}, "mapping of conditions"),
        ({"customers": "a"}, "list of ids"),
        ({"segment": "young"}, "told before"),
        (["orders"], "mapping of conditions"),
    ],
)
def test_a_condition_that_means_nothing_is_one_clear_error(told, message):
    with pytest.raises(ConfigError, match=message) as raised:
        Criteria(told, where="offer 'card', eligible")
    assert raised.value.given.startswith("offer 'card', eligible: ")


def test_an_attribute_that_nobody_has_is_an_error_and_not_an_empty_segment(shop):
    situation = _situation(shop, attributes={"diet": {"a": "vegan"}})
    with pytest.raises(ConfigError, match="did you mean 'diet'"):
        _in(situation, {"attribute.diets": "vegan"})
    with pytest.raises(ConfigError, match="holds text values"):
        _in(situation, {"attribute.diet": {"at_least": 3}})
    with pytest.raises(ConfigError, match="one value for each of the 4 customers"):
        _in(_situation(shop, attributes={"diet": ["vegan"]}), {"attribute.diet": "vegan"})
    with pytest.raises(ConfigError, match="mixed values"):
        _in(_situation(shop, attributes={"diet": {"a": "vegan", "b": 3}}), {"attribute.diet": "vegan"})


def test_attributes_of_the_histories_count_too(shop):
    tables = shop.tables(IDS)
    histories = tables[0].with_attributes({"store": ["n", "s", "s", "n"]})
    situation = attrs.evolve(shop.situation(tables), histories=histories)
    assert _in(situation, {"attribute.store": "s"}) == "bc"


def test_names_of_customers_stay_out_of_words():
    told = Criteria({"customers": ["secret-4711"], "tier": ["a", "b", "c", "d", "e"]})
    assert "4711" not in str(told) + repr(told)
    assert str(Criteria()) == "everyone"
    assert str(~Criteria({"overdue": True})) == "not (overdue)"
