"""Each peer in an environment of its own, made once and kept in a cache folder."""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["OBP", "PEERS", "Peer", "Unavailable", "worker_command"]

HERE = Path(__file__).parent


class Unavailable(Exception):
    """The peer cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Peer:
    """A package, the worker that drives it, and what its environment needs.

    ``pythons`` are the interpreters it runs on, best first. ``bare`` is installed without what it says it needs.
    btyd is pinned to the libraries of its time, since it does not import with later ones.
    """

    name: str
    worker: str
    requirements: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    r: bool = False
    bare: tuple[str, ...] = ()


PEERS = {
    peer.name: peer
    for peer in (
        Peer("retention", "ours.py"),
        Peer("lifetimes", "lifetimes_peer.py", ("lifetimes==0.11.3",), ("3.12", "3.11", "3.13", "3.10")),
        Peer("pymc-marketing", "pymc_peer.py", ("pymc-marketing>=0.19",), ("3.13", "3.12", "3.11")),
        Peer(
            "btyd",
            "lifetimes_peer.py",
            ("btyd==0.1b3", "numpy<1.24", "pandas<2", "scipy<1.11", "xarray<2023.2", "arviz<0.15", "setuptools<70"),
            ("3.9", "3.8"),
        ),
        Peer("CLVTools", "r_peers.R", r=True),
        Peer("BTYD", "r_peers.R", r=True),
        Peer("BTYDplus", "r_peers.R", r=True),
    )
}


# Driven by obp_peer.py alone: it has no models of customers, so it has no part in ``run.py``.
OBP = Peer(
    "obp",
    "obp_peer.py",
    ("numpy", "scipy", "pandas", "scikit-learn"),
    ("3.11", "3.12", "3.13", "3.10"),
    bare=("obp==0.5.7",),
)


def worker_command(peer: Peer, cache: Path, python: str | None, r_library: Path | None) -> tuple[list[str], str]:
    """How to start the peer's worker, and what was installed; raises Unavailable."""
    if peer.r:
        return _r(peer, cache, r_library)
    if not peer.requirements:
        return [sys.executable, str(HERE / peer.worker)], _version(sys.executable, peer.name)
    interpreter = _interpreter(peer, python)
    key = hashlib.sha256("\n".join((interpreter, *peer.requirements, *peer.bare)).encode()).hexdigest()[:8]
    folder = cache / f"{peer.name}-{key}"
    inside = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _quietly([interpreter, "-m", "venv", str(folder)], f"no virtual environment with {interpreter}")
        pip = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _quietly([*pip, *peer.requirements], f"pip could not install {' '.join(peer.requirements)}")
        if peer.bare:
            _quietly(
                [*pip, "--no-deps", "--ignore-requires-python", *peer.bare], f"pip could not install {peer.bare[0]}"
            )
        (folder / "ready").write_text("\n".join((*peer.requirements, *peer.bare)) + "\n", encoding="utf-8")
    return [str(inside), str(HERE / peer.worker)], _version(str(inside), peer.name)


def _interpreter(peer: Peer, given: str | None) -> str:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version in peer.pythons:
        candidates = [given] if given else [f"python{version}"]
        if own == version and not given:
            candidates.insert(0, getattr(sys, "_base_executable", sys.executable))
        for candidate in candidates:
            asked = [candidate, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
            try:
                said = subprocess.run(asked, capture_output=True, text=True, timeout=60)
            except OSError:
                continue
            if said.returncode == 0 and said.stdout.strip() == version:
                return candidate
    raise Unavailable(f"needs Python {' or '.join(peer.pythons)}: none found (--python {peer.name}=PATH names one)")


def _r(peer: Peer, cache: Path, library: Path | None) -> tuple[list[str], str]:
    rscript = shutil.which("Rscript")
    if rscript is None:
        raise Unavailable("R is not installed (no Rscript on the path)")
    folders = [folder.resolve() for folder in (library, cache / "r") if folder is not None]
    (cache / "r").mkdir(parents=True, exist_ok=True)
    paths = ", ".join(f'"{folder.as_posix()}"' for folder in folders)
    ask = f'.libPaths(c({paths}, .libPaths())); cat(as.character(packageVersion("{peer.name}")))'
    said = subprocess.run([rscript, "-e", ask], capture_output=True, text=True)
    if said.returncode:
        into = (cache / "r").resolve().as_posix()
        # From whichever repository this R is set up for (options("repos")); none is named here.
        install = f'install.packages("{peer.name}", lib = "{into}", quiet = TRUE)'
        subprocess.run([rscript, "-e", install], capture_output=True, text=True)
        said = subprocess.run([rscript, "-e", ask], capture_output=True, text=True)
    if said.returncode:
        raise Unavailable(
            "the R package is not installed, and could not be installed from the repository that R is set up for"
        )
    found = [f"library={folder.as_posix()}" for folder in folders]
    return [rscript, str(HERE / peer.worker), *found[:1]], f"{peer.name} {said.stdout.strip()}"


def _quietly(command: list[str], complaint: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise Unavailable(f"{complaint}: {last[:200]}")


def _version(python: str, package: str) -> str:
    ask = (
        f"import sys; from importlib.metadata import version; print(version({package!r}), 'on Python', sys.version[:6])"
    )
    return f"{package} {subprocess.run([python, '-c', ask], capture_output=True, text=True).stdout.strip()}"
