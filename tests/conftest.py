"""Fixtures that every test may use."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tests run in one process a core; threads of each one's linear algebra would only wait for those of the others.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

collect_ignore_glob = ["_kernels/truth/*.py"]  # scripts that make the truth tables: run by hand, for hours

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("default")


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """A file of real public data, or a skip where the data folder is absent."""
    folder = Path(os.environ.get("RETENTION_DATA", Path(__file__).parents[2] / "shared" / "data"))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"real data {name} is not there (set RETENTION_DATA to its folder)")
        return path

    return find


@pytest.fixture(autouse=True)
def _no_pictures_left() -> Iterator[None]:
    """Close the figures that a test drew."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
