"""Who is on board here and now: what is installed, what the environment allows, what the code brings."""

import importlib.metadata
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any

from attrs import evolve, frozen

from retention.errors import PluginError, PluginLoadError, RetentionWarning, UnknownNameError, nearest
from retention.plugins.contribution import BUILTIN, folded
from retention.plugins.hooks import PROJECT
from retention.plugins.listing import PluginInfo, PluginList
from retention.plugins.loading import Candidate, Loaded, load
from retention.plugins.registry import Registry

__all__ = ["info", "on_board", "open_registry", "show", "using"]


_UNKNOWN = "unknown distribution"


@frozen
class _Session:
    """What a ``using`` block brings, with that of the blocks around it."""

    plugins: tuple[Any, ...] = ()
    installed: bool = True
    registry: Registry | None = None


_session: ContextVar[_Session] = ContextVar("retention.plugins", default=_Session())  # noqa: B039 (it is frozen)


def open_registry(
    plugins: Iterable[Any] = (),
    *,
    installed: bool = True,
    blocked: Iterable[str] | None = None,
    strict: bool | None = None,
) -> Registry:
    """Load the built-in stages, the installed plugins and the given ones, each by itself.

    An installed plugin that cannot be loaded is recorded and stepped around: whoever runs the program need not be able
    to mend it. One that is given in code is an error at once: it may be a guard, and a guard must not be missing
    quietly.

    Args:
        plugins: modules or objects with hook implementations, or bare stage objects (a policy, a strategy, a rule, a
            model) that a host brings in code. A stage object has a ``name`` and the method of its kind; where that
            serves two kinds it is given as both, unless an attribute ``kind`` says which.
        installed: whether to load distributions that announce themselves in the entry-point group ``retention``.
            With the environment variable ``RETENTION_PLUGINS`` only those that it names (blank: none).
        blocked: what not to load, beside what ``RETENTION_BLOCKED_PLUGINS`` names (comma-separated): plugins or
            distributions by name, or single contributions as ``plugin/name``. The built-in stages are the plugin
            ``builtin``, so ``builtin/win-back`` is how to do without one of them.
        strict: True raises all failures at once, False records them all; None does as told above, or raises all if
            ``RETENTION_STRICT_PLUGINS=1``.

    Raises:
        PluginLoadError: a plugin that was given in code cannot be loaded; from what went wrong.
        ExceptionGroup: of a ``PluginLoadError`` for each plugin that cannot be loaded, if strict.

    Example:
        >>> open_registry(installed=False).names("value_model")[:4]
        ('auto', 'bg-bb', 'bg-cnbd-k', 'bg-nbd')
    """
    from retention.plugins import builtin

    session = _session.get()
    ours = Candidate(name=BUILTIN, distribution=PROJECT, version=_version(), find=lambda: builtin)
    look = installed and session.installed
    found = _installed() if look else []
    given = tuple(plugins)
    brought = _in_code([*session.plugins, *given], {ours.name, *(c.name for c in found)})
    unwanted = _words([*os.environ.get("RETENTION_BLOCKED_PLUGINS", "").split(","), *(blocked or ())])
    allowed = os.environ.get("RETENTION_PLUGINS")
    wanted = None if allowed is None else _words(allowed.split(","))

    loaded: list[Loaded] = []
    aboard: dict[int, PluginInfo] = {}
    for candidate in (ours, *found, *brought):
        # What is brought in code may be a guard, and shares its name with a distribution that is blocked by chance.
        in_code = candidate is not ours and not candidate.distribution
        names = set() if in_code else _called(candidate)
        unnamed = wanted is not None and not in_code and candidate is not ours and not names & wanted
        if names & unwanted or unnamed:
            loaded.append(_left_out(candidate, "blocked"))
            continue
        held_back = {what for whose, _, what in (word.partition("/") for word in unwanted) if whose in names}
        one = load(candidate, held_back=held_back)
        twin = aboard.setdefault(id(one.thing), one.info) if one.info.status == "active" else one.info
        if twin is one.info:
            loaded.append(one)
        elif candidate.distribution:  # else the same was given in code as well, and is on board already
            loaded.append(_left_out(candidate, "failed", _same_as(twin)))
    registry = Registry.of(loaded, given=given)
    if look:
        _tell_unknown("RETENTION_PLUGINS", wanted or set(), registry)
        _tell_unknown("blocked plugins", unwanted, registry)
    _raise_failures(registry, strict, {c.name for c in brought})
    return registry


