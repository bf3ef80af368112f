"""Every question that a kernel answers, against many digits: on plausible points, and at the edge of the possible.

The edge: up to 10,000 purchases, 10,000 weeks and parameters from 1e-4 to 1e4, a last purchase long ago or today,
shapes of exactly 1. The scripts in ``truth`` make the values by roads that the kernels do not take.
"""

import dataclasses
import functools
import json
import math
import os
import pkgutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import retention._kernels as kernels
from retention._kernels import (
    bdw,
    bgbb,
    bgcnbd,
    bgnbd,
    contracts,
    credibility,
    gammagamma,
    ggompertz,
    nbd,
    paretonbd,
    paretonbd_dynamic,
    sbg,
)
from retention._kernels.purchases import Kernel, Rows, merge

FOLDER = Path(__file__).parent / "truth"


@functools.cache
def truth(name):
    """The points of both grids with what is true there: several files of one model are one."""
    out = {}
    for file in FILES[name]:
        read = json.loads((FOLDER / f"{file}.json").read_text(encoding="utf-8"))
        for grid in ("hard", "extreme"):
            cases = [dict(zip(read["names"], case["truth"], strict=True)) for case in read[grid]]
            points = [case["point"] for case in read[grid]]
            if grid not in out:
                out[grid] = (points, cases)
            else:
                assert out[grid][0] == points
                for known, more in zip(out[grid][1], cases, strict=True):
                    known |= more
    return {grid: list(zip(*both, strict=True)) for grid, both in out.items()}


def row(x, t_x, T):
    return Rows(*(np.array([float(value)]) for value in (x, t_x, T, 0)))


def slopes(gradient, hessian=None, prefix=""):
    d = len(gradient)
    out = {f"{prefix}gradient_{i}": gradient[i] for i in range(d)}
    if hessian is not None:
        out |= {f"{prefix}hessian_{i}{j}": hessian[i, j] for i in range(d) for j in range(i, d)}
    return out


def derivatives(kernel, params, one):
    """The likelihood in all its ways: of a row, with its slopes, of a base, at many points, and of a prepared base."""
    cells = merge(one, gaps=kernel.uses_gaps)
    _, gradient, hessian = kernel.rowwise(params, one)
    each = {"log_likelihood": kernel.log_likelihoods(params, one)[0]} | slopes(gradient[:, 0], hessian[..., 0])
    ready = kernel.on(cells)
    for name, base in (("", kernel.total(params, cells)), ("prepared ", ready.total(params))):
        value, steep, bent = base
        each |= {f"{name}total:log_likelihood": value} | slopes(steep, bent, f"{name}total:")
    many = np.array([params])
    return each | {
        "values:log_likelihood": kernel.values(many, cells)[0],
        "prepared values:log_likelihood": ready.values(many)[0],
    }


def purchases(kernel, point, counts=(0, 1, 3, 10)):
    d = len(kernel.names)
    params, one, (h, delta) = point[:d], row(*point[d : d + 3]), point[d + 3 :]
    plain = kernel.forecast(params, one, h, second=True)
    ahead = kernel.forecast(params, one, h, delta, second=True)
    pmf = kernel.pmf(params, one, h, max(counts))[0]
    out = derivatives(kernel, params, one) | {
        "p_alive": kernel.p_alive(params, one)[0],
        "log_rate": kernel.log_rate(params, one)[0],
        "survival": kernel.survival(params, one, h)[0],
        "mean": plain.mean[0],
        "mean_pairs": plain.pairs[0],
        "any": plain.any[0],
        "discounted": ahead.mean[0],
        "squares": ahead.squares[0],
        "pairs": ahead.pairs[0],
        **{f"pmf_{n}": pmf[n] for n in counts},
    }
    asked = [(h, 0.0), (h, delta), *([(np.inf, delta)] if delta else [])]
    alive, means = kernel.outlook(params, merge(one, gaps=kernel.uses_gaps), asked)
    out["together:p_alive"] = alive[0]
    for name, mean in zip(("mean", "discounted", "endless"), means, strict=False):
        out[f"together:{name}"] = mean[0]
    if delta:
        ever = kernel.forecast(params, one, np.inf, delta, second=True)
        out |= {"endless": ever.mean[0], "endless_pairs": ever.pairs[0]}
    return out


def of_bgcnbd(point):
    k, m, *rest = point
    return purchases(bgcnbd.kernel(k, m), rest, (0, 1, 2, 3))


