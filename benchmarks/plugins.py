"""What plugins cost: at import, when a registry opens, and in a night. Ratios within one run, except where told.

    python benchmarks/plugins.py [--quick]

- import: `import retention` against the import of numpy, with 0, 10 and 100 installed plugins: they may add nothing;
- open: opening a registry with that many plugins, in a fresh process, against the import of numpy (without plugins it
  is this library's own stages that are imported), and once more when all has been imported, in milliseconds;
- night: how many hooks are called in a night of 1,000 and of 100,000 customers, and what opening the registry and the
  announcement cost beside it. Each count must be the same at both sizes: if not, the exit code is 1.

The plugins are small modules with one hook of each kind and one announcement, laid out as an installer would do it.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

MODULE = """
from retention.plugins import KINDS, Contribution, hookimpl


def _gives(kind):
    return hookimpl(lambda: [Contribution(name="{name}-" + kind.replace("_", "-"), summary="none", make=dict)])


for _kind, _spec in KINDS.items():
    globals()[_spec.hook] = _gives(_kind)


@hookimpl
def retention_plan_made(plan):
    assert plan is not None
"""


def lay(folder: Path, plugins: int) -> Path:
    """A folder for the path with so many installed plugins."""
    where = folder / f"with-{plugins}"
    where.mkdir()
    for number in range(plugins):
        name = f"bench{number:03}"
        (where / f"retention_{name}.py").write_text(MODULE.replace("{name}", name))
        info = where / f"retention_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: retention-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[retention]\n{name} = retention_{name}\n")
    return where


def fresh(code: str, path: Path, runs: int) -> float:
    """The least CPU seconds of fresh interpreters that run this code with this folder on their path."""
    spent = []
    for _ in range(runs + 1):  # the first one compiles
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(path)})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent[1:])


def bench_import(sites: dict[int, Path], runs: int) -> None:
    none = sites[0]
    bare = fresh("pass", none, runs)
    numpy = fresh("import numpy", none, runs) - bare
    print(f"import   numpy {numpy:.3f} CPU seconds = 1")
    for plugins, path in sites.items():
        alone = fresh("import retention", path, runs) - bare
        opening = "from retention.plugins import open_registry; assert not open_registry().failures"
        opened = fresh(opening, path, runs) - bare
        print(
            f"         {plugins:3} plugins: import retention {alone / numpy:5.2f}, open_registry {opened / numpy:5.2f}"
        )


def bench_night(sites: dict[int, Path], sizes: tuple[int, ...]) -> bool:
    """Whether the number of hook calls is the same for all sizes."""
    from pluggy import HookCaller

    import retention.program
    from retention.plugins import Registry, open_registry

    calls: Counter[str] = Counter()
    spent = {"opening": 0.0, "announcing": 0.0}
    call, announce = HookCaller.__call__, Registry.announce

    def counted(self, **values):
        calls[self.name] += 1
        return call(self, **values)

    def told(self, hook, **values):
        start = time.process_time()
        announce(self, hook, **values)
        spent["announcing"] += time.process_time() - start

    def opened(*arguments, **options):
        start = time.process_time()
        registry = open_registry(*arguments, **options)
        spent["opening"] += time.process_time() - start
        return registry

    HookCaller.__call__, Registry.announce, retention.program.open_registry = counted, told, opened
    constant = True
    for plugins, path in sites.items():
        sys.path.insert(0, str(path))
        counts = []
        open_registry()  # imports are measured above
        start = time.process_time()
        for _ in range(5):
            open_registry()
        again = 1e3 * (time.process_time() - start) / 5
        print(f"open     {plugins:3} plugins, imported before: {again:.1f} ms (an absolute figure)")
        for customers in sizes:
            log = made_up(customers)
            calls.clear()
            spent.update(opening=0.0, announcing=0.0)
            with tempfile.TemporaryDirectory() as folder, retention.Journal(Path(folder) / "shop.db") as journal:
                start = time.process_time()
                retention.Program(money=100.0, hours=40.0).run(log, journal=journal)
                night = time.process_time() - start
            counts.append(calls.total())
            told_shares = ", ".join(f"{what} {seconds / night:8.4%}" for what, seconds in spent.items())
            print(
                f"night    {plugins:3} plugins, {customers:7,} customers: {calls.total():4} hook calls; of the night: "
                f"{told_shares}"
            )
        constant &= len(set(counts)) == 1
        sys.path.remove(str(path))
    return constant


def made_up(customers: int):
    """A year of receipts."""
    import numpy as np

    from retention.records import TransactionLog

    rng = np.random.default_rng(1)
    times = 1 + rng.poisson(2.0, customers)
    who = np.repeat(np.arange(customers), times)
    days = rng.integers(0, 365, len(who))
    return TransactionLog.from_arrays(
        customer_id=np.char.add("c", who.astype(str)),
        at=np.datetime64("2024-01-01") + days,
        revenue=np.round(rng.gamma(4.0, 10.0, len(who)), 2),
        margin=0.3,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    counts, runs, sizes = ((0, 10), 1, (200, 2_000)) if arguments.quick else ((0, 10, 100), 7, (1_000, 100_000))
    with tempfile.TemporaryDirectory() as folder:
        sites = {plugins: lay(Path(folder), plugins) for plugins in counts}
        bench_import(sites, runs)
        if not bench_night(sites, sizes):
            print("plugins cost something per customer: hooks are called more often for more of them")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
