"""What the pages' hidden cells use: a command shown as a terminal shows it, run as it is shown; real data, or a
likeness of them where they are not at hand."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
from IPython.display import Markdown

__all__ = ["shell", "shared_data", "cdnow_files"]


def shell(*commands: str, code: int = 0) -> Markdown:
    """Run the commands in one shell and show each with what it prints; the last must end with the exit code given."""
    shown = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            check=False,
        )
        expected = code if command is commands[-1] else 0
        if done.returncode != expected:
            raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stdout}")
        shown += [f"$ {_folded(command)}", done.stdout.rstrip()]
        if code:
            shown += ["$ echo $?", str(code)]
    text = "\n".join(line for line in shown if line)
    return Markdown(f"````console\n{text}\n````")


def _folded(command: str, width: int = 88) -> str:
    """A long command on two lines, as one may type it."""
    options = [at.start() for at in re.finditer(" --", command) if at.start() < width]
    if len(command) <= width or not options:
        return command
    return f"{command[: options[-1]]} \\\n    {command[options[-1] + 1 :]}"


def shared_data(name: str) -> Path | None:
    """A file of public data if it is there: in the folder RETENTION_DATA, or in shared/data beside the checkout."""
    folder = os.environ.get("RETENTION_DATA") or Path(__file__).parents[2] / "shared" / "data"
    path = Path(folder) / name
    return path if path.exists() else None


def cdnow_files() -> tuple[Path, Path, Markdown]:
    """The receipts of the CDNOW cohort, those of its one-in-ten sample, and what a reader should know about them."""
    cohort, sample = shared_data("cdnow/cdnow_master.csv.gz"), shared_data("cdnow/cdnow_sample.csv.gz")
    if cohort and sample:
        return cohort, sample, Markdown("*This page was built on the real receipts.*")
    cohort, sample = Path("cdnow_simulated.csv"), Path("cdnow_simulated_sample.csv")
    _simulate_cdnow(cohort, sample)
    return (
        cohort,
        sample,
        Markdown(
            ":::{warning}\nThe real receipts were not at hand when this page was built (set `RETENTION_DATA` to their "
            "folder). What the code below reads and prints is of **simulated** customers, as many and watched as long, "
            "drawn from the stated parameters; only what is called published, or another's, is of CDNOW. The two are "
            "alike because the models are true of these customers; it proves nothing about the real ones.\n:::"
        ),
    )


def _simulate_cdnow(cohort: Path, sample: Path, customers: int = 23_570) -> None:
    """Pareto/NBD customers from a day of early 1997 to the end of June 1998, gamma-gamma spenders; every tenth is in
    the sample."""
    rng = np.random.default_rng(1997)
    born = rng.integers(0, 84, customers)
    weekly, leaving = rng.gamma(0.5630, 1 / 12.5591, customers), rng.gamma(0.4081, 1 / 10.5146, customers)
    stays = np.minimum(7 * rng.exponential(1 / leaving), 545 - born)
    repeats = rng.poisson(weekly / 7 * stays)
    who = np.repeat(np.arange(customers), repeats + 1)
    since = np.ceil(rng.random(len(who)) * stays[who])
    since[np.cumsum(repeats + 1) - repeats - 1] = 0
    taste = rng.gamma(4.1882, 1 / 24.3689, customers)
    days = np.datetime64("1997-01-01") + (born[who] + since).astype(int)
    for path, column, keep in ((cohort, "customer_id", who >= 0), (sample, "master_id", who % 10 == 0)):
        rows = zip(who[keep], days[keep], rng.gamma(4.6854, 1 / taste[who[keep]]), strict=True)
        lines = "".join(f"{1 + i},{day},{sales:.2f}\n" for i, day, sales in rows)
        path.write_text(f"{column},date,sales\n{lines}", encoding="utf-8")
