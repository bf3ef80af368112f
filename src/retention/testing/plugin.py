"""The laws of plugins: what is loaded with every start is light and silent, and all that it brings keeps its own laws.

``check_plugin(module)`` asks first of the plugin as a whole, then of each thing that it contributes the laws of that
kind, under names such as ``"no-sundays: one_is_many"``.
"""

import importlib
import importlib.util
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs import define, field

from retention.plugins import KINDS, Contribution, PluginInfo, Registry, open_registry
from retention.testing import _state
from retention.testing._shared import must
from retention.testing.laws import Kit, Law, NotAsked, kind_of, kit, laws, report

__all__ = ["HEAVY", "KIT", "LAWS", "check_plugin"]

HEAVY = (
    "altair", "arviz", "bokeh", "cvxpy", "dask", "duckdb", "econml", "ibis", "jax", "jinja2", "lifelines", "lightgbm",
    "matplotlib", "networkx", "numba", "openpyxl", "pandas", "plotly", "polars", "pyarrow", "pymc", "pymc_marketing",
    "pyspark", "pytensor", "requests", "scipy.optimize", "scipy.stats", "seaborn", "sklearn", "sqlalchemy",
    "statsmodels", "tensorflow", "torch", "transformers", "xgboost",
)  # fmt: skip
"""What a plugin does not import when it is loaded: it is loaded with every start, and is seldom the one in use."""

_LOOK = """
import importlib, importlib.util, json, sys
path, folders, module, whole, heavy = json.loads(sys.argv[1])
sys.path[:] = folders
spec = importlib.util.spec_from_file_location("_state", path)
state = importlib.util.module_from_spec(spec)
spec.loader.exec_module(state)
from retention.plugins import open_registry
open_registry(installed=False)
events, before = {}, set(sys.modules)
sys.addaudithook(lambda event, told: events.setdefault(event))
with state.watched() as changed:
    events.clear()
    found = importlib.import_module(module)
    if whole:
        open_registry([found], installed=False)
    seen = set(events)
told = {
    "an environment variable was set": {"os.putenv", "os.unsetenv"},
    "a connection was opened": {"socket.connect", "socket.getaddrinfo", "socket.bind"},
    "a process was started": {"subprocess.Popen", "os.system", "os.posix_spawn", "os.fork"},
}
changed += [what for what, those in told.items() if those & seen]
found = [name for name in heavy if name in sys.modules and name not in before]
print("\\n" + json.dumps({"heavy": found, "changed": changed}))
"""


@define(eq=False, slots=False)
class _Plugin:
    """A plugin, what to make its contributions with, and what to try them on."""

    thing: Any
    options: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    data: Mapping[str, Mapping[str, Any]] = field(factory=dict)

    @cached_property
    def registry(self) -> Registry:
        """The plugin on board, beside the built-in stages alone."""
        return open_registry([self.thing], installed=False)

    @property
    def info(self) -> PluginInfo:
        """What became of it."""
        return max(self.registry.plugins, key=lambda one: one.name != "builtin")

    def contributions(self) -> Iterator[tuple[str, Contribution]]:
        """What it brings, by kind; an object that can be fitted is of the one kind that its answers say."""
        for kind, found in self.info.contributions.items():
            one_of_two = kind in ("value_model", "timing") and not self.info.hooks
            if one_of_two and kind_of(self.thing) != kind:
                continue
            yield from ((kind, one) for one in found)

    def made(self, contribution: Contribution) -> Any:
        """The thing, made with the options for its name."""
        return contribution.make(**self.options.get(contribution.name, {}))

    @cached_property
    def looked(self) -> dict[str, Any]:
        """What importing it does, seen in a process of its own."""
        whole = isinstance(self.thing, ModuleType)
        name = self.thing.__name__ if whole else _home(self.thing)
        if name.split(".")[0] in ("__main__", "retention") or importlib.util.find_spec(name) is None:
            raise NotAsked("the plugin is not in a module that can be imported anew")
        told = json.dumps([str(Path(_state.__file__)), sys.path, name, whole, HEAVY])
        ran = subprocess.run(
            [sys.executable, "-c", _LOOK, told], capture_output=True, text=True, check=False, encoding="utf-8"
        )
        must(
            ran.returncode == 0,
            f"importing it in a new process fails: {(ran.stderr.strip().splitlines() or ['?'])[-1]}",
        )
        found: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
        return found


