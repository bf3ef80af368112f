"""What is known of a plugin, for people and for machines: who it is, what it gives, and why it is not on board."""

import html
import textwrap
import traceback
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from retention.plugins.contribution import KINDS, Contribution, origin

__all__ = ["PluginInfo", "PluginList"]

_WIDTH = 100


@frozen(kw_only=True, repr=False)
class PluginInfo:
    """One plugin as it was found.

    Attributes:
        name: its entry point's name; for one given in code the name of its module, class or stage object. Where two
            distributions use one name, ``name@distribution``.
        distribution: what was installed to bring it, blank if it was given in code; ``version`` is that one's.
        status: "active", "blocked" or "failed".
        contributions: what it gives, by kind.
        held_back: names among these that are blocked one by one.
        hooks: the hooks that it implements, as far as loading came.
        seconds: how long loading it took; next to nothing for a module that was imported before.
        notes: what is worth knowing and no failure, such as that it prints when it is loaded.
        error: what went wrong, with its traceback.
    """

    name: str
    distribution: str = ""
    version: str = ""
    status: str = "active"
    contributions: Mapping[str, tuple[Contribution, ...]] = field(factory=dict)
    held_back: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    seconds: float = field(default=0.0, eq=False)
    notes: tuple[str, ...] = ()
    error: BaseException | None = field(default=None, eq=False)

    @property
    def origin(self) -> str:
        """The plugin, its distribution and version, for messages."""
        return origin(self.name, self.distribution, self.version)

    @property
    def gives(self) -> dict[str, tuple[str, ...]]:
        """The names it gives, by kind."""
        return {kind: tuple(sorted(c.name for c in given)) for kind, given in self.contributions.items() if given}

    @property
    def reason(self) -> str:
        """Why it failed, in one line; blank if it did not."""
        if self.error is None:
            return ""
        try:
            told = str(self.error).strip().splitlines()
        except Exception:  # an exception's text is its author's code, and may fail as well
            told = []
        return ": ".join([type(self.error).__name__, *told[:1]])

    def might_give(self, kind: str) -> bool:
        """Whether something of that kind may be missing because this plugin failed.

        One that failed before its hooks were known might have given anything.
        """
        return self.status == "failed" and (not self.hooks or KINDS[kind].hook in self.hooks)

    def to_dict(self) -> dict[str, Any]:
        """All of it for a machine: plain texts, numbers and lists."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "status": self.status,
            "reason": self.reason,
            "gives": {kind: list(names) for kind, names in self.gives.items()},
            "held_back": list(self.held_back),
            "hooks": list(self.hooks),
            "seconds": round(self.seconds, 4),
            "notes": list(self.notes),
        }

    def details(self) -> dict[str, Any]:
        """:meth:`to_dict`, and with it what each contribution is and the whole traceback of a failure."""
        summaries = {kind: {c.name: c.summary for c in given} for kind, given in self.contributions.items() if given}
        trace = "" if self.error is None else "".join(traceback.format_exception(self.error))
        return self.to_dict() | {"summaries": summaries, "traceback": trace}

    def __repr__(self) -> str:
        return f"<PluginInfo {self.origin}: {self.status}>"

    def __str__(self) -> str:
        told = self.details()
        lines = [f"{self.origin}: {self.status}", f"loaded in {self.seconds:.3f} s"]
        lines += [f"hooks: {', '.join(self.hooks)}"] if self.hooks else []
        lines += [f"blocked by name: {', '.join(self.held_back)}"] if self.held_back else []
        lines += [f"note: {note}" for note in self.notes]
        for kind, given in told["summaries"].items():
            lines.append(f"{KINDS[kind].plural}:")
            width = max(map(len, given))
            lines += [f"  {name:<{width}}  {summary}" for name, summary in sorted(given.items())]
        return "\n".join([*lines, told["traceback"]]).rstrip()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


class PluginList(tuple[PluginInfo, ...]):
    """All plugins that were found, as a tuple that shows itself as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<PluginList: {len(self)} plugins, {sum(p.status == 'failed' for p in self)} failed>"

    def __str__(self) -> str:
        rows = [(p.name, p.distribution or "given in code", p.version, p.status) for p in self]
        widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
        lines = []
        for plugin, row in zip(self, rows, strict=True):
            lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
            for line in _below(plugin):
                lines.append(textwrap.fill(line, _WIDTH, initial_indent="  ", subsequent_indent="    "))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("plugin", "distribution", "version", "status", "", "seconds"))
        body = "".join(
            "<tr>"
            + "".join(
                f"<td>{'<br>'.join(map(html.escape, cells))}</td>"
                for cells in ([p.name], [p.distribution], [p.version], [p.status], _below(p), [f"{p.seconds:.3f}"])
            )
            + "</tr>"
            for p in self
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _below(plugin: PluginInfo) -> list[str]:
    """What the listing says of a plugin beside its name, line by line."""
    lines = [plugin.reason] if plugin.error is not None else []
    lines += [f"{KINDS[kind].plural}: {', '.join(names)}" for kind, names in plugin.gives.items()]
    listens = [hook for hook in plugin.hooks if hook not in {spec.hook for spec in KINDS.values()}]
    lines += [f"listens to: {', '.join(listens)}"] if listens and plugin.error is None else []
    lines += [f"blocked by name: {', '.join(plugin.held_back)}"] if plugin.held_back else []
    return lines + [f"note: {note}" for note in plugin.notes]
