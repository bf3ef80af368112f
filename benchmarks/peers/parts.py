"""The parts of the report: each asks every peer the same things and gives lines of Markdown."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from bench import OURS, POINTS, WEEK, Bench, cost, digits, missing, spent, table
from customers import write
from environments import PEERS

__all__ = ["agreement", "extremes", "fits", "posteriors", "scores", "targets", "traps"]

TOLERANCE = 1e-6
_LONG = 50_000  # customers beyond which a sampler is only sampled
DELTA = math.log1p(0.10) / (365 / 7)  # 10 % a year, continuous, a week


def agreement(bench: Bench, data: dict[str, Path]) -> list[str]:
    """Every peer's log-likelihood against ours: at the published maximum, and at two points away from it."""
    lines = ["## Log-likelihood at the same parameters", ""]
    if len(bench.commands) == 1:
        return [*lines, "No peer could be had: nothing to compare with.", ""]
    rows = []
    for model, point in POINTS.items():
        special = {"bg-bb": "donors", "s-bg": "subscribers"}.get(model)
        for name in [special] if special else [name for name in data if name not in ("donors", "subscribers")]:
            bent = [tuple(v * (f if i % 2 else 1 / f) for i, v in enumerate(point)) for f in (1.0, 1.6, 0.55)]
            job = {"task": "loglik", "model": model, "data": str(data[name]), "params": bent, "repeats": 1}
            job["unit"] = 1.0 if special else WEEK
            ours = bench.ask(OURS, **job)
            for peer in bench.commands:
                if peer == OURS:
                    continue
                theirs = bench.ask(peer, **job)
                if "values" not in theirs:
                    if "skipped" not in theirs:
                        rows.append([model, name, peer, "", missing(theirs), ""])
                    continue
                if "values" not in ours:
                    rows.append([model, name, peer, f"{theirs['values'][0]:.6f}", "", f"ours {missing(ours)}"])
                    continue
                pairs = zip(ours["values"], theirs["values"], strict=True)
                off = max(abs(b - a) / abs(a) if math.isfinite(b) else math.inf for a, b in pairs)
                verdict = "agrees" if off <= TOLERANCE else "**DIFFERS**"
                if off > TOLERANCE:
                    bench.failures.append(f"{model} on {name}: {peer} differs by {off:.1e}")
                rows.append([model, name, peer, f"{theirs['values'][0]:.6f}", f"{off:.1e}", verdict])
    lines += ["At the published maximum and two points away from it; the largest relative difference from ours.", ""]
    return lines + table(["model", "data", "peer", "its log-likelihood", "relative difference", ""], rows)


def fits(bench: Bench, data: dict[str, Path]) -> list[str]:
    lines = ["## Fit", "", "As a user calls it, with the package's defaults, of the purchases alone, like the peers';"]
    lines += [
        "*with margins*: what our `fit` of purchases and margins takes. *Below the best* in log-likelihood units,"
    ]
    lines += ["all estimates scored by our likelihood. *Times ours* compares medians of CPU time.", ""]
    for name, path in data.items():
        rows = []
        for model in ("bg-nbd", "mbg-nbd", "pareto-nbd", "gamma-gamma"):
            job = {"task": "fit", "model": model, "data": str(path)}
            reports = {peer: bench.ask(peer, **job) for peer in bench.commands}
            bench.spent.update({("fit", model, name, peer): report for peer, report in reports.items()})
            if model != "gamma-gamma":
                reports[f"{OURS}, with margins"] = bench.ask(OURS, **{**job, "task": "fit with margins"})
            found = {peer: r["params"] for peer, r in reports.items() if "params" in r}
            usable = {p: v for p, v in found.items() if all(math.isfinite(x) and 0 < x < 1e150 for x in v)}
            scored: dict[str, float] = {}
            if usable:
                asked = bench.ask(OURS, **{**job, "task": "loglik", "params": list(usable.values()), "repeats": 1})
                scored = dict(zip(usable, asked.get("values", []), strict=False))
            best = max((v for v in scored.values() if math.isfinite(v)), default=math.nan)
            for peer, report in reports.items():
                if "skipped" in report:
                    continue
                if "params" not in report:
                    rows.append([model, peer, "", missing(report), "", "", "", ""])
                    continue
                below = f"{max(best - scored[peer], 0.0):.6f}" if peer in scored else "no density"
                cells = spent(report, None if peer == OURS else reports[OURS])
                rows.append([model, peer, digits(report["params"]), below, *cells])
        head = ["model", "peer", "estimates", "below the best", "wall s", "CPU s", "times ours", "peak MB (added)"]
        lines += [f"### {name}", "", *table(head, rows)]
    return lines