def _home(thing: Any) -> str:
    """The module that an object comes from: that of its hooks, or of its class."""
    for _, function in _hooks(thing):
        return str(getattr(function, "__module__", "__main__"))
    return type(thing).__module__


def _subject(thing: Any, options: Any = None, data: Any = None) -> _Plugin:
    found = importlib.import_module(thing) if isinstance(thing, str) else thing
    return _Plugin(found, dict(options or {}), dict(data or {}))


def it_loads(subject: _Plugin) -> None:
    """It is loaded beside the built-in stages without a failure."""
    error = subject.info.error
    must(error is None, f"{type(error).__name__}: {error}")


def it_gives_something(subject: _Plugin) -> None:
    """It contributes a stage or listens to an announcement."""
    listens = {*subject.info.hooks} - {kind.hook for kind in KINDS.values()}
    must(any(subject.info.contributions.values()) or listens, "it gives nothing and listens to nothing")


def names_are_its_own(subject: _Plugin) -> None:
    """No name of a kind is one of this library's own: using a name of two providers is an error."""
    taken = [
        f"{KINDS[kind].what} {one.name!r}"
        for kind, one in subject.contributions()
        if len(subject.registry.providers[kind][one.name]) > 1
    ]
    must(not taken, f"{', '.join(taken)} is there already: take another name, or 'vendor:name'")


def everything_has_a_summary(subject: _Plugin) -> None:
    """Each contribution says in one line what it is."""
    for _, one in subject.contributions():
        right = isinstance(one.summary, str) and one.summary.strip() and len(one.summary.splitlines()) == 1
        must(right, f"the summary of {one.name!r} is {one.summary!r}")


def hooks_are_plain(subject: _Plugin) -> None:
    """Hooks of contributions are no wrappers and want no place in an order: order never decides anything here."""
    for name, function in _hooks(subject.thing):
        told = getattr(function, "retention_impl", {})
        odd = [word for word in ("wrapper", "hookwrapper", "tryfirst", "trylast") if told.get(word)]
        must(not odd or name not in {k.hook for k in KINDS.values()}, f"{name} is marked with {', '.join(odd)}")


def hook_arguments_have_no_defaults(subject: _Plugin) -> None:
    """No argument of a hook has a default: whether it is passed depends on the version of pluggy."""
    for name, function in _hooks(subject.thing):
        default = [p.name for p in inspect.signature(function).parameters.values() if p.default is not p.empty]
        must(not default, f"{name} has a default for {', '.join(default)}")


