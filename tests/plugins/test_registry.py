"""A stranger's plugin comes in by the same door as ours, and a bad one is named and stepped around."""

import importlib.metadata
import itertools
import types

import pytest

from retention import Program
from retention.errors import PluginError, PluginLoadError, RetentionWarning, UnknownNameError
from retention.plan.policies import FrequencyCap
from retention.plugins import KINDS, Contribution, hookimpl, open_registry


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
    registry = open_registry(plugins, installed=False, strict=False)
    assert {f.name: type(f.error).__name__ for f in registry.failures} == {
        "GivesRubbish": "PluginError",
        "MisspeltHook": "PluginError",
        "UnknownArgument": "PluginError",
        "Raises": "RuntimeError",
    }
    assert all(f.origin == f"{f.name} (given in code)" for f in registry.failures)
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

        @hookimpl
        def retention_plan_made(self, plan):
            raise AssertionError

    registry = open_registry([Half()], installed=False, strict=False)
    assert "half" not in registry.names("contact_policy")
    assert [(p.name, p.gives) for p in registry.plugins if p.name != "builtin"] == [("Half", {})]
    registry.announce("retention_plan_made", plan="a plan")


def test_strict_raises_all_failures_at_once():
    with pytest.raises(ExceptionGroup) as caught:
        open_registry(BROKEN, installed=False, strict=True)
    assert len(caught.value.exceptions) == len(BROKEN)


def test_two_of_a_name_is_an_error_that_names_both_and_only_when_used():
    registry = open_registry([GivesAPolicy("consent")], installed=False)
    with pytest.raises(PluginError, match=r"GivesAPolicy \(given in code\) and builtin \(retention .*\)"):
        registry.make("contact_policy", "consent")
    registry.make("contact_policy", "minimum-gap")


def test_what_is_given_in_code_and_fails_is_an_error_at_once():
    """It may be a guard: one that is missing quietly is worse than no run."""
    with pytest.raises(PluginLoadError, match=r"plugin Raises \(given in code\).*out of luck") as caught:
        open_registry([Raises(), GivesRubbish()], installed=False)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert any("GivesRubbish" in note for note in caught.value.__notes__)


def test_a_name_that_nobody_gives_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'margin-bands'"):
        open_registry(installed=False).find("tiering_rule", "margin-band")


def test_a_name_that_a_failed_plugin_might_have_given_is_an_error_from_what_failed():
    registry = open_registry([Raises()], installed=False, strict=False)
    with pytest.raises(PluginLoadError, match=r"value model 'crystal-ball'.*Raises .*out of luck") as caught:
        registry.find("value_model", "crystal-ball")
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(UnknownNameError):  # it has no hook for tiering rules
        registry.find("tiering_rule", "margin-band")
    registry.make("value_model", "bg-nbd")


def test_blocked_plugins_are_not_loaded_the_built_in_ones_included():
    registry = open_registry([GivesAPolicy()], installed=False, blocked=["builtin"])
    assert registry.names("value_model") == ()
    assert registry.blocked == ("builtin",)


def test_options_that_the_maker_does_not_know_are_told():
    registry = open_registry(installed=False)
    with pytest.raises(PluginError, match="frequency-cap"):
        registry.make("contact_policy", "frequency-cap", max_contact=3)


def gives(kind, name, make):
    """A plugin that gives one thing."""
    plugin = types.ModuleType("a_plugin")
    hook = hookimpl(lambda: [Contribution(name=name, summary="for a test", make=make)])
    setattr(plugin, KINDS[kind].hook, hook)
    return plugin


@pytest.mark.parametrize("kind", KINDS)
def test_a_contribution_of_every_kind_says_who_gave_it(kind):
    registry = open_registry([gives(kind, "mine", dict)], installed=False)
    (mine,) = registry.providers[kind]["mine"]
    assert (mine.source, mine.distribution, mine.version) == ("a_plugin", "", "")
    for named in open_registry(installed=False).providers.values():
        for (own,) in named.values():
            assert (own.source, own.distribution) == ("builtin", "retention")
            assert own.version == importlib.metadata.version("retention")


