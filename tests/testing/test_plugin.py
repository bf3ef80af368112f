"""Each law of plugins catches one made to break it; what a plugin brings is held to the laws of its kind."""

import sys
from types import SimpleNamespace

import pytest

from retention.plan.policies import FrequencyCap
from retention.plugins import Contribution, builtin, hookimpl
from retention.testing import BrokenLaws, check_plugin, conformance, report, run
from retention.testing.plugin import KIT, LAWS

WEEKLY = Contribution(
    name="weekly", summary="one a week", make=lambda: FrequencyCap(max_contacts=1, days=7, name="weekly")
)


def giving(*contributions, **marked):
    """A plugin object that contributes these policies."""

    def retention_contact_policies():
        return list(contributions)

    return SimpleNamespace(retention_contact_policies=hookimpl(**marked)(retention_contact_policies))


def raising():
    def retention_contact_policies():
        raise ZeroDivisionError("not today")

    return SimpleNamespace(retention_contact_policies=hookimpl(retention_contact_policies))


def with_a_default():
    def retention_plan_made(plan=None):
        """Tells nobody."""

    return SimpleNamespace(retention_plan_made=hookimpl(retention_plan_made))


def changed(**fields):
    return Contribution(**{"name": "weekly", "summary": "one a week", "make": WEEKLY.make, **fields})


def needs_a_number(number):
    return FrequencyCap(max_contacts=number, name="weekly")


WRONG = [
    (raising, "it_loads"),
    (giving, "it_gives_something"),
    (lambda: giving(Contribution(name="frequency-cap", summary="ours", make=FrequencyCap)), "names_are_its_own"),
    (lambda: giving(changed(summary=" ")), "everything_has_a_summary"),
    (lambda: giving(WEEKLY, tryfirst=True), "hooks_are_plain"),
    (with_a_default, "hook_arguments_have_no_defaults"),
    (lambda: giving(changed(make=needs_a_number)), "everything_is_made"),
    (lambda: giving(changed(make=dict)), "everything_is_made"),
    (lambda: giving(changed(make=FrequencyCap)), "things_are_called_as_they_are_named"),
]
HEAVY_MODULE = """
import os, warnings
import sqlite3, xml.dom.minidom, pandas
from retention.plugins import Contribution, hookimpl
from retention.plan.policies import FrequencyCap

@hookimpl
def retention_contact_policies():
    yield Contribution(name="heavy", summary="one a month", make=lambda: FrequencyCap(max_contacts=1, name="heavy"))
"""
NOISY_MODULE = """
import os, warnings
print("hello from a plugin")
warnings.simplefilter("ignore")
os.environ["A_PLUGIN_WAS_HERE"] = "1"
from retention.plugins import Contribution, hookimpl
from retention.plan.policies import FrequencyCap

@hookimpl
def retention_contact_policies():
    yield Contribution(name="noisy", summary="one a month", make=lambda: FrequencyCap(max_contacts=1, name="noisy"))
"""


def only(law):
    return [one for one in LAWS if one.name == law]


@pytest.mark.parametrize(("make", "law"), WRONG, ids=[f"{i}-{law}" for i, (_, law) in enumerate(WRONG)])
def test_a_wrong_plugin_breaks_the_law_it_was_made_to_break(make, law):
    assert law in run(only(law), KIT.subject(make())).broken
    assert not run(only(law), KIT.subject(giving(WEEKLY))).broken


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A plugin module written to a folder that can be imported from, and forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("A_PLUGIN_WAS_HERE", "0")
    written = []

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)


def test_a_plugin_that_imports_a_heavy_library_when_it_is_loaded_is_told_of_it(module):
    """Also where that library was imported before by somebody else: it is looked at in a process of its own."""
    told = report(module("plugin_heavy", HEAVY_MODULE))
    assert list(told.broken) == ["imports_nothing_heavy"]
    assert "pandas" in told.broken["imports_nothing_heavy"]


def test_a_plugin_that_prints_and_changes_what_all_share_is_told_of_it(module, recwarn, capsys):
    told = report(module("plugin_noisy", NOISY_MODULE))
    assert list(told.broken) == ["importing_changes_nothing"]
    for what in ("printed to stdout", "warnings.filters was changed", "an environment variable was set"):
        assert what in told.broken["importing_changes_nothing"]


def test_every_law_has_a_plugin_that_breaks_it():
    imported = {"imports_nothing_heavy", "importing_changes_nothing"}
    assert {law.name for law in LAWS} == {law for _, law in WRONG} | imported
    assert all(law.ask for law in LAWS)


def test_what_a_plugin_brings_is_held_to_the_laws_of_its_kind_under_its_name():
    class Silent:
        """Refuses all and does not say why."""

        name = "silent"

        def review(self, proposals, situation):
            return FrequencyCap(max_contacts=0).review(proposals, situation).veto(proposals.gain >= 0, "")

    plugin = giving(WEEKLY, Contribution(name="silent", summary="says nothing", make=Silent))
    with pytest.raises(BrokenLaws) as caught:
        check_plugin(plugin)
    assert list(caught.value.broken) == ["silent: a_veto_has_a_reason"]
    check_plugin(plugin, expected_failures={"silent: a_veto_has_a_reason": "it never speaks"})
    names = {param.id for param in conformance(plugin, "plugin")}
    assert {"it_loads", "weekly: one_is_many", "silent: a_veto_has_a_reason"} <= names


def test_options_make_what_is_not_made_without_and_a_stage_is_a_plugin_too():
    plugin = giving(changed(make=needs_a_number))
    with pytest.raises(BrokenLaws, match="pass options="):
        check_plugin(plugin)
    check_plugin(plugin, options={"weekly": {"number": 2}})
    told = report(FrequencyCap(name="ours"), "plugin")
    assert told.passed
    assert told["ours: one_is_many"] == "passed"


def test_the_librarys_own_plugin_keeps_the_laws_of_plugins():
    offer = {"name": "card", "kind": "thank", "channel": "post", "customer_benefit": "is thanked", "lift": 0.05}
    told = run(LAWS, KIT.subject(builtin, options={"offers": {"offer": [offer]}}))
    assert told.passed, told
