"""What every Python worker shares: one job read, one task timed, one line of JSON written.

A worker runs one task in a process of its own, so that its peak memory is the task's and a slow task can be stopped.
This file runs in the environments of the peers: numpy and the standard library only, Python 3.9 and later.
"""

import contextlib
import gc
import io
import json
import resource
import sys
import time

import numpy as np

SHORT = 1.0


class NotOffered(Exception):
    """The peer has no such model or no such answer."""


class Customers:
    """One row a customer: repeat purchases, times in the job's unit, mean spend of a repeat purchase."""

    def __init__(self, path, unit):
        table = np.fromfile(path)
        self.x, self.t_x, self.T, self.spend = table.reshape(4, -1)
        self.t_x, self.T = self.t_x / unit, self.T / unit

    def __len__(self):
        return len(self.x)

    def spenders(self):
        """Frequency and mean spend of those who have both: what gamma-gamma reads."""
        some = (self.x > 0) & (self.spend > 0)
        return self.x[some], self.spend[some]


def memory(name):
    """VmRSS (now) or VmHWM (peak) of this process in MB; getrusage where there is no /proc."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(name)) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak():
    """Start the peak anew, so that reading the data does not count (Linux)."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def timed(work, repeats, patience, fresh=None):
    """The last answer, wall and CPU seconds of each run, MB held before and peak MB of the first run.

    ``fresh`` makes, outside the time, what each run works on: for a package that remembers answers about a base.

    Repeats stop when ``patience`` seconds are used up; they go on while all of them took less than ``SHORT`` seconds,
    or three runs of a few milliseconds would tell how cold the machine was.
    """
    walls, cpus, answer = [], [], None
    given = [] if fresh is None else [fresh()]
    gc.collect()
    forget_peak()
    before, peak = memory("VmRSS"), 0.0
    while (len(walls) < repeats and sum(walls) < patience) or (repeats > 1 and sum(walls) < SHORT):
        answer = None
        wall, cpu = time.perf_counter(), time.process_time()
        answer = work(*given)
        cpus.append(time.process_time() - cpu)
        walls.append(time.perf_counter() - wall)
        peak = peak or memory("VmHWM")
        given = [] if fresh is None else [fresh()]
    return answer, {"wall": walls, "cpu": cpus, "before_mb": before, "peak_mb": peak}


def sums(**columns):
    """The sum of each answer, and how many of its values are not finite."""
    answer = {}
    for name, values in columns.items():
        values = np.asarray(values, dtype=float)
        answer[name] = float(values.sum())
        answer["not_finite"] = answer.get("not_finite", 0) + int(np.sum(~np.isfinite(values)))
    return answer


def main(prepare):
    """Run the job on stdin: ``prepare(job)`` gives the work to time, what to tell of its answer, and ``fresh`` if it
    needs that: see ``timed``."""
    job = json.load(sys.stdin)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            work, tell, *fresh = prepare(job)
            answer, spent = timed(work, job.get("repeats", 1), job.get("patience", 60.0), *fresh)
            report = dict(spent, **tell(answer))
    except NotOffered as reason:
        report = {"skipped": str(reason)}
    except Exception as error:  # what a peer raises is a result, too
        report = {"error": "{}: {}".format(type(error).__name__, str(error).split("\n")[0][:200])}
    print(json.dumps(report))
