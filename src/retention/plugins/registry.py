"""Who is on board: plugins loaded one by one, what each gives kept by name, what failed kept by name too."""

import importlib.metadata
import os
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import pluggy
from attrs import evolve, field, frozen

from retention.errors import PluginError, RetentionWarning, UnknownNameError, nearest
from retention.plugins.contribution import KINDS, Contribution, Failure
from retention.plugins.hooks import PROJECT, Hooks

__all__ = ["Registry", "open_registry"]

_BUILTIN = "builtin"


@frozen(kw_only=True, eq=False, repr=False)
class Registry:
    """What the loaded plugins give, by kind and name. A value: tests open one with exactly the plugins they name."""

    providers: Mapping[str, Mapping[str, tuple[Contribution, ...]]]
    failures: tuple[Failure, ...] = ()
    plugins: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    host: Mapping[str, tuple[Any, ...]] = field(factory=dict)
    manager: pluggy.PluginManager

    def names(self, kind: str) -> tuple[str, ...]:
        """The names to choose from."""
        return tuple(sorted(self.providers[kind]))

    def make(self, kind: str, name: str, /, **options: Any) -> Any:
        """The object of that name, built with these options."""
        contribution = self.find(kind, name)
        try:
            made = contribution.make(**options)
        except TypeError as error:
            raise PluginError(
                f"{KINDS[kind].what} {name!r} from {contribution.source} with options {sorted(options)}: {error}",
                rule="options are the arguments that the thing's maker knows",
                remedy=f"look them up in the documentation of {name!r}",
            ) from error
        except Exception as error:
            error.add_note(f"while making the {KINDS[kind].what} {name!r} from {contribution.source}")
            raise
        _satisfies(kind, made, contribution.source)
        return made

    def find(self, kind: str, name: str) -> Contribution:
        """The one contribution of that name; two providers of one name are an error that names both."""
        found = self.providers[kind].get(name, ())
        what = KINDS[kind].what
        if len(found) > 1:
            raise PluginError(
                f"{what} {name!r} is provided by {' and '.join(sorted(c.source for c in found))}",
                rule="a name that is used has one provider; neither wins by order",
                remedy="block one of them: set RETENTION_BLOCKED_PLUGINS to its name",
            )
        if not found:
            broken = f"; these plugins failed to load: {'; '.join(map(str, self.failures))}" if self.failures else ""
            raise UnknownNameError(
                f"{what} {name!r}",
                rule=f"a {what} is chosen by a name that a loaded plugin provides",
                remedy=nearest(name, self.names(kind)) + broken,
            ) from (self.failures[0].error if self.failures else None)
        return found[0]

    def announce(self, hook: str, **values: Any) -> None:
        """Tell every plugin; one that fails is warned about once and stepped around."""
        for plugin in sorted(self.manager.get_plugins(), key=lambda p: str(self.manager.get_name(p))):
            others = [p for p in self.manager.get_plugins() if p is not plugin]
            try:
                self.manager.subset_hook_caller(hook, others)(**values)
            except Exception as error:
                name = self.manager.get_name(plugin)
                warnings.warn(
                    f"plugin {name!r} failed in {hook}: {type(error).__name__}", RetentionWarning, stacklevel=2
                )

    def table(self) -> list[dict[str, Any]]:
        """One entry a plugin, for people and for ``--json``: name, status, and what it gives by kind."""
        given: dict[str, dict[str, list[str]]] = {name: {} for name in self.plugins}
        for kind, named in self.providers.items():
            for name, found in named.items():
                for contribution in found:
                    given[contribution.source].setdefault(kind, []).append(name)
        active = [{"plugin": name, "status": "active", "gives": kinds} for name, kinds in given.items()]
        blocked = [{"plugin": name, "status": "blocked", "gives": {}} for name in self.blocked]
        failed = [{"plugin": f.plugin, "status": f"failed: {f}", "gives": {}} for f in self.failures]
        return active + blocked + failed

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(named)} {KINDS[kind].what}s" for kind, named in self.providers.items())
        return f"<Registry: {len(self.plugins)} plugins ({len(self.failures)} failed), {counts}>"