def of_bgbb(point):
    """Ten occasions at 0.1, without end at 0.1 and at 0.002, and five occasions for ``survival``."""
    kernel, params, one = bgbb.KERNEL, point[:4], row(*point[4:])
    plain, near = kernel.forecast(params, one, 10), kernel.forecast(params, one, 10, 0.1, second=True)
    slow = kernel.forecast(params, one, np.inf, 0.002, second=True)
    pmf = kernel.pmf(params, one, 10, 10)[0]
    return derivatives(kernel, params, one) | {
        "p_alive": kernel.p_alive(params, one)[0],
        "survival": kernel.survival(params, one, 5)[0],
        "log_rate": kernel.log_rate(params, one)[0],
        "mean": plain.mean[0],
        "any": near.any[0],
        "discounted": near.mean[0],
        "squares": near.squares[0],
        "pairs": near.pairs[0],
        "endless": kernel.forecast(params, one, np.inf, 0.1).mean[0],
        "endless_slow": slow.mean[0],
        "endless_pairs": slow.pairs[0],
        "ever": slow.any[0],
        **{f"pmf_{n}": pmf[n] for n in (0, 1, 3, 10)},
    }


def of_contracts(model, point):
    *params, k = point
    renewals, rate = np.array([float(k)]), 0.1
    plain, soon = (contracts.residual(model, params, renewals, 24, delta, second=True) for delta in (0.0, rate))
    out = {
        "retention": np.exp(-model.fade(params, renewals, 1.0))[0],
        "lifetime": plain.mean[0],
        "discounted": soon.mean[0],
        "square": soon.square[0],
        "endless": contracts.residual(model, params, renewals, math.inf, rate).mean[0],
        "endless_slow": contracts.residual(model, params, renewals, math.inf, 0.001).mean[0],
    }
    for name, ended in (("active", False), ("ended", True)):
        over = np.array([ended])
        out[name] = contracts.log_likelihoods(model, params, renewals, over)[0]
        _, gradient, hessian = contracts.rowwise(model, params, renewals, over)
        out |= slopes(gradient[:, 0], hessian[..., 0], f"{name}_")
    return out


def of_dynamic(point):
    params, edges, log_a, log_b, (x, t_x, T), (h, delta) = point
    edges, log_a, log_b = np.array(edges), np.array(log_a), np.array(log_b)
    born, last, end = np.zeros(1), np.array([t_x]), np.array([T])
    bought = np.array([t_x / 2] * (x - 1) + [t_x]) if x else np.zeros(0)
    laid = paretonbd_dynamic.lay_out(edges, born, last, end, bought, np.zeros(x, dtype=np.intp))
    cuts = [T, *(e for e in edges if T < e < T + h), T + h]
    widths = np.array([hi - lo for lo, hi in pairwise(cuts)])
    ahead = np.array([[np.searchsorted(edges, lo, side="right") - 1 for lo, _ in pairwise(cuts)]])
    here = params, log_a, log_b, laid
    value, gradient, by_log_a, by_log_b = paretonbd_dynamic.total(*here)
    plain = paretonbd_dynamic.forecast(*here, widths, ahead)
    faded = paretonbd_dynamic.forecast(*here, widths, ahead, delta, second=True)
    pmf = paretonbd_dynamic.pmf(*here, widths, ahead, 10)[0]
    return {
        "log_likelihood": paretonbd_dynamic.log_likelihoods(*here)[0],
        "total:log_likelihood": value,
        "p_alive": paretonbd_dynamic.p_alive(*here)[0],
        "log_rate": paretonbd_dynamic.log_rate(*here)[0],
        "mean": plain.mean[0],
        "expected:discounted": paretonbd_dynamic.expected(*here, widths, ahead, delta)[0],
        "discounted": faded.mean[0],
        "squares": faded.squares[0],
        "pairs": faded.pairs[0],
        "any": plain.any[0],
        **{f"pmf_{n}": pmf[n] for n in (0, 1, 3, 10)},
        **slopes(gradient),
        **{f"by_log_a_{i}": each for i, each in enumerate(by_log_a)},
        **{f"by_log_b_{i}": each for i, each in enumerate(by_log_b)},
    }


