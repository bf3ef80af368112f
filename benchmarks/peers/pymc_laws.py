"""Our wrapper of pymc-marketing under all laws, in an environment that has it.

``python benchmarks/peers/pymc_laws.py [--cache FOLDER]``

The environment is the one of the peer, made once and kept, with the few small libraries that ours needs beside it. What
runs there is ``tests/guests/test_pymc_marketing.py``: the laws of value models for each model, and our answers against
its own at the same parameters, customer by customer. Some five minutes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from environments import PEERS, worker_command

ROOT = Path(__file__).parents[2]
BESIDE = ("attrs>=24.2", "narwhals>=2.0", "pluggy>=1.7", "hypothesis>=6.100", "pytest>=8", "pytest-xdist>=3.5")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, help="folder for the environment (default: a temporary one)")
    parser.add_argument("--python", help="the interpreter of the environment")
    told = parser.parse_args()
    peer = PEERS["pymc-marketing"]
    tests = ROOT / "tests" / "guests" / "test_pymc_marketing.py"
    with tempfile.TemporaryDirectory() as temporary:
        cache = (told.cache or Path(temporary)).resolve()
        cache.mkdir(parents=True, exist_ok=True)
        beside = replace(peer, requirements=(*peer.requirements, *BESIDE))
        command, what = worker_command(beside, cache, told.python, None)
        print(what, flush=True)
        ask = [command[0], "-m", "pytest", "-n0", "-v", "-p", "no:cacheprovider", f"--rootdir={ROOT}", str(tests)]
        return subprocess.run(ask, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}).returncode


if __name__ == "__main__":
    sys.exit(main())