def open_registry(
    plugins: Iterable[Any] = (),
    *,
    installed: bool = True,
    blocked: Iterable[str] | None = None,
    strict: bool | None = None,
) -> Registry:
    """Load the built-in stages, the installed plugins and the given ones, each by itself.

    Args:
        plugins: modules or objects with hook implementations, or bare stage objects (a policy, a strategy, a rule, a
            model) that a host brings in code.
        installed: whether to load distributions that announce themselves in the entry-point group ``retention``.
        blocked: names of plugins not to load; None reads ``RETENTION_BLOCKED_PLUGINS`` (comma-separated).
        strict: raise all failures at once; None reads ``RETENTION_STRICT_PLUGINS=1``.

    Example:
        >>> open_registry(installed=False).names("value_model")[:4]
        ('auto', 'bg-bb', 'bg-cnbd-k', 'bg-nbd')
    """
    from retention.plugins import builtin

    unwanted = set(os.environ.get("RETENTION_BLOCKED_PLUGINS", "").split(",") if blocked is None else blocked)
    strictly = os.environ.get("RETENTION_STRICT_PLUGINS") == "1" if strict is None else strict
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    candidates: list[tuple[str, str, Any]] = [(_BUILTIN, "retention", lambda: builtin)]
    if installed:
        candidates += _installed()
    host: dict[str, list[Any]] = {}
    for position, plugin in enumerate(plugins):
        kind = _kind_of(plugin)
        if kind is not None:
            host.setdefault(kind, []).append(plugin)
            plugin = _Bare(kind, plugin)
        candidates.append((f"host-{position}", "given in code", lambda p=plugin: p))

    providers: dict[str, dict[str, tuple[Contribution, ...]]] = {kind: {} for kind in KINDS}
    failures: list[Failure] = []
    loaded: list[str] = []
    skipped: list[str] = []
    for name, distribution, load in candidates:
        if name in unwanted or distribution.split(" ")[0] in unwanted:
            skipped.append(name)
            continue
        try:
            given = _load_one(manager, name, load)
        except Exception as error:
            error.add_note(f"while loading retention plugin {name!r} from {distribution}")
            failures.append(Failure(plugin=name, distribution=distribution, error=error))
            continue
        loaded.append(name)
        for kind, contributions in given.items():
            for contribution in contributions:
                before = providers[kind].get(contribution.name, ())
                providers[kind][contribution.name] = (*before, contribution)
    if failures and strictly:
        raise ExceptionGroup("plugins failed to load", [f.error for f in failures if isinstance(f.error, Exception)])
    return Registry(
        providers=providers,
        failures=tuple(failures),
        plugins=tuple(loaded),
        blocked=tuple(skipped),
        host={kind: tuple(objects) for kind, objects in host.items()},
        manager=manager,
    )


def _installed() -> list[tuple[str, str, Any]]:
    points = sorted(importlib.metadata.entry_points(group=PROJECT), key=lambda p: (p.name, p.value))
    return [
        (p.name, f"{p.dist.name} {p.dist.version}" if p.dist is not None else "unknown distribution", p.load)
        for p in points
    ]


def _load_one(manager: pluggy.PluginManager, name: str, load: Any) -> dict[str, list[Contribution]]:
    """Register one plugin and collect what it gives; if anything is wrong it is not on board at all."""
    plugin = load()
    manager.register(plugin, name=name)
    try:
        manager.check_pending()
        others = [p for p in manager.get_plugins() if p is not plugin]
        given: dict[str, list[Contribution]] = {}
        for kind, spec in KINDS.items():
            answers = manager.subset_hook_caller(spec.hook, others)()
            given[kind] = [evolve(_contribution(c, spec.hook), source=name) for answer in answers for c in answer]
        return given
    except BaseException:
        manager.unregister(plugin)
        raise


def _contribution(value: Any, hook: str) -> Contribution:
    if not isinstance(value, Contribution):
        raise PluginError(
            f"{hook} gave a {type(value).__name__}",
            rule="a contribution hook returns an iterable of retention.plugins.Contribution",
            remedy="yield Contribution(name=..., summary=..., make=...)",
        )
    return value


class _Bare:
    """A stage object that a host passes as it is, dressed as a plugin."""

    def __init__(self, kind: str, thing: Any) -> None:
        contribution = Contribution(
            name=str(thing.name), summary=(type(thing).__doc__ or "given in code").splitlines()[0], make=lambda: thing
        )
        marker = pluggy.HookimplMarker(PROJECT)
        setattr(self, KINDS[kind].hook, marker(lambda: [contribution]))


def _kind_of(thing: Any) -> str | None:
    """The kind of a bare stage object; None for a plugin with hooks."""
    if not isinstance(getattr(thing, "name", None), str):
        return None
    for kind, spec in KINDS.items():
        if all(callable(getattr(thing, method, None)) for method in spec.methods):
            return kind
    return None


def _satisfies(kind: str, made: Any, source: str) -> None:
    spec = KINDS[kind]
    missing = [method for method in spec.methods if not callable(getattr(made, method, None))]
    if missing:
        raise PluginError(
            f"{source} made a {type(made).__name__} as {spec.what} without {', '.join(missing)}()",
            rule=f"a {spec.what} offers {', '.join(spec.methods)}()",
            remedy="see the protocol of that stage",
        )