@contextmanager
def using(*plugins: Any, installed: bool = True) -> Iterator[Registry]:
    """Inside the block the names that these plugins give can be chosen; nothing is used that is not named.

    For notebooks and tests: ``rt.appraise(model="mine")``, ``rt.make_plan(policies=[...])`` and programs that name
    them find them. Blocks nest. A block holds for its own thread or asynchronous task, and leaves no trace.

    Args:
        plugins: modules, objects with hooks, or bare stage objects.
        installed: False leaves the installed plugins out, so that a test depends on what it names alone.

    Raises:
        PluginLoadError: one of them cannot be loaded; from what went wrong.

    Example:
        >>> class Steady:
        ...     name, kind = "steady", "value_model"
        ...     def fit(self, histories): ...
        >>> with using(Steady(), installed=False) as registry:
        ...     "steady" in registry.names("value_model")
        True
    """
    around = _session.get()
    inner = _Session((*around.plugins, *plugins), installed=installed and around.installed)
    before = _session.set(inner)
    try:
        registry = open_registry()
        _session.set(evolve(inner, registry=registry))
        yield registry
    finally:
        _session.reset(before)


def on_board() -> Registry:
    """The registry by which names are chosen: that of the ``using`` block around, else of what is installed.

    What is installed is opened once in a process.
    """
    return _session.get().registry or _once()


@cache
def _once() -> Registry:
    return open_registry()


def info() -> PluginList:
    """All plugins that were found: who they are, what they give, which are blocked and which failed."""
    return on_board().plugins


def show(name: str, registry: Registry | None = None) -> PluginInfo:
    """One plugin, by its name or that of its distribution; its ``str`` tells everything, with the whole traceback.

    Raises:
        UnknownNameError: no such plugin was found, or several answer to the name of one distribution.

    Example:
        >>> show("builtin").status
        'active'
    """
    plugins = (on_board() if registry is None else registry).plugins
    found = [p for p in plugins if p.name == name] or [p for p in plugins if folded(name) in _called(p)]
    if len(found) != 1:
        givers = [p.name for p in plugins if any(name in names for names in p.gives.values())]
        raise UnknownNameError(
            f"plugin {name!r}" + (f", which is a name that {' and '.join(givers)} gives" if givers else ""),
            rule="a plugin is shown by its name, or by that of a distribution with one plugin",
            remedy=f"`retention plugins show {givers[0]}`"
            if givers
            else nearest(name, [p.name for p in found or plugins]),
        )
    return found[0]


def _version() -> str:
    try:
        return importlib.metadata.version(PROJECT)
    except importlib.metadata.PackageNotFoundError:  # run from a folder of sources
        return ""


def _installed() -> list[Candidate]:
    """What distributions announce, in the order of their names; names that two of them use are told apart.

    Of two copies of a distribution the first on the path counts, as it does for the import.
    """
    points: dict[object, list[tuple[str, str, str, Any]]] = {}
    for one in importlib.metadata.distributions():
        try:
            announced = [(point.name, point.load) for point in one.entry_points if point.group == PROJECT]
        except Exception as error:  # its list of entry points cannot be read
            announced = [("entry_points.txt", partial(_raise, error))]
        if announced:
            name, version = _distribution(one)
            flat = [(point, name, version, find) for point, find in announced]
            points.setdefault(folded(name) if name != _UNKNOWN else len(points), flat)
    found = sorted((point for flat in points.values() for point in flat), key=lambda point: point[:3])
    taken = Counter([BUILTIN, *(point for point, *_ in found)])
    return [
        Candidate(name=point if taken[point] == 1 else f"{point}@{name}", distribution=name, version=version, find=find)
        for point, name, version, find in found
    ]


