"""A contact policy is data: what is written is what is in force, and what means nothing is an error that says where."""

import datetime as dt
import json

import numpy as np
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.errors import ConfigError
from retention.plan import Review, built_in_policies
from retention.plan.policies import (
    POLICIES,
    ConsentPolicy,
    FrequencyCap,
    GivesBeforeAsk,
    MinimumGap,
    OpenComplaint,
    QuietHours,
    Saturation,
    policies_from,
    policies_to_data,
    read_policies,
)

WRITTEN = """
[[policy]]
kind = "frequency-cap"
max_contacts = 2
days = 28
channel = "email"

[[policy]]
kind = "frequency-cap"
name = "asks"
max_contacts = 1
days = 90
action_kind = ["ask", "remind"]

[[policy]]
kind = "minimum-gap"
days = 10

[[policy]]
kind = "quiet-hours"
channel = ["phone", "email"]
quiet_from = 20:00:00
quiet_until = "08:00"
closed = ["Sunday"]
holidays = [2011-12-25, "2011-12-26"]
time_zone = "Europe/Berlin"

[[policy]]
kind = "gives-before-ask"
gives = 2

[[policy]]
kind = "saturation"
default = 4
[policy.limits]
12347 = 2
"""

AS_CODE = (
    FrequencyCap(max_contacts=2, days=28, channel="email"),
    FrequencyCap(max_contacts=1, days=90, action_kind=["ask", "remind"], name="asks"),
    MinimumGap(days=10),
    QuietHours(
        channel=["phone", "email"],
        holidays=[dt.date(2011, 12, 25), dt.date(2011, 12, 26)],
        time_zone="Europe/Berlin",
    ),
    GivesBeforeAsk(),
    Saturation(default=4, limits={"12347": 2}),
)


def test_what_is_written_in_toml_is_what_one_would_write_in_code(tmp_path):
    assert policies_from(WRITTEN, built_in=False) == AS_CODE
    (tmp_path / "contact.toml").write_text(WRITTEN, "utf-8")
    assert read_policies(tmp_path / "contact.toml", built_in=False) == AS_CODE


def test_the_built_in_policies_are_in_force_whatever_is_written():
    """A rule about e-mail comes on top of the cap on everything; a gap under the built-in's name takes its place."""
    names = [policy.name for policy in policies_from(WRITTEN)]
    assert {policy.name for policy in built_in_policies()} < set(names)
    assert len(set(names)) == len(names)
    assert "frequency-cap-email" in names
    assert [policy for policy in policies_from(WRITTEN) if policy.name == "minimum-gap"] == [MinimumGap(days=10)]
    assert policies_from([]) == policies_from("") == built_in_policies()
    assert policies_from([], built_in=False) == ()


words = st.text(st.characters(categories=["Ll", "Nd"]), min_size=1, max_size=6)
filters = {
    "channel": st.none() | st.lists(words, min_size=1, max_size=2, unique=True),
    "action_kind": st.none() | st.lists(st.sampled_from(["give", "ask", "remind"]), min_size=1, unique=True),
    "purpose": st.none() | st.lists(words, min_size=1, max_size=1),
}
whole = st.integers(1, 999)
some_policies = st.lists(
    st.one_of(
        st.builds(FrequencyCap, max_contacts=whole, days=whole, **filters),
        st.builds(MinimumGap, days=whole, **filters),
        st.builds(Saturation, days=whole, default=st.none() | whole, limits=st.none() | st.dictionaries(words, whole)),
        st.builds(GivesBeforeAsk, gives=whole, counts=st.just(["give"]), asks=st.just(["ask", "remind"])),
        st.builds(OpenComplaint, blocks=st.just(["ask"]), **filters),
        st.builds(ConsentPolicy, valid_days=st.none() | whole),
        st.builds(
            QuietHours,
            quiet_from=st.just("21:30"),
            quiet_until=st.builds(dt.time, st.integers(0, 20)),
            closed=st.lists(st.sampled_from(["monday", "sunday"]), unique=True),
            holidays=st.lists(st.dates(), max_size=2),
            time_zone=st.none() | st.just("Asia/Tokyo"),
            name=words,
        ),
    ),
    unique_by=lambda policy: policy.name,
)


