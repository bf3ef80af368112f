"""Distributions as they lie in an environment, good and broken ones, without an installer or a network."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

BROKEN = Path(__file__).parent / "broken"

collect_ignore = ["broken"]  # most of them cannot be imported: that is what they are for


@pytest.fixture(scope="session")
def lay(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Path]]:
    """Lay packages of the folder ``broken`` (default: all) out as an installer would; the folders for the path.

    Each comes into a folder of its own. ``rename`` gives entry points other names.
    """

    def laid(packages: Iterable[str] | None = None, rename: Mapping[str, str] | None = None) -> list[Path]:
        here = tmp_path_factory.mktemp("site")
        folders = []
        for package in sorted(path.name for path in BROKEN.iterdir()) if packages is None else packages:
            told = tomllib.loads((BROKEN / package / "pyproject.toml").read_text("utf-8"))["project"]
            folder = here / package
            shutil.copytree(BROKEN / package, folder, ignore=shutil.ignore_patterns("*.toml", "*.txt", "__pycache__"))
            info = folder / f"{package.replace('-', '_')}-{told['version']}.dist-info"
            info.mkdir()
            metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {told['version']}\n"
            (info / "METADATA").write_text(metadata, "utf-8")
            written = BROKEN / package / "entry_points.txt"
            points = {(rename or {}).get(k, k): v for k, v in told["entry-points"]["retention"].items()}
            listed = "[retention]\n" + "".join(f"{name} = {module}\n" for name, module in points.items())
            listed = written.read_text("utf-8") if written.exists() else listed
            (info / "entry_points.txt").write_text(listed, "utf-8")
            folders.append(folder)
        return folders

    return laid


@pytest.fixture(scope="session")
def shell() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """A fresh Python with these folders on its path."""

    def run(*arguments: object, path: Iterable[Path] = (), **variables: str) -> "subprocess.CompletedProcess[str]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RETENTION_")}
        environment = kept | {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONIOENCODING": "utf-8"} | variables
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, check=False)

    return run
