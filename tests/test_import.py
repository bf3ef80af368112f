"""Importing the library is quick and changes nothing."""

import subprocess
import sys

import pytest

HEAVY = ("scipy", "narwhals", "pandas", "polars", "pyarrow", "matplotlib", "jinja2", "hypothesis", "sqlite3", "pluggy")


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_import_loads_no_frame_library_no_plotting_no_plugin_no_scipy():
    loaded = fresh("import sys, retention; print(*sys.modules)").split()
    assert [name for name in HEAVY if name in loaded] == []
    assert [name for name in loaded if name.startswith("retention.plugins")] == []


@pytest.mark.parametrize("stage", ["value", "timing", "plan", "worlds"])
def test_a_stage_loads_what_computes_only_when_it_computes(stage):
    loaded = fresh(f"import sys, retention.{stage}; print(*sys.modules)").split()
    assert [name for name in ("scipy", "pandas", "polars", "matplotlib") if name in loaded] == []


def test_import_costs_no_more_modules_than_numpy_and_a_few():
    """The budget is numpy's own import plus a tenth of a second; modules are its noise-free measure.

    A pure Python module costs about half a millisecond, so fifty on top of numpy's is well within the budget.
    """
    ours = int(fresh("import sys, retention; print(len(sys.modules))"))
    numpys = int(fresh("import sys, numpy; print(len(sys.modules))"))
    assert ours <= numpys + 50


def test_warning_filters_and_options_stay_as_they_were():
    assert (
        fresh("import warnings; a = list(warnings.filters); import retention; print(a == warnings.filters)") == "True\n"
    )


def test_every_public_name_can_be_fetched():
    import retention

    for name in retention.__all__:
        assert getattr(retention, name) is not None
    assert set(retention.__all__) <= set(dir(retention))
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = retention.no_such_name