def test_what_cannot_be_made_is_one_error_that_names_it_and_where_it_is_from():
    def fails():
        raise ImportError("no module named torch")

    def leaves():
        raise SystemExit("no licence")

    for make, told in ((fails, "ImportError: no module named torch"), (leaves, "SystemExit: no licence")):
        registry = open_registry([gives("report", "slides", make)], installed=False)
        with pytest.raises(PluginError, match=rf"report 'slides' from a_plugin \(given in code\): {told}"):
            registry.make("report", "slides")


def test_a_kind_that_there_is_not_is_told():
    with pytest.raises(UnknownNameError, match="did you mean 'contact_policy'"):
        open_registry(installed=False).names("contact_polices")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_has_the_methods_of_its_kind(kind):
    registry = open_registry([gives(kind, "mine", lambda: "no such thing")], installed=False)
    with pytest.raises(PluginError, match=rf"is a str without {KINDS[kind].methods[0]}\(\)"):
        registry.make(kind, "mine")


def test_a_contribution_is_named_in_lower_case_and_made_by_something_that_can_be_called():
    for name in ("", "Mine", " mine", "mi\x1bne", None):
        with pytest.raises(PluginError, match="contribution named"):
            Contribution(name=name, summary="", make=dict)
    with pytest.raises(PluginError, match="make is a dict"):
        Contribution(name="mine", summary="", make={})


class Fits:
    name = "fits"

    def fit(self, histories): ...


def test_a_bare_object_with_fit_is_a_value_model_and_a_timing_unless_it_says_which():
    registry = open_registry([Fits()], installed=False)
    assert ["fits" in registry.names(kind) for kind in ("value_model", "timing")] == [True, True]
    said = Fits()
    said.kind = "timing"
    registry = open_registry([said], installed=False)
    assert ["fits" in registry.names(kind) for kind in ("value_model", "timing")] == [False, True]


def test_a_bare_object_may_listen_as_well():
    heard = []

    class Listens(Quiet):
        @hookimpl
        def retention_plan_made(self, plan):
            heard.append(plan)

    policy = Listens()
    registry = open_registry([policy], installed=False)
    registry.announce("retention_plan_made", plan="a plan")
    assert (heard, registry.host["contact_policy"]) == (["a plan"], (policy,))


def test_only_policies_and_strategies_given_as_they_are_go_on_duty_unnamed():
    class Everything(Fits):
        def anything(self, *arguments): ...

        review = propose = assign = read = render = estimate = anything

    one, another = Everything(), GivesAPolicy()
    registry = open_registry([one, another], installed=False)
    assert registry.host == {"contact_policy": (one,), "outreach_strategy": (one,)}


def test_a_policy_of_a_strangers_takes_no_built_in_ones_place():
    """Installed, or brought in by a module with hooks: nobody named it, so the built-in one is on duty."""
    registry = open_registry([gives("contact_policy", "consent", Quiet)], installed=False)
    assert "consent" in [c.name for c in registry.defaults("contact_policy")]
    assert all(c.source == "builtin" for c in registry.defaults("contact_policy"))
    program = Program(plugins=[gives("contact_policy", "consent", Quiet)])
    assert sorted(p.name for p in program._policies(program.open_plugins())) == sorted(
        p.name for p in Program()._policies(Program().open_plugins())
    )


def test_a_policy_given_in_code_takes_the_place_of_the_built_in_one_of_its_name():
    mine = FrequencyCap(max_contacts=1, days=7)
    program = Program(plugins=[mine])
    on_duty = [p for p in program._policies(program.open_plugins()) if p.name == "frequency-cap"]
    assert on_duty == [mine]
    assert on_duty[0] is mine


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        (GivesAPolicy, "the class GivesAPolicy itself"),
        ("win-back", "nothing was found in a str"),
        (types.ModuleType("empty"), "nothing was found in the module empty"),
        (None, "nothing was found in a NoneType"),
    ],
)
def test_what_is_no_plugin_is_told(thing, told):
    with pytest.raises(PluginLoadError, match=told):
        open_registry([thing], installed=False)