def scores(bench: Bench, data: dict[str, Path]) -> list[str]:
    lines = ["## Score", "", "P(alive) and purchases expected in 52 weeks for every customer at the same parameters;"]
    lines += ["*dert*: discounted expected transactions for ever at 10 % a year; gamma-gamma: expected spend.", ""]
    for name, path in data.items():
        rows = []
        for model, task in (
            ("bg-nbd", "score"), ("mbg-nbd", "score"), ("pareto-nbd", "score"), ("bg-nbd", "dert"),
            ("pareto-nbd", "dert"), ("gamma-gamma", "score"),
        ):  # fmt: skip
            job = {"task": task, "model": model, "data": str(path), "delta": DELTA}
            reports = {peer: bench.ask(peer, **job) for peer in bench.commands}
            ours = reports[OURS]
            for peer, report in reports.items():
                if "skipped" in report:
                    continue
                keys = [k for k in ("p_alive", "expected", "dert", "spend") if k in report]
                if not keys:
                    rows.append([model, task, peer, missing(report), "", "", "", "", ""])
                    continue
                told = ", ".join(f"{report[k]:,.4f}" for k in keys)
                if report["not_finite"]:
                    told += f" ({report['not_finite']:,} not finite)"
                off = max((abs(report[k] / ours[k] - 1) for k in keys if k in ours), default=math.nan)
                cells = spent(report, None if peer == OURS else ours)
                rows.append([model, task, peer, told, "" if peer == OURS or off != off else f"{off:.1e}", *cells])
        head = ["model", "", "peer", "sums", "differs by", "wall s", "CPU s", "times ours", "peak MB (added)"]
        lines += [f"### {name}", "", *table(head, rows)]
    return lines


def posteriors(bench: Bench, data: dict[str, Path], models: list[str], draws: int, short: int) -> list[str]:
    lines = ["## Posterior of the parameters", "", f"{draws:,} draws, default priors of each package; four chains one"]
    lines += ["after the other for a sampler. *ESS* is the smallest effective sample size of a parameter.", ""]
    lines += [f"Beyond {_LONG:,} customers a sampler runs one chain of {short:,} draws after as many to tune: too few"]
    lines += ["to use, and poorly tuned, so that an effective draw of a long chain may cost a tenth. It shows"]
    lines += ["the order of magnitude.", ""]
    rows = []
    for name, path in data.items():
        for model in models:
            job = {"task": "posterior", "model": model, "data": str(path), "draws": draws}
            sampled = {**job, "draws": short, "chains": 1, "tune": short} if path.stat().st_size > 32 * _LONG else job
            asked = {peer: job if peer == OURS else sampled for peer in bench.commands if not PEERS[peer].r}
            reports = {peer: bench.ask(peer, **its) for peer, its in asked.items()}
            bench.spent.update({("posterior", model, name, peer): report for peer, report in reports.items()})
            rate = {p: r["ess"] / statistics.median(r["cpu"]) for p, r in reports.items() if "ess" in r}
            for peer, report in reports.items():
                if "skipped" in report and peer != OURS:
                    continue
                if "params" not in report:
                    told = report.get("skipped", "") if peer == OURS else missing(report)
                    rows.append([name, model, peer, told, "", "", "", "", ""])
                    continue
                pairs = zip(report["params"], report["sds"], strict=True)
                means = ", ".join(f"{m:.4g} ± {s:.2g}" for m, s in pairs)
                cells = spent(report, None)
                remark = f" ({report['note']})" if "note" in report else ""
                slower = f"{rate[OURS] / rate[peer]:,.0f}" if peer != OURS and OURS in rate else ""
                rows.append(
                    [
                        name,
                        model,
                        peer,
                        means + remark,
                        f"{report['ess']:,.0f}",
                        cells[0],
                        f"{rate[peer]:,.1f}",
                        slower,
                        cells[3],
                    ]
                )
    head = ["data", "model", "peer", "mean ± sd", "ESS", "wall s", "ESS a CPU s", "times fewer", "peak MB (added)"]
    return lines + table(head, rows)