def of_gammagamma(point):
    params, x, z = gammagamma.Params(*point[:3]), np.array([float(point[3])]), np.array([point[4]])
    value, gradient, hessian = gammagamma.total(params, x, z)
    each = {"log_likelihood": gammagamma.log_likelihoods(params, x, z)[0], "total:log_likelihood": value}
    return each | slopes(gradient, hessian)


def of_credibility(point):
    """The hard grid lists the days themselves."""
    if isinstance(point[-1], list):
        days = np.array(point[-1])
        numbers = len(days), days.mean(), np.sum((days - days.mean()) ** 2), len(days) - 1
    else:
        numbers = point[5:]
    params, d = credibility.Params(*point[:4]), np.array([point[4]])
    days = credibility.Days(*(np.array([float(each)]) for each in numbers))
    value, gradient, hessian = credibility.total(params, days, d)
    mean, variance = credibility.posterior(params, days.n, days.mean, d)
    density = credibility.log_densities(params, days.n, days.mean, d)
    found = {"log_density": density[0], "log_likelihood": value, "mean": mean[0], "variance": variance[0]}
    return found | slopes(gradient, hessian)


FILES = {
    "bgnbd": ("bgnbd",),
    "mbgnbd": ("mbgnbd",),
    "bgcnbd": ("bgcnbd", "bgcnbd_slopes"),
    "nbd": ("nbd",),
    "paretonbd": ("paretonbd", "paretonbd_slopes"),
    "paretonbd_dynamic": ("paretonbd_dynamic",),
    "ggompertz": ("ggompertz", "ggompertz_slopes"),
    "bgbb": ("bgbb", "bgbb_slopes"),
    "sbg": ("sbg",),
    "bdw": ("bdw", "bdw_slopes"),
    "weibull": ("weibull",),
    "gammagamma": ("gammagamma",),
    "credibility": ("credibility",),
}
ANSWERS = {
    "bgnbd": functools.partial(purchases, bgnbd.BG),
    "mbgnbd": functools.partial(purchases, bgnbd.MBG),
    "bgcnbd": of_bgcnbd,
    "nbd": functools.partial(purchases, nbd.KERNEL),
    "paretonbd": functools.partial(purchases, paretonbd.KERNEL),
    "paretonbd_dynamic": of_dynamic,
    "ggompertz": functools.partial(purchases, ggompertz.KERNEL),
    "bgbb": of_bgbb,
    "sbg": functools.partial(of_contracts, sbg.KERNEL),
    "bdw": functools.partial(of_contracts, bdw.KERNEL),
    "weibull": functools.partial(of_contracts, bdw.DISCRETE_WEIBULL),
    "gammagamma": of_gammagamma,
    "credibility": of_credibility,
}


def is_slope(name):
    return "gradient" in name or "hessian" in name or name.startswith("by_log")


def least(name, grid, steepest):
    """The size below which an error counts as a share of this, not of the truth.

    A derivative by a logarithm is compared with 1e-3 where it is smaller: what moves the log-likelihood by less than
    that matters to nobody. At the edge some are differences of parts as large as the ``steepest`` of them. Sums of logs
    of either sign may end anywhere near 0, and count beside 1; those of a customer without purchases are chances' logs,
    and keep their digits. Below 1e-280 a float ends.
    """
    if is_slope(name):
        return 1e-3 if grid == "hard" else max(1e-4, 1e-9 * steepest)
    return 1.0 if name.split(":")[-1] in ("log_rate", "log_density") else 1e-280


def errors(model, grid, point, true):
    found = ANSWERS[model](point)
    out, steepest = {}, max(abs(value or 0.0) for name, value in true.items() if is_slope(name))
    for name, got in found.items():
        known = true.get(name.split(":")[-1])
        if known is None:
            continue
        assert np.isfinite(got), (name, point)
        size = least(name, grid, steepest)
        if name.endswith("log_likelihood") and (":" in name or bought(model, point)):
            size = 1.0
        out[name] = float(abs(got - known) / max(abs(known), size))
    return out


# Where the number of her purchases stands in a point; money has densities always.
PURCHASES_AT = {"bgnbd": 4, "mbgnbd": 4, "bgcnbd": 6, "nbd": 2, "paretonbd": 4, "ggompertz": 5}


def bought(model, point):
    """Whether the likelihood is a density, of purchase times or of money: a chance's logarithm keeps its digits."""
    if model == "paretonbd_dynamic":
        return point[4][0] >= 0  # a sum over periods, as of a base
    return point[PURCHASES_AT[model]] > 0 if model in PURCHASES_AT else model in ("gammagamma", "credibility")