def _hooks(thing: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in dir(thing):
        if name.startswith("retention_") and callable(function := getattr(thing, name)):
            yield (getattr(function, "retention_impl", None) or {}).get("specname") or name, function


def everything_is_made(subject: _Plugin) -> None:
    """Each contribution is made without options, or with those given here, has a name and what its kind must do."""
    for kind, one in subject.contributions():
        try:
            made = subject.made(one)
        except Exception as error:
            hint = "" if one.name in subject.options else "; pass options={'" + one.name + "': {...}} if it needs some"
            raise AssertionError(f"{one.name!r} is not made: {type(error).__name__}: {error}{hint}") from error
        missing = [method for method in KINDS[kind].methods if not callable(getattr(made, method, None))]
        must(not missing, f"{one.name!r} is a {type(made).__name__} without {', '.join(missing)}()")


def things_are_called_as_they_are_named(subject: _Plugin) -> None:
    """Made without options, a thing's own name is that of its contribution: plans and notes go by the former."""
    for _, one in subject.contributions():
        if one.name not in subject.options:
            name = getattr(subject.made(one), "name", None)
            must(name == one.name, f"the contribution {one.name!r} makes a thing named {name!r}")


def imports_nothing_heavy(subject: _Plugin) -> None:
    """Loading it imports none of the heavy libraries in ``HEAVY``: import them where a stage is made."""
    heavy = subject.looked["heavy"]
    must(not heavy, f"loading it imports {', '.join(heavy)}: import them within make, or within the method")


def importing_changes_nothing(subject: _Plugin) -> None:
    """Importing it prints nothing, changes no state that all code shares, and opens no connection and no process."""
    changed = subject.looked["changed"]
    must(not changed, "; ".join(changed))


def _of_contributions(subject: _Plugin) -> tuple[Law, ...]:
    """The laws of each contribution's kind, under its name."""
    if subject.info.error is not None:
        return ()
    found: list[Law] = []
    names = [one.name for _, one in subject.contributions()]
    for kind, one in subject.contributions():
        under = one.name if names.count(one.name) == 1 else f"{KINDS[kind].what} {one.name}"
        found += [_under(under, law, _Lazy(subject, kind, one)) for law in kit(kind).laws]
    return tuple(found)


@define(eq=False, slots=False)
class _Lazy:
    """The subject that a contribution makes, once, when the first law asks for it."""

    plugin: _Plugin
    kind: str
    contribution: Contribution

    @cached_property
    def subject(self) -> Any:
        """The subject of its kind's laws."""
        given = self.plugin.data.get(self.contribution.name, {})
        bare = not self.plugin.info.hooks
        try:
            self.plugin.made(self.contribution)
        except Exception as error:
            raise NotAsked(f"it is not made: {type(error).__name__}") from error
        thing = self.plugin.thing if bare else _Maker(self.plugin, self.contribution)
        return kit(self.kind).subject(thing, **given)


@define(eq=False)
class _Maker:
    """A function without arguments that makes a contribution."""

    plugin: _Plugin
    contribution: Contribution

    def __call__(self) -> Any:
        return self.plugin.made(self.contribution)


def _under(name: str, law: Law, lazy: _Lazy) -> Law:
    return Law(f"{name}: {law.name}", law.ask, lambda plugin: law.check(lazy.subject))


LAWS = laws(
    it_loads,
    it_gives_something,
    names_are_its_own,
    everything_has_a_summary,
    hooks_are_plain,
    hook_arguments_have_no_defaults,
    everything_is_made,
    things_are_called_as_they_are_named,
    imports_nothing_heavy,
    importing_changes_nothing,
)
KIT = Kit("plugin", LAWS, _subject, _of_contributions)


def check_plugin(
    plugin: Any,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    data: Mapping[str, Mapping[str, Any]] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> None:
    """Hold a plugin to every law of ``LAWS``, and all that it contributes to those of its kind.

    One BrokenLaws names all that is broken. ``report(module)`` tells all that was asked.

    Args:
        plugin: a module, the name of one, an object with hooks, or a stage object.
        options: what to make contributions with, by their names; none is needed where defaults do.
        data: what to try contributions on in place of the samples, by their names: see :func:`report`. A reader is
            not tried without a ``source``, a report not without a ``night``.
        expected_failures: laws that are known to fail, by name, each with the reason; those of a contribution are
            named ``"its name: the law"``.

    Example:
        >>> from types import SimpleNamespace
        >>> from retention.plan.policies import FrequencyCap
        >>> from retention.plugins import Contribution, hookimpl
        >>> @hookimpl
        ... def retention_contact_policies():
        ...     yield Contribution(name="our-cap", summary="one a week", make=OurCap)
        >>> def OurCap():
        ...     return FrequencyCap(max_contacts=1, days=7, name="our-cap")
        >>> check_plugin(SimpleNamespace(retention_contact_policies=retention_contact_policies))
    """
    report(plugin, "plugin", expected_failures=expected_failures, options=options, data=data).raise_if_broken()
