"""Who is on board: what is installed, what the environment allows, what a block of code brings."""

import asyncio
import contextvars
import inspect
import sys
import threading
import time
import types
import warnings

import attrs
import pytest

import retention as rt
from retention import plugins
from retention.errors import PluginError, PluginLoadError, RetentionWarning, UnknownNameError
from retention.histories import Histories
from retention.plan import Review
from retention.plugins import Contribution, hookimpl, open_registry, using
from retention.tiers import MarginBands
from retention.value import BGNBD


@attrs.frozen
class Flat:
    """BG/NBD by another name."""

    name: str = "flat"
    kind: str = "value_model"

    def fit(self, histories):
        return BGNBD().fit(histories)


@attrs.frozen
class Nobody:
    """No contact at all."""

    name: str = "nobody"

    def review(self, proposals, situation):
        return Review.veto(proposals.gain == proposals.gain, "nobody is contacted")


@pytest.fixture
def base():
    return Histories.from_arrays(frequency=[2, 0, 5], recency_days=[60, 0, 80], age_days=[90, 70, 84])


@pytest.fixture
def installed(lay, monkeypatch):
    """Put packages of the folder ``broken`` on the path, imported by nobody so far."""

    def put(*packages):
        for folder in lay(packages):
            monkeypatch.syspath_prepend(str(folder))
        for name in [name for name in sys.modules if name.startswith("retention_")]:
            monkeypatch.delitem(sys.modules, name)

    for variable in ("RETENTION_PLUGINS", "RETENTION_BLOCKED_PLUGINS", "RETENTION_STRICT_PLUGINS"):
        monkeypatch.delenv(variable, raising=False)
    return put


def distributions(registry, status="active"):
    return [p.distribution for p in registry.plugins if p.status == status]


# using


def test_inside_a_block_its_names_can_be_chosen_and_afterwards_they_are_gone(base):
    with using(Flat(), installed=False) as registry:
        assert registry.names("value_model").count("flat") == 1
        worth = rt.appraise(base, model="flat")
        assert (worth["value"] == rt.appraise(base, model="bg-nbd")["value"]).all()
    with pytest.raises(UnknownNameError, match="'flat'"):
        rt.appraise(base, model="flat")


def test_inside_a_block_a_tiering_rule_and_a_policy_are_found_by_verbs_and_by_programs(base):
    class Halves(MarginBands):
        name = "halves"

    class Plugin:
        @hookimpl
        def retention_tiering_rules(self):
            yield Contribution(name="halves", summary="two tiers", make=MarginBands)

    with using(Plugin(), Nobody(), installed=False):
        rt.assign_tiers(base, rt.appraise(base), rule="halves")
        program = rt.Program(policies=["nobody"], rule="halves")
        assert program._policies(program.open_plugins()) == [Nobody()]


def test_nothing_is_used_that_is_not_named():
    with using(Nobody(), installed=False):
        program = rt.Program()
        registry = program.open_plugins()
        assert "nobody" in registry.names("contact_policy")
        assert "nobody" not in [p.name for p in program._policies(registry)]
        own = rt.Program(plugins=[Nobody()])
        assert "nobody" in [p.name for p in own._policies(own.open_plugins())]


def test_the_same_object_in_a_block_and_in_a_program_is_one():
    policy = Nobody()
    with using(policy, installed=False):
        program = rt.Program(plugins=[policy])
        registry = program.open_plugins()
        assert len(registry.providers["contact_policy"]["nobody"]) == 1
        assert registry.host["contact_policy"] == (policy,)


def test_blocks_nest_and_leave_no_trace():
    before = plugins.on_board()
    with using(Flat()) as outer:
        with using(Nobody()) as inner:
            assert plugins.on_board() is inner
            assert "flat" in inner.names("value_model")
            assert "nobody" in inner.names("contact_policy")
        assert plugins.on_board() is outer
        assert "nobody" not in outer.names("contact_policy")
    assert plugins.on_board() is before


def test_a_block_that_ends_in_an_error_leaves_no_trace_either():
    before = plugins.on_board()
    with pytest.raises(ZeroDivisionError), using(Flat()):
        1 / 0  # noqa: B018
    assert plugins.on_board() is before
    with pytest.raises(PluginLoadError, match="nothing was found in an object"), using(object()):
        raise AssertionError
    assert plugins.on_board() is before


def test_two_objects_of_one_name_are_an_error_when_it_is_used(base):
    with (
        using(Flat(), Flat(), installed=False),
        pytest.raises(PluginError, match=r"flat \(given in code\) and flat#2 \(given in code\)"),
    ):
        rt.appraise(base, model="flat")