def worst(model, grid, part):
    """The largest error of each quantity over some of the points, and where it is."""
    out = {}
    for point, true in truth(model)[grid][part]:
        for name, error in errors(model, grid, point, true).items():
            if error >= out.get(name, (-1.0,))[0]:
                out[name] = error, point
    return out


@pytest.mark.parametrize("model", FILES)
def test_every_quantity_has_nine_digits_where_customers_are(model):
    for name, (error, point) in worst(model, "hard", slice(None)).items():
        assert error < (1e-8 if is_slope(name) else 1e-9), (name, error, point)


def at_the_edge(model, part):
    for name, (error, point) in worst(model, "extreme", part).items():
        assert error < 1e-6, (name, error, point)


@pytest.mark.parametrize("model", FILES)
def test_nothing_is_lost_or_wrong_at_the_edge_of_the_possible(model):
    """Every ninth point; all of them is slow."""
    at_the_edge(model, slice(None, None, 9))


@pytest.mark.slow
@pytest.mark.parametrize("model", FILES)
def test_nothing_is_lost_or_wrong_at_any_point_of_the_edge(model):
    """All points; of the costly model every third, unless RETENTION_THOROUGH is set."""
    costly = model == "bgcnbd" and not os.environ.get("RETENTION_THOROUGH")
    at_the_edge(model, slice(None, None, 3 if costly else None))


@pytest.mark.parametrize("model", FILES)
def test_the_truths_are_sharp_enough_to_see_a_millionth(model):
    """A parameter off by a millionth is noticed on the hard grid, by every one of the parameters."""
    for place in [0, 1] if model != "bgcnbd" else [2, 3]:
        for point, true in truth(model)["hard"][7:9]:
            wrong = list(point)
            if model == "paretonbd_dynamic":
                wrong[0] = [value * (1 + 1e-6 * (i == place)) for i, value in enumerate(point[0])]
            else:
                wrong[place] *= 1 + 1e-6
            found = ANSWERS[model](wrong)
            off = [abs(found[n] - v) / max(abs(v), 1e-6) for n, v in true.items() if v is not None]
            assert max(off) > 1e-8


# Nothing comes in unchecked.

