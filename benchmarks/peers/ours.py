"""Worker for this library, through its public names; run like the workers of the peers."""

import math

import numpy as np
from measure import Customers, NotOffered, main, sums

CLASSES = {
    "bg-nbd": "BGNBD",
    "mbg-nbd": "MBGNBD",
    "pareto-nbd": "ParetoNBD",
    "nbd": "NBD",
    "bg-bb": "BGBB",
}


def recipe(job):
    from retention import value

    if job["model"] not in CLASSES:
        raise NotOffered(f"has no {job['model']}")
    kind, unit = getattr(value, CLASSES[job["model"]]), float(job["unit"])
    return kind(period_days=unit) if job["model"] == "bg-bb" else kind(time_unit_days=unit)


def at(model, params):
    return model.at(**dict(zip(model.kernel().names, params, strict=True)))


def prepare(job):
    from retention.histories import Histories

    task = job["task"]
    if task == "extreme":
        model, table = recipe(job), np.fromfile(job["data"]).reshape(-1, 8)
        return lambda: [extreme(at(model, row[:4]), row[4:]) for row in table], lambda rows: {"rows": rows}
    base = Customers(job["data"], 1.0)
    if job["model"] == "s-bg":
        return subscribers(job, base)
    ids = np.arange(len(base)).astype("U8")

    def histories(spend):
        return Histories.from_arrays(
            customer_id=ids, frequency=base.x, recency_days=base.t_x, age_days=base.T, margin_mean=spend
        )

    if job["model"] == "gamma-gamma":
        return spending(job, histories(base.spend))
    model = recipe(job)
    if task == "loglik":
        models, people = [at(model, params) for params in job["params"]], histories(np.zeros(len(base)))
        return lambda: [float(m.log_likelihoods(people).sum()) for m in models], lambda values: {"values": values}
    spend = base.spend if task == "fit with margins" else np.zeros(len(base))

    def fresh():  # a base remembers its merged cells, which would make every run but the first shorter
        return histories(spend)

    if task in ("fit", "fit with margins"):
        fit = model.fit_purchases if task == "fit" else model.fit
        tell = lambda fitted: {"params": list(fitted.purchase_params), "note": fitted.estimate.diagnosis}  # noqa: E731
        return fit, tell, fresh
    days = job["horizon"] * job["unit"]
    if task == "score":
        fitted = at(model, job["params"])
        work = lambda people: (fitted.p_alive(people), fitted.expected_purchases(people, days))  # noqa: E731
        return work, lambda both: sums(p_alive=both[0], expected=both[1]), fresh
    if task == "dert":
        fitted, rate = at(model, job["params"]), math.expm1(job["delta"] * 365 / job["unit"])
        return (
            lambda people: fitted.expected_purchases(people, math.inf, discount_rate=rate),
            lambda v: sums(dert=v),
            fresh,
        )
    if task == "posterior":
        return lambda people: model.posterior(people, draws=job["draws"], seed=1, margins=False), described, fresh
    raise NotOffered(f"no {task} of {job['model']}")


def described(posterior):
    draws = np.asarray(posterior.draws)
    return {
        "params": draws.mean(axis=0).tolist(),
        "sds": draws.std(axis=0).tolist(),
        "ess": float(posterior.ess),
        "note": f"{posterior.method}, k-hat {posterior.k_hat:.2f}",
    }


def spending(job, people):
    from retention.value import GammaGamma

    if job["task"] == "loglik":
        models = [GammaGamma().at(**dict(zip("pqv", p, strict=True))) for p in job["params"]]
        return lambda: [float(m.log_likelihoods(people).sum()) for m in models], lambda values: {"values": values}
    if job["task"] == "fit":
        return lambda: GammaGamma().fit(people), lambda fitted: {"params": [fitted.params[name] for name in "pqv"]}
    if job["task"] == "score":
        fitted, buyers = GammaGamma().at(**dict(zip("pqv", job["params"], strict=True))), people.margin_mean > 0
        return lambda: fitted.margin_mean(people), lambda m: sums(spend=m[buyers])
    raise NotOffered(f"no {job['task']} of gamma-gamma")


def subscribers(job, base):
    from retention.value import ShiftedBetaGeometric, Tenures

    if job["task"] != "loglik":
        raise NotOffered(f"no {job['task']} of s-bg")
    ended = base.t_x > 0
    people = Tenures.from_arrays(renewals=base.x - ended, ended=ended)
    models = [ShiftedBetaGeometric().at(alpha=alpha, beta=beta) for alpha, beta in job["params"]]
    return lambda: [float(m.log_likelihoods(people).sum()) for m in models], lambda values: {"values": values}


def extreme(fitted, row):
    """Log-likelihood, P(alive) and expected purchases of one hard customer; times in days that are the time unit."""
    from retention.histories import Histories

    x, t_x, T, horizon = row
    one = Histories.from_arrays(frequency=[x], recency_days=[t_x], age_days=[T])
    answers = fitted.log_likelihoods(one), fitted.p_alive(one), fitted.expected_purchases(one, horizon)
    return [float(values[0]) for values in answers]


if __name__ == "__main__":
    main(prepare)