def _distribution(one: importlib.metadata.Distribution) -> tuple[str, str]:
    """Name and version, as far as its metadata can be read."""
    try:
        told = one.metadata.json
        return str(told.get("name") or _UNKNOWN), str(told.get("version") or "")
    except Exception:
        return _UNKNOWN, ""


def _raise(error: Exception) -> None:
    raise PluginError(
        f"its entry points cannot be read: {type(error).__name__}",
        rule="a distribution announces its plugins in the group 'retention' of its entry points, as name = module",
        remedy="install it anew, or mend its pyproject.toml",
    ) from error


def _in_code(plugins: Iterable[Any], taken: set[str]) -> list[Candidate]:
    """Plugins given in code, under names of their own; the same object twice is one."""
    names = Counter(taken)
    brought: dict[int, Candidate] = {}
    for thing in plugins:
        if id(thing) in brought:
            continue
        told = (getattr(thing, "name", None), getattr(thing, "__name__", None), type(thing).__name__)
        name = next(one for one in told if isinstance(one, str) and one)
        names[name] += 1
        key = name if names[name] == 1 else f"{name}#{names[name]}"
        brought[id(thing)] = Candidate(name=key, find=partial(_itself, thing))
    return list(brought.values())


def _itself(thing: Any) -> Any:
    return thing


def _words(names: Iterable[str]) -> set[str]:
    return {"/".join(map(folded, name.split("/"))) for name in names if name.strip()}


def _called(plugin: Candidate | PluginInfo) -> set[str]:
    """The names that a plugin answers to, folded; to that of our own stages nobody else does."""
    names = {folded(name) for name in (plugin.name, plugin.name.partition("@")[0], plugin.distribution) if name}
    return names if plugin.name == BUILTIN else names - {BUILTIN, PROJECT}


def _left_out(candidate: Candidate, status: str, error: Exception | None = None) -> Loaded:
    return Loaded(
        info=PluginInfo(
            name=candidate.name,
            distribution=candidate.distribution,
            version=candidate.version,
            status=status,
            error=error,
        )
    )


def _same_as(twin: PluginInfo) -> PluginError:
    return PluginError(
        f"the same module as the plugin {twin.origin}",
        rule="a module is announced once",
        remedy="take one of the two entry points away",
    )


def _tell_unknown(where: str, words: set[str], registry: Registry) -> None:
    """A name that nothing answers to is a slip of the pen, or a plugin that is gone: it is told."""
    for word in sorted(words):
        whose, _, what = word.partition("/")
        called = [plugin for plugin in registry.plugins if whose in _called(plugin)]
        given = {c for p in called for c in (*p.held_back, *(name for names in p.gives.values() for name in names))}
        if not called:
            told = f"{where}: no plugin is called {whose!r}; {nearest(whose, [p.name for p in registry.plugins])}"
        elif what and what not in map(folded, given) and all(p.status == "active" for p in called):
            told = f"{where}: {whose!r} gives nothing called {what!r}; {nearest(what, given)}"
        else:
            continue
        warnings.warn(told, RetentionWarning, stacklevel=3)


def _raise_failures(registry: Registry, strict: bool | None, brought: set[str]) -> None:
    """Every failure as one group if strict; by default the first of those that were given in code."""
    if strict is None and os.environ.get("RETENTION_STRICT_PLUGINS", "").strip().casefold() in ("1", "true", "yes"):
        strict = True
    if strict is False:
        return
    errors = [_error(p) for p in registry.failures if strict or p.name in brought]
    if errors and strict:
        raise ExceptionGroup("plugins failed to load", errors)
    if errors:
        for other in errors[1:]:
            errors[0].add_note(f"and {other.given}")
        raise errors[0]


def _error(plugin: PluginInfo) -> PluginLoadError:
    error = PluginLoadError(
        f"plugin {plugin.origin} failed to load: {plugin.reason}",
        rule="a plugin that cannot be loaded is not used, and nothing of it remains",
        remedy=getattr(plugin.error, "remedy", "mend it, or block it: RETENTION_BLOCKED_PLUGINS or [plugins] blocked"),
    )
    error.__cause__ = plugin.error
    return error
