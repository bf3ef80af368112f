"""A stranger's plugin comes in by the same door as ours, and a bad one is named and stepped around."""

import itertools
import sys
import types

import pytest

from retention.errors import PluginError, UnknownNameError
from retention.plugins import Contribution, hookimpl, open_registry


class Quiet:
    """A contact policy that allows everything."""

    name = "quiet"

    def review(self, proposals, situation):
        raise NotImplementedError


class GivesAPolicy:
    def __init__(self, name="no-sundays"):
        self.given = name

    @hookimpl
    def retention_contact_policies(self):
        yield Contribution(name=self.given, summary="rests on Sundays", make=Quiet)


class MisspeltHook:
    @hookimpl
    def retention_contact_polices(self):
        return []


class UnknownArgument:
    @hookimpl
    def retention_value_models(self, everything):
        return []


class Raises:
    @hookimpl
    def retention_value_models(self):
        raise RuntimeError("out of luck")


class GivesRubbish:
    @hookimpl
    def retention_tiering_rules(self):
        return ["margin-bands"]


BROKEN = [MisspeltHook(), UnknownArgument(), Raises(), GivesRubbish()]


def test_a_plugin_given_in_code_is_chosen_by_name():
    registry = open_registry([GivesAPolicy()], installed=False)
    assert isinstance(registry.make("contact_policy", "no-sundays"), Quiet)
    assert registry.failures == ()


def test_a_bare_policy_object_is_a_plugin_too():
    policy = Quiet()
    registry = open_registry([policy], installed=False)
    assert registry.make("contact_policy", "quiet") is policy
    assert registry.host["contact_policy"] == (policy,)


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(BROKEN))))[::5])
def test_broken_plugins_are_named_in_any_order_and_the_rest_works(order):
    plugins = [BROKEN[i] for i in order]
    plugins.insert(order[0], GivesAPolicy())
    registry = open_registry(plugins, installed=False)
    assert sorted(type(f.error).__name__ for f in registry.failures) == [
        "PluginError",
        "PluginValidationError",
        "PluginValidationError",
        "RuntimeError",
    ]
    assert all(f.plugin.startswith("host-") for f in registry.failures)
    assert all(any("while loading" in note for note in f.error.__notes__) for f in registry.failures)
    assert "no-sundays" in registry.names("contact_policy")
    assert "margin-bands" in registry.names("tiering_rule")


def test_a_broken_plugin_leaves_nothing_behind():
    class Half:
        @hookimpl
        def retention_contact_policies(self):
            yield Contribution(name="half", summary="x", make=Quiet)

        @hookimpl
        def retention_value_models(self):
            raise RuntimeError("after the policies were given")

    registry = open_registry([Half()], installed=False)
    assert "half" not in registry.names("contact_policy")
    assert [name for name, _ in registry.manager.list_name_plugin()] == ["builtin"]


def test_strict_raises_all_failures_at_once():
    with pytest.raises(ExceptionGroup) as caught:
        open_registry(BROKEN, installed=False, strict=True)
    assert len(caught.value.exceptions) == len(BROKEN)


def test_two_of_a_name_is_an_error_that_names_both_and_only_when_used():
    registry = open_registry([GivesAPolicy("consent")], installed=False)
    with pytest.raises(PluginError, match="builtin and host-0"):
        registry.make("contact_policy", "consent")
    registry.make("contact_policy", "minimum-gap")


def test_a_name_that_nobody_gives_is_told_with_the_nearest_and_with_what_failed():
    registry = open_registry([Raises()], installed=False)
    with pytest.raises(UnknownNameError, match=r"did you mean 'margin-bands'.*out of luck"):
        registry.find("tiering_rule", "margin-band")


def test_blocked_plugins_are_not_loaded_the_built_in_ones_included():
    registry = open_registry([GivesAPolicy()], installed=False, blocked=["builtin"])
    assert registry.names("value_model") == ()
    assert registry.blocked == ("builtin",)


def test_options_that_the_maker_does_not_know_are_told():
    registry = open_registry(installed=False)
    with pytest.raises(PluginError, match="frequency-cap"):
        registry.make("contact_policy", "frequency-cap", max_contact=3)


def test_an_observer_that_fails_changes_nothing():
    heard = []

    class Hears:
        @hookimpl
        def retention_plan_made(self, plan):
            heard.append(plan)

    class Fails:
        @hookimpl
        def retention_plan_made(self, plan):
            raise RuntimeError

    registry = open_registry([Fails(), Hears()], installed=False)
    with pytest.warns(Warning, match="host-0"):
        registry.announce("retention_plan_made", plan="a plan")
    assert heard == ["a plan"]


def test_installed_distributions_are_loaded_from_their_entry_points(tmp_path, monkeypatch):
    """A distribution on the path with one good and one broken entry point."""
    info = tmp_path / "retention_shop-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: retention-shop\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[retention]\nbad = no_such_module_here\ngood = retention_shop_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = types.ModuleType("retention_shop_plugin")
    module.retention_contact_policies = hookimpl(
        lambda: [Contribution(name="shop:no-sundays", summary="rests on Sundays", make=Quiet)]
    )
    monkeypatch.setitem(sys.modules, "retention_shop_plugin", module)
    registry = open_registry()
    assert "shop:no-sundays" in registry.names("contact_policy")
    assert [str(f) for f in registry.failures] == [
        "bad (retention-shop 1.2): ModuleNotFoundError: No module named 'no_such_module_here'"
    ]
