"""Hooks, kinds and contributions are documented, and what plugins rely on stays as it is.

A change here is a change for everyone's plugins: arguments and fields are added (with a default), never renamed, never
reordered, never taken away. Whoever adds one adds it to the tables below, and writes it into the changelog.
"""

import inspect
import re
from pathlib import Path

import attrs
import pytest

from retention import plugins
from retention.plugins import KINDS, Contribution, PluginInfo, Registry
from retention.plugins.hooks import Hooks

PAGES = "\n".join(
    path.read_text("utf-8") for path in sorted((Path(__file__).parents[2] / "docs" / "plugins").glob("*.md"))
)

HOOKS = {
    "retention_readers": (),
    "retention_value_models": (),
    "retention_timings": (),
    "retention_tiering_rules": (),
    "retention_outreach_strategies": (),
    "retention_contact_policies": (),
    "retention_estimators": (),
    "retention_reports": (),
    "retention_plan_made": ("plan",),
    "retention_outcome_recorded": ("outcome",),
}

KIND_METHODS = {
    "reader": ("retention_readers", ("read",)),
    "value_model": ("retention_value_models", ("fit",)),
    "timing": ("retention_timings", ("fit",)),
    "tiering_rule": ("retention_tiering_rules", ("assign",)),
    "outreach_strategy": ("retention_outreach_strategies", ("propose",)),
    "contact_policy": ("retention_contact_policies", ("review",)),
    "estimator": ("retention_estimators", ("estimate",)),
    "report": ("retention_reports", ("render",)),
}

# Fields of a contribution in their order; a later one has a default.
CONTRIBUTION = ("name", "summary", "make", "default", "source", "distribution", "version")

FUNCTIONS = {
    "open_registry": "(plugins, *, installed, blocked, strict)",
    "using": "(*plugins, installed)",
    "on_board": "()",
    "info": "()",
    "show": "(name, registry)",
}


def hooks() -> list[str]:
    return [name for name in vars(Hooks) if name.startswith("retention_")]


def bare(signature: inspect.Signature) -> str:
    """A signature without types and defaults: the names, and how they are given."""
    blank = inspect.Parameter.empty
    parameters = [p.replace(annotation=blank, default=blank) for p in signature.parameters.values()]
    return str(inspect.Signature(parameters))


def test_hooks_and_their_arguments_are_those_that_plugins_were_written_for():
    found = {name: tuple(inspect.signature(getattr(Hooks, name)).parameters)[1:] for name in hooks()}
    assert found == HOOKS


def test_an_argument_that_is_added_to_a_hook_has_a_default():
    """What stood in the first table has none; all else must."""
    first = {"plan", "outcome"}
    for name in hooks():
        for parameter in list(inspect.signature(getattr(Hooks, name)).parameters.values())[1:]:
            assert parameter.name in first or parameter.default is not inspect.Parameter.empty


def test_kinds_their_hooks_and_their_methods_are_those_that_plugins_were_written_for():
    assert {kind: (spec.hook, spec.methods) for kind, spec in KINDS.items()} == KIND_METHODS
    assert {spec.hook for spec in KINDS.values()} | {"retention_plan_made", "retention_outcome_recorded"} == {*hooks()}


def test_a_contribution_has_the_fields_it_had_and_new_ones_have_defaults():
    fields = attrs.fields(Contribution)
    assert tuple(f.name for f in fields) == CONTRIBUTION
    assert all(f.kw_only for f in fields)
    assert [f.name for f in fields if f.default is attrs.NOTHING] == ["name", "summary", "make"]


def test_the_functions_are_called_as_they_were():
    assert {name: bare(inspect.signature(getattr(plugins, name))) for name in FUNCTIONS} == FUNCTIONS


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_documented_where_it_is_and_on_the_pages(hook):
    text = inspect.getdoc(getattr(Hooks, hook)) or ""
    assert len(text.splitlines()[0]) > 10
    assert re.search(rf"@hookimpl\n\s+def {hook}\(", text), "a docstring shows a working plugin"
    printed = re.search(r"autoclass:: retention\.plugins\.hooks\.Hooks\n\s+:members:", PAGES)
    assert printed or hook in PAGES


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_documented_on_the_pages(kind):
    """By its own words, or by its hook that the page prints from the code."""
    spec = KINDS[kind]
    assert spec.what == kind.replace("_", " ")
    printed = "autoclass:: retention.plugins.hooks.Hooks" in PAGES
    assert spec.what in PAGES or spec.plural in PAGES or printed
    assert spec.plural in (inspect.getdoc(getattr(Hooks, spec.hook)) or "").lower()


@pytest.mark.parametrize("thing", [Contribution, PluginInfo, Registry, plugins.PluginList])
def test_fields_and_methods_of_what_a_plugin_meets_are_documented(thing):
    text = inspect.getdoc(thing) or ""
    assert text
    for name, member in vars(thing).items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property | classmethod)):
            assert inspect.getdoc(member), f"{thing.__name__}.{name}"
    told = {"name", "summary"}  # they say themselves
    for field in attrs.fields(thing) if attrs.has(thing) else ():
        assert field.name in told or re.search(rf"\b{field.name}\b", text), f"{thing.__name__}.{field.name}"


@pytest.mark.parametrize("name", plugins.__all__)
def test_all_that_authors_import_is_documented(name):
    thing = getattr(plugins, name)
    assert name in ("API", "KINDS", "hookimpl") or inspect.getdoc(thing)


def test_the_pages_say_how_to_do_without_a_plugin():
    assert "RETENTION_BLOCKED_PLUGINS" in PAGES
    assert "RETENTION_STRICT_PLUGINS" in PAGES