def test_a_hook_gives_each_name_once_and_an_announcement_is_a_plain_function():
    class Twice:
        @hookimpl
        def retention_readers(self):
            while True:
                yield Contribution(name="again", summary="and again", make=dict)

    class Waits:
        @hookimpl
        async def retention_plan_made(self, plan): ...

    class Yields:
        @hookimpl
        def retention_plan_made(self, plan):
            yield

    class One:
        @hookimpl
        def retention_readers(self):
            return Contribution(name="one", summary="not in a list", make=dict)

    with pytest.raises(PluginLoadError, match="'again' twice"):
        open_registry([Twice()], installed=False)
    with pytest.raises(PluginLoadError, match="retention_readers gave a Contribution"):
        open_registry([One()], installed=False)
    for plugin in (Waits(), Yields()):
        with pytest.raises(PluginLoadError, match="is a generator or a coroutine"):
            open_registry([plugin], installed=False)


def test_a_misspelt_hook_is_told_with_the_nearest_and_one_of_a_later_version_may_be_optional():
    with pytest.raises(PluginLoadError) as caught:
        open_registry([MisspeltHook()], installed=False)
    assert "did you mean 'retention_contact_policies'?" in str(caught.value)

    class OfTomorrow(GivesAPolicy):
        @hookimpl(optionalhook=True)
        def retention_of_tomorrow(self): ...

    assert open_registry([OfTomorrow()], installed=False).failures == ()


def test_a_plugin_that_leaves_is_a_failure_and_an_interruption_is_not():
    class Leaves:
        @hookimpl
        def retention_readers(self):
            raise SystemExit("closed")

    class Interrupted:
        @hookimpl
        def retention_readers(self):
            raise KeyboardInterrupt

    with pytest.raises(PluginLoadError, match="SystemExit: closed"):
        open_registry([Leaves()], installed=False)
    with pytest.raises(KeyboardInterrupt):
        open_registry([Interrupted()], installed=False)


def test_an_observer_that_fails_changes_nothing_and_is_warned_about_once():
    heard = []

    class Hears:
        @hookimpl
        def retention_plan_made(self, plan):
            heard.append(plan)

    class Fails:
        @hookimpl
        def retention_plan_made(self, plan):
            raise RuntimeError("customer 17, Ms Miller")

        @hookimpl
        def retention_outcome_recorded(self, outcome):
            raise RuntimeError

    fails = Fails()
    registry = open_registry([fails, Hears()], installed=False)
    with pytest.warns(RetentionWarning) as caught:
        registry.announce("retention_plan_made", plan="a plan")
    assert [str(w.message) for w in caught] == [
        "plugin Fails (given in code) failed in retention_plan_made: RuntimeError"
    ]
    open_registry([fails, Hears()], installed=False).announce("retention_plan_made", plan="the next night's")
    assert heard == ["a plan", "the next night's"]
    with pytest.warns(RetentionWarning, match="retention_outcome_recorded"):
        registry.announce("retention_outcome_recorded", outcome="an outcome")


def test_where_warnings_are_errors_the_others_have_heard_it_all_the_same():
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
    with pytest.raises(RetentionWarning):  # tests make errors of warnings
        registry.announce("retention_plan_made", plan="a plan")
    assert heard == ["a plan"]


def test_an_observer_may_interrupt():
    class Interrupts:
        @hookimpl
        def retention_plan_made(self, plan):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_registry([Interrupts()], installed=False).announce("retention_plan_made", plan="a plan")


def test_each_call_of_a_hook_and_each_thing_made_can_be_followed(caplog):
    with caplog.at_level("DEBUG", logger="retention.plugins"):
        registry = open_registry([GivesAPolicy()], installed=False)
        registry.make("contact_policy", "no-sundays")
        registry.make("contact_policy", "frequency-cap", max_contacts=3)
    told = [record.getMessage() for record in caplog.records]
    assert "GivesAPolicy (given in code): retention_contact_policies" in told
    assert "contact policy 'no-sundays' from GivesAPolicy (given in code): made with options []" in told
    assert told[-1].endswith(": made with options ['max_contacts']")
