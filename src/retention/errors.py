"""What can go wrong, told so that the reader knows what to do next.

Every error says three things: what was given, which rule it met, and the remedy.
"""

import difflib
from collections.abc import Iterable

__all__ = [
    "RetentionError",
    "ReadError",
    "ColumnError",
    "ModelError",
    "ConfigError",
    "UnknownNameError",
    "PlanError",
    "JournalError",
    "PluginError",
    "PluginLoadError",
    "MissingExtraError",
    "RetentionWarning",
    "nearest",
]


class RetentionError(Exception):
    """The one root of all errors of this library.

    Example:
        >>> raise RetentionError("horizon_days=-3", rule="a horizon is positive", remedy="pass days > 0")
        Traceback (most recent call last):
        ...
        retention.errors.RetentionError: horizon_days=-3
          rule: a horizon is positive
          remedy: pass days > 0
    """

    def __init__(self, given: str, *, rule: str, remedy: str) -> None:
        super().__init__(given)
        self.given = given
        self.rule = rule
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.given}\n  rule: {self.rule}\n  remedy: {self.remedy}"


class ReadError(RetentionError):
    """A file or frame cannot be read at all. (Single bad rows never raise: they are set aside and counted.)"""


class ColumnError(ReadError):
    """A column that was named is missing, or holds what it should not."""


class ModelError(RetentionError):
    """A model was given parameters or data outside its domain."""


class ConfigError(RetentionError):
    """An argument or a line of a configuration file breaks its rule."""


class UnknownNameError(ConfigError):
    """A name was chosen that nobody provides."""


class PlanError(RetentionError):
    """A plan cannot be made as asked."""


class JournalError(RetentionError):
    """The journal refuses: it would have to forget or to contradict itself."""


class PluginError(RetentionError):
    """A plugin failed; its name, version and distribution are in the message."""


class PluginLoadError(PluginError):
    """A plugin could not be loaded, or a name was asked for that such a one might have given.

    It is raised *from* what went wrong in the plugin.
    """


class MissingExtraError(RetentionError):
    """A feature needs a library that is not installed; the message names the extra."""

    def __init__(self, feature: str, *, library: str, extra: str) -> None:
        super().__init__(
            f"{feature}: the library {library!r} is not installed",
            rule="heavy libraries are optional extras",
            remedy=f"install {library}, or this package with its extra {extra!r}",
        )


class RetentionWarning(UserWarning):
    """The root of this library's warnings."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """The choices as a sentence, the nearest to ``name`` first.

    Example:
        >>> nearest("Custmer", ["InvoiceDate", "Customer"])
        "did you mean 'Customer'? There are: Customer, InvoiceDate"
    """
    known = sorted(choices)
    folded = {choice.casefold(): choice for choice in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    listing = "there are: " + ", ".join(known) if known else "there are none"
    if not close:
        return listing
    return f"did you mean {folded[close[0]]!r}? T{listing[1:]}"