def test_a_block_holds_for_its_own_thread():
    seen = {}

    def look(name):
        seen[name] = "flat" in plugins.on_board().names("value_model")

    with using(Flat()):
        alone = threading.Thread(target=look, args=["alone"])
        told = threading.Thread(target=contextvars.copy_context().run, args=[look, "told"])
        for thread in (alone, told):
            thread.start()
            thread.join()
    assert seen == {"alone": False, "told": True}


def test_blocks_of_two_tasks_do_not_meet():
    async def within(thing, kind, other):
        with using(thing, installed=False):
            await asyncio.sleep(0.01)
            registry = plugins.on_board()
            return thing.name in registry.names(kind), other.name in registry.names(other.kind)

    one, another = Flat(), Flat(name="flat-2")

    async def both():
        return await asyncio.gather(within(one, "value_model", another), within(another, "value_model", one))

    assert asyncio.run(both()) == [(True, False), (True, False)]


# what is installed, and what of it is wanted


def test_an_installed_distribution_is_on_board_with_its_name_and_version(installed):
    installed("retention-good")
    registry = open_registry()
    assert registry.find("contact_policy", "good:policy").origin == "good (retention-good 1.4)"
    assert distributions(registry) == ["retention", "retention-good"]
    assert distributions(open_registry(installed=False)) == ["retention"]


def test_without_the_installed_ones_a_block_is_without_them_throughout(installed):
    installed("retention-good")
    with using(Flat(), installed=False) as registry:
        assert distributions(registry) == ["retention", ""]
        assert distributions(rt.Program().open_plugins()) == ["retention", ""]
        with using(installed=True) as inner:
            assert distributions(inner) == ["retention", ""]


@pytest.mark.parametrize("word", ["good", "retention-good", " Retention_Good ", "GOOD"])
def test_a_plugin_is_blocked_by_its_name_or_its_distributions_case_and_blanks_forgiven(installed, monkeypatch, word):
    installed("retention-good", "retention-slow")
    for registry in (
        open_registry(blocked=[word]),
        (monkeypatch.setenv("RETENTION_BLOCKED_PLUGINS", f"{word},"), open_registry())[1],
    ):
        assert distributions(registry) == ["retention", "retention-slow"]
        assert registry.blocked == ("good",)
        with pytest.raises(UnknownNameError, match="blocked: good"):
            registry.find("contact_policy", "good:policy")


def test_what_the_environment_blocks_stays_blocked_whatever_a_program_says(installed, monkeypatch):
    installed("retention-good", "retention-slow")
    monkeypatch.setenv("RETENTION_BLOCKED_PLUGINS", "good")
    assert rt.Program(blocked=["slow"]).open_plugins().blocked == ("good", "slow")


@pytest.mark.parametrize("word", ["builtin/win-back", "Retention/Win_Back"])
def test_one_contribution_is_blocked_by_plugin_and_name_the_built_in_ones_included(word):
    registry = open_registry(installed=False, blocked=[word])
    assert "win-back" not in registry.names("outreach_strategy")
    assert "check-in-overdue" in registry.names("outreach_strategy")
    assert plugins.show("builtin", registry).held_back == ("win-back",)
    with pytest.raises(UnknownNameError, match="blocked: builtin/win-back"):
        registry.find("outreach_strategy", "win-back")


def test_blocking_one_of_two_providers_settles_a_conflict(installed):
    installed("retention-weekly", "retention-week-by-week")
    with pytest.raises(PluginError, match="weekly@retention-weekly/once-a-week"):
        open_registry().find("contact_policy", "once-a-week")
    for word in ("retention-week-by-week", "weekly@retention-week-by-week", "retention-week-by-week/once-a-week"):
        found = open_registry(blocked=[word]).find("contact_policy", "once-a-week")
        assert found.distribution == "retention-weekly"
    assert distributions(open_registry(blocked=["weekly"])) == ["retention"]  # both answer to it


USUAL = [(kind, spec.usual) for kind, spec in plugins.KINDS.items() if spec.usual]


@pytest.mark.parametrize(("kind", "name"), USUAL)
def test_what_is_used_where_nothing_is_named_stays_this_librarys_whatever_is_installed(installed, kind, name):
    installed("retention-usurper")
    registry = open_registry()
    assert registry.find(kind, name).source == "builtin"
    notes = plugins.show("retention-usurper", registry).notes
    assert [note for note in notes if repr(name) in note]
    freed = open_registry(blocked=[f"builtin/{name}"])
    assert freed.find(kind, name).distribution == "retention-usurper"


@pytest.mark.parametrize(("kind", "name"), USUAL)
def test_a_usual_name_given_in_code_is_a_conflict_like_any(kind, name):
    class Mine:
        def anything(self, *arguments): ...

        read = fit = assign = estimate = render = anything

    mine = Mine()
    mine.name, mine.kind = name, kind
    with pytest.raises(PluginError, match="given in code"):
        open_registry([mine], installed=False).find(kind, name)