@given(policies=some_policies)
@settings(max_examples=150)
def test_policies_to_data_and_back_are_the_same_even_by_way_of_json(policies):
    data = policies_to_data(policies)
    assert policies_from(json.loads(json.dumps(data)), built_in=False) == tuple(policies)
    assert policies_to_data(policies_from(data, built_in=False)) == data


def test_the_built_in_policies_are_data_of_one_line_each():
    assert policies_to_data(built_in_policies()) == [{"kind": policy.name} for policy in built_in_policies()]
    for kind, maker in POLICIES.items():
        assert maker().name == kind


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"kind": "frequency-kap"}, ["policy 2: the kind 'frequency-kap'", "did you mean 'frequency-cap'"]),
        ({"days": 3}, ["policy 2: no kind", "frequency-cap"]),
        ({"kind": 7}, ["policy 2: no kind"]),
        ("frequency-cap", ["policy 2: a str"]),
        ({"kind": "frequency-cap", "day": 3}, ["policy 2 (frequency-cap): the key 'day'", "did you mean 'days'"]),
        ({"kind": "consent", "channel": "email"}, ["policy 2 (consent): the key 'channel'", "valid_days"]),
        ({"kind": "frequency-cap", "days": "7"}, ["policy 2 (frequency-cap): FrequencyCap(days='7')", "whole number"]),
        ({"kind": "frequency-cap", "days": 7.0}, ["policy 2 (frequency-cap)", "whole number"]),
        ({"kind": "frequency-cap", "action_kind": "aks"}, ["policy 2 (frequency-cap)", "did you mean 'ask'"]),
        ({"kind": "quiet-hours", "closed": ["sonday"]}, ["policy 2 (quiet-hours)", "did you mean 'sunday'"]),
        ({"kind": "quiet-hours", "quiet_from": "25:00"}, ["policy 2 (quiet-hours)", "hours and minutes"]),
        ({"kind": "minimum-gap", 5: 6}, ["policy 2 (minimum-gap): the key 5"]),
        ({"kind": "minimum-gap", "name": ""}, ["policy 2 (minimum-gap)", "not blank"]),
        ({"kind": "deceased"}, ["policy 2 (deceased): the name 'deceased' is taken"]),
        ({"kind": "minimum-gap", "name": "consent"}, ["policy 2 (minimum-gap): the name 'consent' is taken"]),
    ],
)
def test_an_entry_that_means_nothing_is_one_error_that_says_which_and_why(entry, says):
    with pytest.raises(ConfigError) as error:
        policies_from([{"kind": "deceased"}, entry])
    assert all(part in str(error.value) for part in says), str(error.value)


@pytest.mark.parametrize(
    "data", ["[[policy]\n", "policy = 3", "[policy]\nkind = 'consent'", "[[polices]]", 7, b"x", {"kind": "consent"}]
)
def test_what_is_no_list_of_policies_is_an_error(data):
    with pytest.raises(ConfigError, match="policies"):
        policies_from(data)


def test_a_file_is_named_when_it_is_missing_unreadable_or_wrong(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: FileNotFoundError"):
        read_policies(tmp_path / "nowhere.toml")
    wrong = tmp_path / "wrong.toml"
    for content in (b"\xff\xfe", b"[[policy]]\nkind = 'frequency-kap'", b"[[policy"):
        wrong.write_bytes(content)
        with pytest.raises(ConfigError, match=r"wrong\.toml: "):
            read_policies(wrong)


@frozen
class FullMoon:
    """A policy of somebody else."""

    days: int = 1
    name: str = "full-moon"

    def review(self, proposals, situation):
        return Review.veto(np.zeros(len(proposals), dtype=bool), "full moon")


def test_a_plugins_policy_can_be_written_as_data_too_but_not_ours_replaced():
    entry = {"kind": "full-moon", "days": 2}
    assert policies_from([entry], built_in=False, more={"full-moon": FullMoon}) == (FullMoon(days=2),)
    with pytest.raises(ConfigError, match="'day'"):
        policies_from([{"kind": "full-moon", "day": 2}], more={"full-moon": FullMoon})
    with pytest.raises(ConfigError, match="full-moon"):
        policies_from([{"kind": "full-moon", "day": 2}], more={"full-moon": lambda **settings: FullMoon(**settings)})
    assert policies_from([{"kind": "consent"}], built_in=False, more={"consent": FullMoon}) == (ConsentPolicy(),)
    with pytest.raises(ConfigError, match="FullMoon"):
        policies_to_data([FullMoon()])