def targets(bench: Bench) -> list[str]:
    """What we aim at beside the peers, in ratios of CPU time."""
    rows = []
    for task, model, peer, where, least in (
        ("fit", "bg-nbd", "lifetimes", "cdnow", 25), ("fit", "bg-nbd", "lifetimes", "00,000 made up", 50),
        ("fit", "mbg-nbd", "lifetimes", "cdnow", 25), ("fit", "mbg-nbd", "lifetimes", "00,000 made up", 50),
        ("fit", "pareto-nbd", "lifetimes", "100,000 made up", 60),
        ("posterior", "bg-nbd", "pymc-marketing", "", 200),
    ):  # fmt: skip
        for (did, what, data, who), theirs in bench.spent.items():
            if (
                (did, what, who) != (task, model, peer)
                or where not in data
                or (did == "posterior" and "ess" not in theirs)
            ):
                continue
            ours = bench.spent[did, what, data, OURS]
            ratio = cost(theirs) / cost(ours)
            bound = "at least " if "stopped" in theirs else ""
            verdict = "holds" if ratio >= least else "not known" if ratio != ratio or bound else "**missed**"
            rows.append([f"{did} of {what} on {data}, against {who}", f"{bound}{ratio:,.1f}", f"{least}", verdict])
    head = ["CPU seconds, theirs to ours (posterior: for each effective draw)", "times", "aimed at", ""]
    return ["## What we aim at", "", *table(head, rows)]


def traps(bench: Bench, folder: Path, name: str, path: Path) -> list[str]:
    """Questions with one right answer: the same base in other units, nobody who came back, a = 1 exactly."""
    base = np.fromfile(path).reshape(4, -1)
    lines = ["## Questions with one right answer", ""]
    lines += [f"On {name}. The forecast (39 weeks, all customers, each package's own fit and forecast) must not depend"]
    lines += ["on the unit of time, nor the mean spend on the unit of money.", ""]
    rows = []
    cents = write(folder / "cents.f8", base * np.array([[1], [1], [1], [100]]))
    for peer in bench.commands:
        for model in ("bg-nbd", "pareto-nbd"):
            told = []
            for unit in (7.0, 1.0, 1 / 24):
                fit = bench.ask(peer, task="fit", model=model, data=str(path), unit=unit, repeats=1)
                if "params" not in fit:
                    told.append(missing(fit))
                    continue
                asked = {"task": "score", "model": model, "data": str(path), "unit": unit, "repeats": 1}
                score = bench.ask(peer, **asked, horizon=39 * 7 / unit, params=fit["params"])
                told.append(f"{score['expected']:,.1f}" if "expected" in score else missing(score))
            if any("–" not in text for text in told):
                rows.append([peer, f"{model}: purchases fitted in weeks, days, hours", "; ".join(told)])
        told = []
        for file, scale in ((path, 1.0), (cents, 100.0)):
            fit = bench.ask(peer, task="fit", model="gamma-gamma", data=str(file), repeats=1)
            if "params" not in fit:
                told.append(missing(fit))
                continue
            p, q, v = fit["params"]
            told.append(f"{p * v / (q - 1) / scale:,.2f}")
        if any("–" not in text for text in told):
            rows.append([peer, "gamma-gamma: mean spend fitted in dollars, cents", "; ".join(told)])
        once = write(folder / "once.f8", np.array([base[0] * 0, base[1] * 0, base[2], base[3] * 0]))
        fit = bench.ask(peer, task="fit", model="bg-nbd", data=str(once), repeats=1)
        if "skipped" not in fit:
            told = [f"{digits(fit['params'])}{': ' + fit['note'] if fit.get('note') else ''}"]
            rows.append([peer, "bg-nbd: a base of one-time buyers", told[0] if "params" in fit else missing(fit)])
        score = bench.ask(peer, task="score", model="bg-nbd", data=str(path), params=(0.24, 4.4, 1.0, 2.4), repeats=1)
        if "skipped" not in score:
            bad = (
                f"{score['not_finite']:,} of {base.shape[1]:,} not finite" if "not_finite" in score else missing(score)
            )
            rows.append([peer, "bg-nbd: forecasts at a = 1", bad])
    return lines + table(["peer", "question", "answer"], rows)


