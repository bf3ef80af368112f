"""One task of one peer in a process of its own, and how a report shows what it took."""

import json
import math
import os
import resource
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environments import PEERS

__all__ = ["HORIZON", "OURS", "POINTS", "WEEK", "Bench", "cost", "digits", "missing", "spent", "table"]

WEEK = 7.0
HORIZON = 52.0  # weeks
OURS = "retention"

# Where likelihoods are compared and forecasts made: the published maximum on CDNOW (BG/BB: on the donations).
POINTS = {
    "bg-nbd": (0.2426, 4.4136, 0.7929, 2.4259),
    "mbg-nbd": (0.5248, 6.1831, 0.8914, 1.6140),
    "pareto-nbd": (0.5533, 10.5777, 0.6062, 11.6687),
    "nbd": (0.38477, 12.0720),
    "gamma-gamma": (6.2494, 3.7443, 15.4443),
    "bg-bb": (1.2043, 0.7497, 0.6568, 2.7838),
    "s-bg": (0.704, 1.182),
}


@dataclass
class Bench:
    """Runs jobs and remembers what was said."""

    commands: dict[str, list[str]]
    repeats: int
    timeout: float
    posterior_timeout: float
    failures: list[str] = field(default_factory=list)
    spent: dict[tuple[str, str, str, str], dict[str, Any]] = field(default_factory=dict)

    def ask(self, peer: str, **job: Any) -> dict[str, Any]:
        """One task of one peer in a process of its own; a report with ``error``, ``skipped`` or ``stopped`` if it has
        no answer."""
        job = {"package": peer, "unit": WEEK, "repeats": self.repeats, "patience": 60.0, "horizon": HORIZON, **job}
        job.setdefault("params", [POINTS[job["model"]]] if job["task"] == "loglik" else POINTS[job["model"]])
        limit = self.posterior_timeout if job["task"] == "posterior" else self.timeout
        command, told = list(self.commands[peer]), None
        if PEERS[peer].r:
            command += [f"{name}={_flat(value)}" for name, value in job.items()]
        else:
            told = json.dumps(job)
        print(f"  {peer}: {job['task']} {job['model']} {Path(job['data']).stem}", file=sys.stderr, flush=True)
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **one, "R_DATATABLE_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip
        before = _children()
        try:
            said, complaint = process.communicate(told, timeout=limit)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as reason:
            os.killpg(process.pid, signal.SIGKILL)  # the worker and what it started, nothing else
            process.communicate()
            if isinstance(reason, KeyboardInterrupt):
                raise
            return {"stopped": limit, "used": _children() - before}
        lines = [line for line in said.splitlines() if line.startswith("{")]
        if not lines:
            last = (complaint.strip() or "no answer").splitlines()[-1][:200]
            return {"error": f"exit code {process.returncode}: {last}"}
        return dict(json.loads(lines[-1]))


def _children() -> float:
    """CPU seconds of all processes that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _flat(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        nested = value and isinstance(value[0], (list, tuple))
        return (";" if nested else ",").join(_flat(v) for v in value)
    return repr(float(value)) if isinstance(value, float) else str(value)


def missing(report: dict[str, Any]) -> str:
    """Why there is no answer, in a table cell; empty if there is one."""
    if "skipped" in report:
        return "– not offered"
    if "stopped" in report:
        return f"stopped after {report['stopped']:,.0f} s"
    return f"**failed**: {report['error']}" if "error" in report else ""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def digits(values: Iterable[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spent(report: dict[str, Any], ours: dict[str, Any] | None) -> list[str]:
    """Wall median, CPU median, times ours, peak memory, what the task added to it."""
    wall, cpu = statistics.median(report["wall"]), statistics.median(report["cpu"])
    ratio = cpu / statistics.median(ours["cpu"]) if ours and "cpu" in ours else math.nan
    first = f" (first {seconds(report['wall'][0])})" if report["wall"][0] > 1.5 * wall else ""
    memory = (
        f"{report['peak_mb']:,.0f} (+{report['peak_mb'] - report['before_mb']:,.0f})" if "peak_mb" in report else ""
    )
    return [seconds(wall) + first, seconds(cpu), f"{ratio:,.1f}" if ratio == ratio else "", memory]


def cost(report: dict[str, Any]) -> float:
    """CPU seconds, for each effective draw if there are draws; what it had used when it was stopped; or NaN."""
    if "cpu" not in report:
        return float(report.get("used", math.nan))
    return float(statistics.median(report["cpu"]) / report.get("ess", 1.0))