def test_the_usual_names_are_those_that_a_program_and_the_verbs_use():
    program, usual = rt.Program(), dict(USUAL)
    assert {
        "reader": program.reader,
        "value_model": program.model,
        "timing": program.clock,
        "tiering_rule": program.rule,
        "report": program.reports[0],
        "estimator": inspect.signature(rt.prove).parameters["estimator"].default,
    } == usual
    for verb, argument, kind in (
        (rt.appraise, "model", "value_model"),
        (rt.anticipate, "clock", "timing"),
        (rt.assign_tiers, "rule", "tiering_rule"),
    ):
        assert inspect.signature(verb).parameters[argument].default == usual[kind]


def test_a_blocked_plugin_is_not_even_imported(installed):
    installed("retention-leaves")
    registry = open_registry(blocked=["leaves"])
    assert (registry.failures, distributions(registry, "blocked")) == ((), ["retention-leaves"])


def test_a_word_of_the_block_list_that_names_nothing_is_told(installed, monkeypatch):
    installed("retention-good")
    with pytest.warns(RetentionWarning, match="no plugin is called 'godo'; did you mean 'good'"):
        open_registry(blocked=["godo"])
    with pytest.warns(RetentionWarning, match="'builtin' gives nothing called 'win-bakc'; did you mean 'win-back'"):
        open_registry(blocked=["builtin/win-bakc"])
    monkeypatch.setenv("RETENTION_PLUGINS", "god")
    with pytest.warns(RetentionWarning, match="RETENTION_PLUGINS: no plugin is called 'god'; did you mean 'good'"):
        open_registry()


@pytest.mark.parametrize(
    ("allowed", "loaded"),
    [
        (None, ["retention", "retention-good", "retention-slow"]),
        ("", ["retention"]),
        (" Good", ["retention", "retention-good"]),
        ("retention_slow, good", ["retention", "retention-good", "retention-slow"]),
    ],
)
def test_the_environment_may_name_the_only_ones_that_are_wanted(installed, monkeypatch, allowed, loaded):
    installed("retention-good", "retention-slow")
    if allowed is not None:
        monkeypatch.setenv("RETENTION_PLUGINS", allowed)
    assert distributions(open_registry()) == loaded
    assert distributions(open_registry([Flat()])) == [*loaded, ""]  # what is given in code is wanted


def test_of_two_copies_of_a_distribution_the_first_on_the_path_counts(installed):
    installed("retention-good")
    installed("retention-good")
    registry = open_registry()
    assert distributions(registry) == ["retention", "retention-good"]
    assert registry.failures == ()


def test_distributions_without_metadata_are_not_mistaken_for_each_other(lay, installed, monkeypatch):
    for folder in lay(["retention-good", "retention-slow"]):
        next(folder.glob("*.dist-info/METADATA")).unlink()
        monkeypatch.syspath_prepend(str(folder))
    registry = open_registry()
    assert [p.name for p in registry.plugins] == ["builtin", "good", "slow"]
    assert registry.failures == ()


def test_a_plugin_under_development_is_installed_and_given_in_code(installed):
    """Its module is one plugin, however it came."""
    installed("retention-good")
    import retention_good  # type: ignore[import-not-found]

    with using(retention_good) as registry:
        assert distributions(registry) == ["retention", "retention-good"]
        registry.make("contact_policy", "good:policy")


def test_strict_is_asked_for_by_the_environment_too(installed, monkeypatch):
    installed("retention-raises", "retention-rubbish")
    assert distributions(open_registry(), "failed") == ["retention-raises", "retention-rubbish"]
    monkeypatch.setenv("RETENTION_STRICT_PLUGINS", "1")
    with pytest.raises(ExceptionGroup) as caught:
        open_registry()
    assert [type(error) for error in caught.value.exceptions] == [PluginLoadError, PluginLoadError]
    assert isinstance(caught.value.exceptions[0].__cause__, RuntimeError)
    assert distributions(open_registry(strict=False), "failed") == ["retention-raises", "retention-rubbish"]


def test_what_a_plugin_prints_is_kept_apart_and_what_others_print_is_not(installed, capsys):
    installed("retention-prints")

    class Handler:
        """Keeps the stream, as a logging handler does."""

        @hookimpl
        def retention_readers(self):
            self.stream = sys.stdout
            assert self.stream.encoding  # all else is as it was
            thread = threading.Thread(target=print, args=["from another thread"])
            thread.start()
            thread.join()
            return []

    handler = Handler()
    registry = open_registry([handler])
    print("afterwards", file=handler.stream)
    handler.stream.flush()
    assert capsys.readouterr().out == "from another thread\nafterwards\n"
    assert plugins.show("prints", registry).notes == ("printed while loading: 'Welcome to our plugin!'",)


