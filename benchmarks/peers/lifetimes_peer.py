"""Worker for lifetimes, and for its fork btyd, which kept the same fitters."""

import importlib
import warnings

import numpy as np
from measure import Customers, NotOffered, main, sums

NAMES = {
    "bg-nbd": ("BetaGeoFitter", ("r", "alpha", "a", "b")),
    "mbg-nbd": ("ModifiedBetaGeoFitter", ("r", "alpha", "a", "b")),
    "pareto-nbd": ("ParetoNBDFitter", ("r", "alpha", "s", "beta")),
    "gamma-gamma": ("GammaGammaFitter", ("p", "q", "v")),
    "bg-bb": ("BetaGeoBetaBinomFitter", ("alpha", "beta", "gamma", "delta")),
}


def prepare(job):
    import pandas as pd

    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    if job["model"] not in NAMES:
        raise NotOffered(f"has no {job['model']}")
    name, names = NAMES[job["model"]]
    kind = getattr(importlib.import_module(job["package"]), name)
    task = job["task"]

    def at(params):
        fitter = kind()
        fitter.params_ = pd.Series(params, index=list(names))
        return fitter

    if task == "extreme":
        table = np.fromfile(job["data"]).reshape(-1, 8)
        return lambda: [extreme(at(row[:4]), kind, row) for row in table], lambda rows: {"rows": rows}

    base = Customers(job["data"], job["unit"])
    if job["model"] == "gamma-gamma":
        columns = base.spenders()
    elif job["model"] == "bg-bb":
        columns = tuple(values.astype(int) for values in (base.x, base.t_x, base.T))
    else:
        columns = base.x, base.t_x, base.T

    def log_likelihood(params):
        weights = np.ones(len(columns[0]))
        if job["model"] == "pareto-nbd":
            return -float(kind._negative_log_likelihood(params, *columns, weights, 0.0))
        return -float(kind._negative_log_likelihood(np.log(params), *columns, weights, 0.0)) * len(weights)

    if task == "loglik":
        return lambda: [log_likelihood(params) for params in job["params"]], lambda values: {"values": values}
    if task == "fit":
        return lambda: kind().fit(*columns), lambda f: {"params": [float(f.params_[name]) for name in names]}
    if task == "score" and job["model"] == "gamma-gamma":
        fitter = at(job["params"])
        return lambda: fitter.conditional_expected_average_profit(*columns), lambda m: sums(spend=m)
    if task == "score" and job["model"] != "bg-bb":
        fitter = at(job["params"])

        def work():
            alive = fitter.conditional_probability_alive(*columns)
            return alive, fitter.conditional_expected_number_of_purchases_up_to_time(job["horizon"], *columns)

        return work, lambda both: sums(p_alive=both[0], expected=both[1])
    raise NotOffered("no posterior" if task == "posterior" else f"no {task} of {job['model']}")


def extreme(fitter, kind, row):
    """Log-likelihood, P(alive) and expected purchases of one hard customer; NaN for what raised."""
    params, columns = row[:4], tuple(row[4:7].reshape(3, 1))
    weight = np.ones(1)
    logs = params if kind.__name__ == "ParetoNBDFitter" else np.log(params)
    works = (
        lambda: -kind._negative_log_likelihood(logs, *columns, weight, 0.0),
        lambda: fitter.conditional_probability_alive(*columns),
        lambda: fitter.conditional_expected_number_of_purchases_up_to_time(row[7], *columns),
    )
    answers = []
    for work in works:
        try:
            answers.append(float(np.squeeze(work())))
        except Exception:  # counted as "no answer"
            answers.append(float("nan"))
    return answers


if __name__ == "__main__":
    main(prepare)
