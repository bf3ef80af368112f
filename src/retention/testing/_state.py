"""What a stage must leave as it found it: the state that all code of a process shares.

Standard library alone, so that it can be looked at before and after an import without importing anything else.
"""

import contextlib
import io
import locale
import os
import random
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any


def state() -> dict[str, Any]:
    """The shared state by name."""
    found: dict[str, Any] = {
        "warnings.filters": list(warnings.filters),
        "os.environ": dict(os.environ),
        "the working directory": os.getcwd(),
        "the locale": locale.setlocale(locale.LC_ALL),
        "signal handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "the random state of Python": random.getstate(),
        "sys.path": list(sys.path),
        "the recursion limit": sys.getrecursionlimit(),
    }
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        kind, keys, *rest = numpy.random.get_state()
        found["the random state of numpy"] = (kind, keys.tolist(), *rest)
        found["numpy's error handling"] = numpy.geterr()
        found["numpy's print options"] = {k: v for k, v in numpy.get_printoptions().items() if k != "formatter"}
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of what was changed; what was not there before does not count."""
    return [name for name, value in before.items() if name in after and after[name] != value]


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Run a block and add to the list what it changed or printed; the state is put back where that is possible."""
    found: list[str] = []
    out, err = io.StringIO(), io.StringIO()
    before = state()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield found
    finally:
        found += [f"{name} was changed" for name in differences(before, state())]
        found += [
            f"something was printed to {name}" for name, said in (("stdout", out), ("stderr", err)) if said.getvalue()
        ]
        _put_back(before)


def _put_back(before: dict[str, Any]) -> None:
    if list(warnings.filters) != before["warnings.filters"]:
        warnings.filters[:] = before["warnings.filters"]  # type: ignore[index]
    for name in set(os.environ) - set(before["os.environ"]):
        del os.environ[name]
    for name, value in before["os.environ"].items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    if os.getcwd() != before["the working directory"]:
        os.chdir(before["the working directory"])
    random.setstate(before["the random state of Python"])
    if sys.path != before["sys.path"]:
        sys.path[:] = before["sys.path"]
    numpy = sys.modules.get("numpy")
    if numpy is not None and "the random state of numpy" in before:
        numpy.random.set_state(before["the random state of numpy"])
        numpy.seterr(**before["numpy's error handling"])
