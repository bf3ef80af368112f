"""One plugin loaded safely: it is wholly on board, or it is named with what went wrong and nothing of it remains.

Each plugin has a pluggy manager of its own, so that no plugin can stand in another's way: not by its name, not by
registering half of itself, not by the order of loading.
"""

import contextlib
import inspect
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any, TextIO, cast

import pluggy
from attrs import evolve, field, frozen

from retention.errors import PluginError, nearest
from retention.plugins.contribution import KINDS, Contribution, folded, origin
from retention.plugins.hooks import PROJECT, Hooks
from retention.plugins.listing import PluginInfo

__all__ = ["Candidate", "Loaded", "kinds_of", "load"]

_log = logging.getLogger("retention.plugins")
_ANNOUNCEMENTS = sorted({name for name in vars(Hooks) if name.startswith(PROJECT)} - {k.hook for k in KINDS.values()})


@frozen(kw_only=True)
class Candidate:
    """A plugin that may be loaded."""

    name: str
    distribution: str = ""
    version: str = ""
    find: Callable[[], Any]

    @property
    def origin(self) -> str:
        """Who it is, for messages."""
        return origin(self.name, self.distribution, self.version)


@frozen(kw_only=True)
class Loaded:
    """What came of a candidate; ``listeners`` are its announcement hooks, to be called by name."""

    info: PluginInfo
    thing: Any = None
    listeners: Mapping[str, Callable[..., Any]] = field(factory=dict)


def load(candidate: Candidate, *, held_back: Set[str] = frozenset()) -> Loaded:
    """Load one plugin and collect what it gives.

    Whatever it raises is caught and kept, leaving the interpreter (SystemExit) too; only an interruption from the
    keyboard goes through. ``held_back`` are names of contributions, folded, that are left out.
    """
    begin = time.perf_counter()
    info = PluginInfo(name=candidate.name, distribution=candidate.distribution, version=candidate.version)
    thing: Any = None
    hooks: tuple[str, ...] = ()
    given: dict[str, tuple[Contribution, ...]] = {}
    listeners: dict[str, Callable[..., Any]] = {}
    with _overheard() as heard:
        try:
            thing = candidate.find()
            manager = _registered(thing, candidate.name)
            hooks = tuple(sorted(caller.name for caller in manager.get_hookcallers(thing) or ()))
            given = _collected(thing, manager, hooks, candidate)
            listeners = {hook: getattr(manager.hook, hook) for hook in hooks if hook in _ANNOUNCEMENTS}
            if not given and not hooks:
                raise PluginError(
                    f"nothing was found in {_spelled(thing)}",
                    rule="a plugin has functions marked by retention.plugins.hookimpl, or is a stage: a name and the "
                    f"method of its kind ({', '.join(sorted({m for k in KINDS.values() for m in k.methods}))})",
                    remedy="mark the hooks with @hookimpl, or give an object of one of these kinds",
                )
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            error.add_note(f"while loading retention plugin {candidate.origin}")
            info = evolve(info, status="failed", error=error)
            given, listeners = {}, {}
    held = {c.name for named in given.values() for c in named if folded(c.name) in held_back}
    return Loaded(
        info=evolve(
            info,
            contributions={kind: tuple(c for c in named if c.name not in held) for kind, named in given.items()},
            held_back=tuple(sorted(held)),
            hooks=hooks,
            seconds=time.perf_counter() - begin,
            notes=tuple(f"printed while loading: {line!r}" for line in heard[:1]),
        ),
        thing=thing,
        listeners=listeners,
    )


def kinds_of(thing: Any) -> tuple[str, ...]:
    """The kinds of a bare stage object; none for a plugin that has only hooks.

    It has a ``name`` and the method of the kind. Where one method serves two kinds (``fit`` is that of value models
    and of timings) the object is given as both, unless its attribute ``kind`` says which it is.
    """
    if isinstance(thing, type) or not isinstance(getattr(thing, "name", None), str):
        return ()
    told = getattr(thing, "kind", None)
    if isinstance(told, str) and told in KINDS:
        return (told,)
    return tuple(k for k, spec in KINDS.items() if all(callable(getattr(thing, m, None)) for m in spec.methods))