# What each function of a purchase kernel is checked by; the random two are by simulation, in test_every_kernel.py.
SLOPES = ["gradient_0", "hessian_00"]
PROOF = {
    "log_likelihoods": ["log_likelihood"],
    "rowwise": SLOPES,
    "total": ["log_likelihood", *SLOPES],
    "values": ["log_likelihood"],
    "prepared": ["log_likelihood", *SLOPES],
    "p_alive": ["p_alive"],
    "survival": ["survival"],
    "forecast": ["mean", "any", "discounted", "squares", "pairs", "endless", "endless_pairs"],
    "pmf": ["pmf_0", "pmf_1", "pmf_3"],
    "log_rate": ["log_rate"],
    "together": ["p_alive", "mean", "discounted", "endless"],
    "averaged": [],
    "simulate": [],
    "ahead": [],
}
PURCHASES = {
    "bgnbd": {"BG": "bgnbd", "MBG": "mbgnbd"}, "bgcnbd": {"kernel": "bgcnbd", "blended": "bgcnbd"},
    "nbd": {"KERNEL": "nbd"}, "paretonbd": {"KERNEL": "paretonbd"}, "ggompertz": {"KERNEL": "ggompertz"},
    "bgbb": {"KERNEL": "bgbb"},
}  # fmt: skip
# The functions of the other models, by the quantities that show them.
OTHERS = {
    "sbg": {"KERNEL": ("sbg", ["active", "ended", "active_hessian_00", "ended_hessian_00"])},
    "bdw": {
        "KERNEL": ("bdw", ["active", "ended", "active_hessian_00", "ended_hessian_00"]),
        "DISCRETE_WEIBULL": ("weibull", ["active", "ended", "active_hessian_00", "ended_hessian_00"]),
    },
    "contracts": {
        "log_likelihoods": ("bdw", ["active", "ended"]),
        "rowwise": ("bdw", ["active_gradient_0", "ended_hessian_00"]),
        "residual": ("bdw", ["lifetime", "discounted", "square", "endless"]),
    },
    "gammagamma": {
        "log_likelihoods": ("gammagamma", ["log_likelihood"]),
        "total": ("gammagamma", ["log_likelihood", *SLOPES]),
    },
    "credibility": {
        "log_densities": ("credibility", ["log_density"]),
        "posterior": ("credibility", ["mean", "variance"]),
        "total": ("credibility", ["log_likelihood", *SLOPES]),
    },
    "paretonbd_dynamic": {
        "log_likelihoods": ("paretonbd_dynamic", ["log_likelihood"]),
        "total": ("paretonbd_dynamic", ["gradient_0", "by_log_a_0", "by_log_b_0"]),
        "p_alive": ("paretonbd_dynamic", ["p_alive"]),
        "log_rate": ("paretonbd_dynamic", ["log_rate"]),
        "expected": ("paretonbd_dynamic", ["discounted"]),
        "forecast": ("paretonbd_dynamic", ["mean", "discounted", "squares", "pairs", "any"]),
        "pmf": ("paretonbd_dynamic", ["pmf_0", "pmf_1", "pmf_3", "pmf_10"]),
        "lay_out": ("paretonbd_dynamic", ["log_likelihood"]),
    },
}
RECORDS = {
    "contracts": {"Contractual", "Residual", "longest"}, "gammagamma": {"Params", "prepared", "shares"},
    "credibility": {"Params", "Days"}, "paretonbd_dynamic": {"NAMES", "Stretch"},
}  # fmt: skip
# ``shares`` has a grid of its own in test_gammagamma_shares.py, and ``prepared`` is held to ``total`` beside it,
# Pareto/GGG in test_paretoggg.py; the clocks and what watches for changes answer to timing and worlds, in their tests;
# the others are tools that no question is put to, with tests of their own or inside the kernels that use them.
ELSEWHERE = {
    "paretoggg", "gammagaps", "gammaquantiles", "logt", "logt_total", "cadence", "changes", "competing", "scan",
    "ensemble", "halfline", "means", "needs", "newton", "nodes", "offpolicy", "periods", "points", "pooling", "prices",
    "programme", "psis", "purchases", "qini", "quadrature", "renewal", "ridges", "rounding", "student", "uplift",
    "weeks", "wholedays",
}  # fmt: skip
# Rooms of the kernels above, whose functions answer through them.
PARTS = {
    "bgnbd_ahead", "paretonbd_ahead", "paretonbd_integrals", "paretonbd_likelihood", "paretonbd_tables",
    "paretoggg_ahead", "paretoggg_clocks", "paretoggg_grid", "paretoggg_renewals", "paretoggg_silence",
}  # fmt: skip


def known(model, names):
    """Both grids are long enough, and these quantities are true numbers on so large a share of them: without discount
    nothing is asked of an endless horizon."""
    grids = truth(model)
    assert len(grids["hard"]) >= 20
    assert len(grids["extreme"]) >= 400
    return {
        name: {
            grid: np.mean([t.get(name) is not None or (name.startswith("endless") and p[-1] == 0) for p, t in points])
            for grid, points in grids.items()
        }
        for name in names
    }


def test_no_answer_of_any_kernel_is_without_a_truth():
    """A new kernel, a new function of one, or a quantity without rows fails here."""
    modules = {each.name for each in pkgutil.iter_modules(kernels.__path__)}
    unchecked = modules - set(PURCHASES) - set(OTHERS) - ELSEWHERE - PARTS
    assert not unchecked, f"no truth for {unchecked}"
    questions = {f.name for f in dataclasses.fields(Kernel) if "Callable" in str(f.type)}
    assert questions == set(PROOF)
    for module, exports in PURCHASES.items():
        assert set(__import__(f"retention._kernels.{module}", fromlist=["x"]).__all__) == set(exports)
        for model in exports.values():
            for question, names in PROOF.items():
                for name, shares in known(model, names).items():
                    assert min(shares.values()) == 1.0, (model, question, name, shares)
    for module, exports in OTHERS.items():
        public = set(__import__(f"retention._kernels.{module}", fromlist=["x"]).__all__)
        assert public - RECORDS.get(module, set()) == set(exports), module
        for model, names in exports.values():
            assert all(share == 1.0 for shares in known(model, names).values() for share in shares.values()), module
    for model in FILES:
        point, true = truth(model)["hard"][0]
        assert {n.split(":")[-1] for n in ANSWERS[model](point)} >= {n for n, v in true.items() if v is not None}
