"""What ``retention check`` is asked about: a name on board, a plugin, a module, an object in it, or a file."""

import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs import field, frozen

from retention.errors import PluginError, RetentionError, UnknownNameError, nearest
from retention.plugins import KINDS, Contribution, PluginInfo, Registry, open_registry
from retention.testing.laws import kind_of

__all__ = ["Subject", "subjects"]


@frozen(eq=False, kw_only=True)
class Subject:
    """One thing to be checked: of which kind (or "plugin"), by which name, and who gives it.

    ``options`` are those that a plugin's contributions are made with; a single thing is made already.
    """

    kind: str
    name: str
    thing: Any
    source: str
    options: Mapping[str, Any] = field(factory=dict)


def subjects(
    what: str, *, options: Mapping[str, Any] | None = None, registry: Registry | None = None
) -> tuple[Subject, ...]:
    """The things behind a text, made with ``options``.

    In this order: a name on board (of whichever kind), a plugin on board, ``module:object``, a file that ends in
    ``.py``, and a module: what its hooks give, or without hooks the stages that stand in it. Modules and files are
    imported, as the text asks for; nothing of it is evaluated.

    Raises:
        UnknownNameError: nothing of that name; the nearest one is told.
        PluginError: it cannot be imported, gives nothing, or its options do not fit.

    Example:
        >>> [(one.kind, one.name) for one in subjects("minimum-gap", options={"days": 14})]
        [('contact_policy', 'minimum-gap')]
    """
    given = dict(options or {})
    board = open_registry() if registry is None else registry
    named = [board.find(kind, what) for kind in KINDS if what in board.names(kind)]
    kinds = [kind for kind in KINDS if what in board.names(kind)]
    if named:
        return tuple(_made(board, kind, one, given) for kind, one in zip(kinds, named, strict=True))
    for plugin in board.plugins:
        if what in (plugin.name, plugin.distribution) and plugin.status == "active":
            return _all_of(board, plugin, given, _installed(plugin))
    path, _, attribute = what.rpartition(":")
    if not all(part.isidentifier() for part in attribute.split(".")) or not path:  # C:\\mine.py is a file
        path, attribute = what, ""
    if path.endswith(".py"):
        module = _from_file(Path(path))
    elif all(part.isidentifier() for part in path.split(".")):
        module = _imported(path, what, board)
    else:
        raise _unknown(what, board)
    if attribute:
        return (_subject(_of(module, attribute), given, what),)
    alone = open_registry([module], installed=False, blocked=(), strict=False)
    plugin = next(one for one in reversed(list(alone.plugins)) if one.name != "builtin")
    if plugin.status == "active":
        return _all_of(alone, plugin, given, module)
    hooked = any(hasattr(value, "retention_impl") for value in vars(module).values())
    standing = [value for name, value in vars(module).items() if not name.startswith("_") and _is_stage(value, module)]
    if hooked or not standing:
        raise PluginError(
            f"{what} as a plugin: {plugin.reason}",
            rule="a module is checked for what its hooks give, or for the stages that stand in it",
            remedy="mend what it says; mark its hooks with hookimpl, or name the object: MODULE:OBJECT",
        ) from plugin.error
    return tuple(_subject(one, given, what) for one in standing)


def _installed(plugin: PluginInfo) -> Any:
    """What stands behind an installed plugin; None for the built-in stages."""
    points = importlib.metadata.entry_points(group="retention", name=plugin.name)
    return next(
        (point.load() for point in points if point.dist is None or point.dist.name == plugin.distribution), None
    )


def _all_of(board: Registry, plugin: PluginInfo, options: dict[str, Any], thing: Any) -> tuple[Subject, ...]:
    """The plugin as a whole, if there is a thing to look at, and all that it contributes."""
    given = [(kind, one) for kind, several in plugin.contributions.items() for one in several]
    if not given:
        raise PluginError(
            f"the plugin {plugin.origin} gives nothing that could be checked",
            rule="what is checked is a contribution: a model, a rule, a strategy, a policy, ...",
            remedy="see `retention plugins`",
        )
    whole = Subject(kind="plugin", name=plugin.name, thing=thing, source=plugin.origin, options=options)
    parts = tuple(_made(board, kind, one, options) for kind, one in given)
    return parts if thing is None else (whole, *parts)


def _made(board: Registry, kind: str, one: Contribution, options: dict[str, Any]) -> Subject:
    return Subject(kind=kind, name=one.name, thing=board.build(kind, one, **options), source=one.origin)


def _subject(thing: Any, options: dict[str, Any], source: str) -> Subject:
    if isinstance(thing, type) or inspect.isroutine(thing):
        try:
            thing = thing(**options)
        except (TypeError, RetentionError) as error:
            raise PluginError(
                f"{source} with options {sorted(options)}: {error}",
                rule="a class, or a function, makes a stage with the options given",
                remedy="pass what it asks for: --options key=value",
            ) from error
    elif options:
        raise PluginError(
            f"options {sorted(options)} for {source}, which is made already",
            rule="options are for what is still to be made",
            remedy="name the class, or leave the options out",
        )
    kind = kind_of(thing)
    return Subject(kind=kind, name=str(getattr(thing, "name", type(thing).__name__)), thing=thing, source=source)


def _is_stage(value: Any, module: ModuleType) -> bool:
    """Whether a value of a module is a stage of its own: a class written there, or an object."""
    if isinstance(value, ModuleType) or inspect.isroutine(value):
        return False
    if isinstance(value, type):
        written_here = value.__module__ == module.__name__ and not getattr(value, "_is_protocol", False)
        return written_here and _offers(value)
    return _offers(value) and isinstance(getattr(value, "name", None), str)


def _offers(value: Any) -> bool:
    return any(all(callable(getattr(value, m, None)) for m in spec.methods) for spec in KINDS.values())


def _imported(path: str, what: str, board: Registry) -> ModuleType:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise _failed(what, error) from error  # it is there, and something that it imports is not
        raise _unknown(what, board) from None
    except (Exception, SystemExit) as error:
        raise _failed(what, error) from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError(f"{path.name}: no such file", rule="a file of Python is there", remedy="check the path")
    name = f"checked_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path.name}: not Python", rule="a file of Python ends in .py", remedy="check the path")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _failed(path.name, error) from error
    return module


def _of(module: ModuleType, attribute: str) -> Any:
    thing: Any = module
    for part in attribute.split("."):
        if not hasattr(thing, part):
            raise UnknownNameError(
                f"{part!r} in {module.__name__}",
                rule="after the colon stands an object of the module",
                remedy=nearest(part, [name for name in dir(thing) if not name.startswith("_")]),
            )
        thing = getattr(thing, part)
    return thing


def _failed(what: str, error: BaseException) -> PluginError:
    first = (str(error).splitlines() or [""])[0]
    return PluginError(
        f"{what} fails at import: {type(error).__name__}: {first}",
        rule="what is checked can be imported",
        remedy="mend it, or install what it needs",
    )


def _unknown(what: str, board: Registry) -> UnknownNameError:
    known = sorted({name for kind in KINDS for name in board.names(kind)} | {plugin.name for plugin in board.plugins})
    failed = "; ".join(f"{plugin.origin}: {plugin.reason}" for plugin in board.failures)
    broken = f"; these plugins failed to load: {failed}" if failed else ""
    return UnknownNameError(
        f"nothing to check is called {what!r}",
        rule="it is a name on board (`retention plugins` lists them), a module, module:object, or a file.py",
        remedy=nearest(what, known) + broken,
    )