def _registered(thing: Any, name: str) -> pluggy.PluginManager:
    """A manager with this plugin alone, whose hooks are all hooks that there are."""
    if isinstance(thing, type):
        raise PluginError(
            f"the class {thing.__name__} itself",
            rule="a plugin is a module or an object",
            remedy=f"give an object of it, {thing.__name__}()",
        )
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    try:
        manager.register(thing, name=name)
    except pluggy.PluginValidationError as error:
        raise PluginError(
            "; ".join(str(error).splitlines()[1:]),
            rule="a hook asks for the arguments that its specification has, or for fewer",
            remedy="see the hooks in the documentation of plugins",
        ) from error
    known = [hook for hook in vars(Hooks) if hook.startswith(PROJECT)]
    for caller in manager.get_hookcallers(thing) or ():
        for found in caller.get_hookimpls():
            if not caller.has_spec() and not found.optionalhook:
                raise PluginError(
                    f"an unknown hook {caller.name!r}",
                    rule="a hook is one that this version of the library calls",
                    remedy=nearest(caller.name, known),
                )
            if caller.name in _ANNOUNCEMENTS and (
                inspect.isgeneratorfunction(found.function) or inspect.iscoroutinefunction(found.function)
            ):
                raise PluginError(
                    f"{caller.name} is a generator or a coroutine",
                    rule="an announcement is a plain function: its answer is not looked at, so nobody would run it",
                    remedy="write def, without yield",
                )
    for hook in known:
        if callable(getattr(thing, hook, None)) and not getattr(manager.hook, hook).get_hookimpls():
            raise PluginError(
                f"{hook} is not marked",
                rule="the functions of a plugin that are hooks are marked",
                remedy="write @hookimpl above it (from retention.plugins import hookimpl)",
            )
    return manager


def _collected(
    thing: Any, manager: pluggy.PluginManager, hooks: tuple[str, ...], candidate: Candidate
) -> dict[str, tuple[Contribution, ...]]:
    """What the plugin gives by kind: by its hooks, and as the stage that it may itself be."""
    given: dict[str, dict[str, Contribution]] = {}
    for kind, spec in KINDS.items():
        if spec.hook in hooks:
            _log.debug("%s: %s", candidate.origin, spec.hook)
            given[kind] = _named(spec.hook, getattr(manager.hook, spec.hook)())
    for kind in kinds_of(thing):
        summary = (type(thing).__doc__ or "").strip().splitlines() or ["given in code"]
        bare = Contribution(name=thing.name, summary=summary[0], make=lambda: thing)
        given.setdefault(kind, {})[bare.name] = bare
    return {
        kind: tuple(
            evolve(c, source=candidate.name, distribution=candidate.distribution, version=candidate.version)
            for c in named.values()
        )
        for kind, named in given.items()
    }


def _named(hook: str, answers: list[Any]) -> dict[str, Contribution]:
    """The contributions of one hook by name; pluggy gives a list of one answer, and leaves out a None."""
    remedy = "yield Contribution(name=..., summary=..., make=...)"
    rule = "a contribution hook returns an iterable of retention.plugins.Contribution, each name once"
    if not answers:
        raise PluginError(f"{hook} gave None", rule=rule, remedy=remedy)
    try:
        values = iter(answers[0])
    except TypeError:
        raise PluginError(f"{hook} gave {_spelled(answers[0])}", rule=rule, remedy=remedy) from None
    named: dict[str, Contribution] = {}
    for value in values:
        if not isinstance(value, Contribution):
            raise PluginError(f"{hook} gave {_spelled(value)}", rule=rule, remedy=remedy)
        if value.name in named:
            raise PluginError(
                f"{hook} gave {value.name!r} twice", rule=rule, remedy="take another name for one of them"
            )
        named[value.name] = value
    return named


def _spelled(thing: Any) -> str:
    """What it is, never what it holds."""
    if inspect.ismodule(thing):
        return f"the module {thing.__name__}"
    return f"{'an' if type(thing).__name__[0].lower() in 'aeiou' else 'a'} {type(thing).__name__}"


class _Overheard:
    """Standard output while a plugin loads: what this thread prints is kept, anything else goes through."""

    def __init__(self, through: Any) -> None:
        self.through = through
        self.thread: int | None = threading.get_ident()
        self.kept = ""

    def write(self, text: str) -> int:
        if threading.get_ident() == self.thread:
            self.kept += text
        elif self.through is not None:  # a window without a console has none
            self.through.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.through, name)


_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def _overheard() -> Iterator[list[str]]:
    """The lines that are printed inside: they would spoil the output of whoever wants JSON."""
    lines: list[str] = []
    with _one_at_a_time:
        stream = _Overheard(sys.stdout)
        try:
            with contextlib.redirect_stdout(cast(TextIO, stream)):
                yield lines
        finally:
            stream.thread = None  # a handler that the plugin put up keeps the stream: from now on it passes
            lines += [line for line in stream.kept.splitlines() if line.strip()]