def test_threads_that_load_plugins_at_once_leave_standard_output_as_it_was(capsys):
    class Talks:
        @hookimpl
        def retention_readers(self):
            for _ in range(20):
                print("listen!")
                time.sleep(0.0005)
            return []

    before, notes = sys.stdout, []
    threads = [
        threading.Thread(target=lambda: notes.append(open_registry([Talks()], installed=False).plugins[-1].notes))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.stdout is before
    assert notes == [("printed while loading: 'listen!'",)] * 4
    assert capsys.readouterr().out == ""


# info and show


def test_info_and_show_say_what_is_known(installed):
    installed("retention-good", "retention-raises", "retention-slow")
    registry = open_registry(blocked=["slow"])
    listed = str(registry.plugins)
    assert [line for line in listed.splitlines() if not line.startswith(" ")] == [
        f"builtin  retention         {plugins.show('builtin', registry).version}  active",
        "good     retention-good    1.4    active",
        "raises   retention-raises  1.0    failed",
        "slow     retention-slow    1.0    blocked",
    ]
    assert "  RuntimeError: out of luck" in listed.splitlines()
    assert "  contact policies: good:policy" in listed.splitlines()

    good = plugins.show("Retention_Good", registry)
    assert good is plugins.show("good", registry)
    assert good.hooks[:2] == ("retention_contact_policies", "retention_outreach_strategies")
    assert good.gives["contact_policy"] == ("good:policy",)
    assert good.seconds > 0
    assert "good:policy  of a stranger" in str(good)

    raises = plugins.show("raises", registry)
    assert (raises.status, raises.reason) == ("failed", "RuntimeError: out of luck")
    assert 'raise RuntimeError("out of luck")' in str(raises)
    assert "while loading retention plugin raises (retention-raises 1.0)" in str(raises)
    with pytest.raises(UnknownNameError, match="did you mean 'raises'"):
        plugins.show("raise", registry)


def test_info_is_of_those_on_board():
    assert plugins.info() is plugins.on_board().plugins
    with using(Flat(), installed=False):
        assert [p.name for p in plugins.info()] == ["builtin", "flat"]
        assert plugins.show("flat").gives == {"value_model": ("flat",)}


def test_what_is_shown_in_a_notebook_is_escaped():
    class Sly:
        @hookimpl
        def retention_readers(self):
            raise RuntimeError("<script>alert(1)</script>")

    registry = open_registry([Sly()], installed=False, strict=False)
    for told in (registry._repr_html_(), registry.plugins._repr_html_(), registry.failures[0]._repr_html_()):
        assert "<script>" not in told
        assert "&lt;script&gt;" in told
    assert repr(registry.plugins) == "<PluginList: 2 plugins, 1 failed>"
    assert repr(registry.failures[0]) == "<PluginInfo Sly (given in code): failed>"


def test_a_failure_whose_text_fails_is_a_failure_like_any():
    class Mute(Exception):
        def __str__(self):
            raise ValueError

    class Plugin:
        @hookimpl
        def retention_readers(self):
            raise Mute

    registry = open_registry([Plugin()], installed=False, strict=False)
    assert registry.failures[0].reason == "Mute"
    assert "Mute" in str(registry.failures[0])


def test_names_of_plugins_given_in_code_are_their_own():
    module = types.ModuleType("retention_mine")
    module.retention_readers = hookimpl(lambda: ())  # type: ignore[attr-defined]

    class Plugin:
        @hookimpl
        def retention_readers(self):
            return []

    registry = open_registry([module, Plugin(), Plugin(), Nobody()], installed=False)
    assert [p.name for p in registry.plugins] == ["builtin", "retention_mine", "Plugin", "Plugin#2", "nobody"]


def test_a_guard_given_in_code_is_not_blocked_by_a_name_it_shares(monkeypatch):
    """Somebody blocks the distribution; the host's own policy of that name stays on duty."""

    class Loyalty:
        name = "loyalty"

        def review(self, proposals, situation):
            raise NotImplementedError

    guard = Loyalty()
    for variable in ("RETENTION_BLOCKED_PLUGINS", "RETENTION_PLUGINS"):
        monkeypatch.setenv(variable, "Loyalty")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            registry = open_registry([guard], blocked=["loyalty"] if "BLOCKED" in variable else None)
        assert registry.host["contact_policy"] == (guard,)
        assert registry.make("contact_policy", "loyalty") is guard
        monkeypatch.delenv(variable)
