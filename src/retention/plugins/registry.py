"""Who is on board: what each plugin gives kept by name, and what failed kept by name too."""

import logging
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from attrs import evolve, field, frozen

from retention.errors import PluginError, PluginLoadError, RetentionError, RetentionWarning, UnknownNameError, nearest
from retention.plugins.contribution import BUILTIN, KINDS, Contribution
from retention.plugins.listing import PluginInfo, PluginList
from retention.plugins.loading import Loaded, kinds_of

__all__ = ["Registry"]

_log = logging.getLogger("retention.plugins")
_warned: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


@frozen(kw_only=True, eq=False, repr=False)
class Registry:
    """What the plugins give, by kind and name. A value: tests open one with exactly the plugins they name.

    Attributes:
        plugins: all that were found: active, blocked and failed.
        providers: by kind and name, the contributions of that name. Two of a name are kept: it is an error to use it.
        host: policies and strategies that were given in code as they are; a program uses these without being told.
        listeners: who is told of announcements: the plugin's name for messages, the plugin, its hooks by name.
    """

    plugins: PluginList
    providers: Mapping[str, Mapping[str, tuple[Contribution, ...]]]
    host: Mapping[str, tuple[Any, ...]] = field(factory=dict)
    listeners: tuple[tuple[str, Any, Mapping[str, Callable[..., Any]]], ...] = ()

    @classmethod
    def of(cls, loaded: Iterable[Loaded], *, given: Iterable[Any] = ()) -> "Registry":
        """The registry of these plugins; ``given`` are those that a host brought in code for its own use."""
        everyone = tuple(loaded)
        providers: dict[str, dict[str, tuple[Contribution, ...]]] = {kind: {} for kind in KINDS}
        for one in everyone:
            for kind, contributions in one.info.contributions.items():
                for c in contributions:
                    providers[kind][c.name] = (*providers[kind].get(c.name, ()), c)
        own = {id(thing) for thing in given}
        brought = [one.thing for one in everyone if one.info.status == "active" and id(one.thing) in own]
        return cls(
            plugins=PluginList(_contested(one.info, providers) for one in everyone),
            providers=providers,
            host={
                kind: tuple(thing for thing in brought if kind in kinds_of(thing))
                for kind in ("outreach_strategy", "contact_policy")
            },
            listeners=tuple((one.info.origin, one.thing, one.listeners) for one in everyone if one.listeners),
        )

    @property
    def failures(self) -> tuple[PluginInfo, ...]:
        """The plugins that could not be loaded."""
        return tuple(p for p in self.plugins if p.status == "failed")

    @property
    def blocked(self) -> tuple[str, ...]:
        """The plugins that were left out, by name."""
        return tuple(p.name for p in self.plugins if p.status == "blocked")

    def names(self, kind: str) -> tuple[str, ...]:
        """The names to choose from."""
        return tuple(sorted(self._of_kind(kind)))

    def defaults(self, kind: str) -> tuple[Contribution, ...]:
        """This library's own stages that are used where nothing is named: nobody can take their place by a name."""
        own = (c for named in self.providers[kind].values() for c in named if c.source == BUILTIN and c.default)
        return tuple(sorted(own, key=lambda c: c.name))

    def make(self, kind: str, name: str, /, **options: Any) -> Any:
        """The object of that name, built with these options."""
        return self.build(kind, self.find(kind, name), **options)

    def build(self, kind: str, contribution: Contribution, /, **options: Any) -> Any:
        """The object of one contribution, built with these options, and found to be of its kind.

        Raises:
            PluginError: the maker does not know the options, fails, or makes something else.
        """
        told = f"{KINDS[kind].what} {contribution.name!r} from {contribution.origin}"
        _log.debug("%s: made with options %s", told, sorted(options))
        try:
            made = contribution.make(**options)
        except TypeError as error:
            raise PluginError(
                f"{told} with options {sorted(options)}: {error}",
                rule="options are the arguments that the thing's maker knows",
                remedy=f"look them up in the documentation of {contribution.name!r}",
            ) from error
        except RetentionError as error:
            error.add_note(f"while making the {told}")
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{told}: {type(error).__name__}: {error}",
                rule="what is chosen by name can be made",
                remedy=f"ask the author of {contribution.origin}, or choose another name",
            ) from error
        missing = [method for method in KINDS[kind].methods if not callable(getattr(made, method, None))]
        if missing:
            raise PluginError(
                f"{told} is a {type(made).__name__} without {', '.join(missing)}()",
                rule=f"a {KINDS[kind].what} offers {', '.join(KINDS[kind].methods)}()",
                remedy="see the protocol of that stage",
            )
        return made

    def find(self, kind: str, name: str) -> Contribution:
        """The one contribution of that name.

        The usual names of :data:`~retention.plugins.KINDS`, which are used where nothing is named, are this library's:
        an installed plugin that gives one as well is passed over, and its note says so.

        Raises:
            PluginError: two plugins provide it; neither wins, both are named.
            PluginLoadError: nobody on board provides it, and a plugin that failed to load might have.
            UnknownNameError: nobody provides it.
        """
        found = self._of_kind(kind).get(name, ())
        what = KINDS[kind].what
        if name == KINDS[kind].usual and any(c.source == BUILTIN for c in found):
            found = tuple(c for c in found if c.source == BUILTIN or not c.distribution)
        if len(found) > 1:
            raise PluginError(
                f"{what} {name!r} is provided by {' and '.join(sorted(c.origin for c in found))}",
                rule="a name that is used has one provider; neither wins by order",
                remedy="block one of them: set RETENTION_BLOCKED_PLUGINS to a plugin, a distribution, or only this of "
                f"it: {' or '.join(sorted(f'{c.source}/{name}' for c in found))}",
            )
        if found:
            return found[0]
        remedy = nearest(name, self.names(kind))
        held = [f"{p.name}/{name}" for p in self.plugins if name in p.held_back]
        if blocked := [*self.blocked, *held]:
            remedy += f"; blocked: {', '.join(blocked)}"
        rule = f"a {what} is chosen by a name that a loaded plugin provides"
        suspects = [p for p in self.failures if p.might_give(kind)]
        if suspects:
            raise PluginLoadError(
                f"{what} {name!r}: nobody on board provides it, and these plugins failed to load: "
                + "; ".join(f"{p.origin}: {p.reason}" for p in suspects),
                rule=rule,
                remedy=f"`retention plugins show {suspects[0].name}` tells why; {remedy}",
            ) from suspects[0].error
        raise UnknownNameError(f"{what} {name!r}", rule=rule, remedy=remedy)

    def announce(self, hook: str, **values: Any) -> None:
        """Tell every plugin that listens; one that fails is warned about once and stepped around."""
        failed = []
        for plugin, thing, hooks in self.listeners:
            if hook in hooks:
                _log.debug("%s: %s", plugin, hook)
                try:
                    hooks[hook](**values)
                except Exception as error:
                    failed.append((plugin, thing, error))
        for plugin, thing, why in failed:  # only now, for where warnings are errors the others have heard it too
            if _first_time(thing, hook):
                told = f"plugin {plugin} failed in {hook}: {type(why).__name__}"
                warnings.warn(told, RetentionWarning, stacklevel=2)

    def _of_kind(self, kind: str) -> Mapping[str, tuple[Contribution, ...]]:
        if kind not in KINDS:
            raise UnknownNameError(
                f"the kind {kind!r}",
                rule="contributions are of a kind that the library knows",
                remedy=nearest(kind, KINDS),
            )
        return self.providers[kind]

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{len(named)} {KINDS[kind].what if len(named) == 1 else KINDS[kind].plural}"
            for kind, named in self.providers.items()
            if named
        )
        return f"<Registry: {len(self.plugins)} plugins ({len(self.failures)} failed), {counts}>"

    def _repr_html_(self) -> str:
        return self.plugins._repr_html_()


def _contested(info: PluginInfo, providers: Mapping[str, Mapping[str, tuple[Contribution, ...]]]) -> PluginInfo:
    """With a note on the names that others give as well: the library's own need none."""
    if info.name == BUILTIN:
        return info
    notes = []
    for ours, told in (
        (True, "passed over, for these names are used where nothing is named, and then mean this library's own"),
        (False, "given by others as well, so an error to use"),
    ):
        names = [
            f"{KINDS[kind].what} {name!r}"
            for kind, given in info.gives.items()
            for name in given
            if len(providers[kind][name]) > 1 and (name == KINDS[kind].usual and bool(info.distribution)) == ours
        ]
        notes += [f"{told}: {', '.join(names)}"] if names else []
    return evolve(info, notes=(*info.notes, *notes)) if notes else info


def _first_time(thing: Any, hook: str) -> bool:
    """Whether this plugin was not yet warned about for this hook, as long as this process and the plugin live."""
    try:
        before = _warned.setdefault(thing, set())
    except TypeError:  # it cannot be remembered
        return True
    first = hook not in before
    before.add(hook)
    return first