def extremes(bench: Bench, folder: Path, truth: Path) -> list[str]:
    """Hard customers with answers known to many digits: how often no answer comes, and how often a wrong one."""
    lines = [
        "## Hard customers",
        "",
        "Up to 10,000 purchases and 10,000 weeks, parameters from 1e-4 to 1e4; the truth was",
    ]
    lines += ["integrated with 40 to 60 digits. *None*: NaN, infinite or an exception; *wrong*: off by more than 1e-6."]
    lines.append("")
    rows = []
    for model, (points, answers) in hard_truth(truth).items():
        if not len(points):
            continue
        file = write(folder / f"hard-{model}.f8", points)
        for peer in bench.commands:
            report = bench.ask(peer, task="extreme", model=model, data=str(file), unit=1.0, repeats=1)
            if "rows" not in report:
                if "skipped" not in report:
                    rows.append([model, peer, missing(report), "", ""])
                continue
            told = np.array(report["rows"], dtype=float)
            none = ~np.isfinite(told)
            off = np.abs(told - answers) > TOLERANCE * np.maximum(np.abs(answers), 1e-9)
            cells = [f"{none[:, i].sum()} none, {(off & ~none)[:, i].sum()} wrong" for i in range(3)]
            rows.append([f"{model} ({len(points)})", peer, *cells])
    return lines + table(["model (points)", "peer", "log-likelihood", "P(alive)", "expected purchases"], rows)


def hard_truth(truth: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """From the truth tables of the tests: rows (four parameters, x, t_x, T, horizon), and their three answers."""
    found: dict[str, tuple[list[Any], list[Any]]] = {"bg-nbd": ([], []), "mbg-nbd": ([], []), "pareto-nbd": ([], [])}
    if (truth / "bgnbd.json").exists():
        for case in json.loads((truth / "bgnbd.json").read_text(encoding="utf-8"))["extreme"]:
            points, answers = found[f"{case['model']}-nbd"]
            points += [[*case["params"], *row, case["horizon"]] for row in case["rows"]]
            answers += zip(case["log_likelihoods"], case["p_alive"], case["mean"], strict=True)
    if (truth / "paretonbd.json").exists():
        told = json.loads((truth / "paretonbd.json").read_text(encoding="utf-8"))
        which = [told["names"].index(name) for name in ("log_likelihood", "p_alive", "expected")]
        points, answers = found["pareto-nbd"]
        points += [case["point"][:8] for case in told["extreme"]]
        answers += [[case["truth"][i] for i in which] for case in told["extreme"]]
    return {model: (np.array(p, dtype=float), np.array(a, dtype=float)) for model, (p, a) in found.items()}
