"""Worker for pymc-marketing (its 0.x and 1.x interfaces)."""

import warnings

import numpy as np
from measure import Customers, NotOffered, main, sums

NAMES = {
    "bg-nbd": ("BetaGeoModel", "BetaGeoNBD", ("r", "alpha", "a", "b")),
    "mbg-nbd": ("ModifiedBetaGeoModel", "ModifiedBetaGeoNBD", ("r", "alpha", "a", "b")),
    "pareto-nbd": ("ParetoNBDModel", "ParetoNBD", ("r", "alpha", "s", "beta")),
    "gamma-gamma": ("GammaGammaModel", None, ("p", "q", "v")),
    "bg-bb": ("BetaGeoBetaBinomModel", "BetaGeoBetaBinom", ("alpha", "beta", "gamma", "delta")),
    "s-bg": ("ShiftedBetaGeoModelIndividual", "ShiftedBetaGeometric", ("alpha", "beta")),
}


def prepare(job):
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    import pandas as pd
    from pymc_marketing import clv

    if job["model"] not in NAMES:
        raise NotOffered(f"has no {job['model']}")
    kind_name, _, names = NAMES[job["model"]]
    kind = getattr(clv, kind_name, None)
    task = job["task"]
    if task == "extreme":
        table = np.fromfile(job["data"]).reshape(-1, 8)
        return lambda: extreme(job["model"], kind, names, table), lambda rows: {"rows": rows}

    base = Customers(job["data"], job["unit"])
    if task == "loglik":
        function = log_likelihood(job["model"], base)
        return lambda: [float(function(np.array(p))) for p in job["params"]], lambda values: {"values": values}
    if job["model"] in ("bg-bb", "s-bg"):
        raise NotOffered(f"only the log-likelihood of {job['model']} is compared")
    if job["model"] == "gamma-gamma":
        x, spend = base.spenders()
        data = pd.DataFrame({"frequency": x, "monetary_value": spend})
    else:
        data = pd.DataFrame({"frequency": base.x, "recency": base.t_x, "T": base.T})
    data.insert(0, "customer_id", np.arange(len(data)))

    if task == "fit":
        # As a user gets it: the default priors and the point estimate.
        return lambda: fit(kind, data, "map"), lambda model: {"params": point(model, names)}
    if task == "posterior":
        chains = job.get("chains", 4)
        more = {"chains": chains, "draws": job["draws"] // chains, "tune": job.get("tune", 1000)}
        more |= {"cores": 1, "random_seed": 1, "progressbar": False}
        return lambda: fit(kind, data, "mcmc", **more), lambda model: described(model, names)
    if task == "score":
        model = at(kind, names, job["params"], data)
        if job["model"] == "gamma-gamma":
            return lambda: model.expected_customer_spend(data), lambda m: sums(spend=m)

        def work():
            alive = model.expected_probability_alive(data)
            return alive, model.expected_purchases(data, future_t=job["horizon"])

        return work, lambda both: sums(p_alive=both[0], expected=both[1])
    raise NotOffered(f"no {task} of {job['model']}")


def fit(kind, data, method, **more):
    if method == "map":
        more["progressbar"] = False
    try:
        model = kind()
        model.fit(data, method=method, **more)
    except TypeError:  # the 0.x interface
        model = kind(data)
        model.fit(method=method, **more)
    return model


def at(kind, names, params, data):
    """A model at given parameters: a posterior of one draw."""
    import xarray as xr

    one = xr.Dataset({n: (("chain", "draw"), [[float(value)]]) for n, value in zip(names, params, strict=True)})
    try:
        model = kind()
        model.build_model(data)
        model.idata = xr.DataTree.from_dict({"posterior": one})
    except TypeError:
        import arviz as az

        model = kind(data)
        model.idata = az.InferenceData(posterior=one)
    return model


def point(model, names):
    return [float(np.mean(model.fit_result[name])) for name in names]


def described(model, names):
    import arviz as az

    posterior = model.fit_result
    posterior = posterior.to_dataset() if hasattr(posterior, "to_dataset") else posterior
    ess = az.ess(posterior[list(names)])
    ess = ess.to_dataset() if hasattr(ess, "to_dataset") else ess
    return {
        "params": point(model, names),
        "sds": [float(np.std(posterior[name])) for name in names],
        "ess": min(float(ess[name]) for name in names),
    }


def log_likelihood(name, base):
    """The package's own distribution, compiled as a function of the parameters."""
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt
    from pymc_marketing.clv import distributions

    p = pt.dvector("p")
    if name == "gamma-gamma":
        return potential(base)
    kind = getattr(distributions, NAMES[name][1])
    keys = NAMES[name][2]
    params = {key: p[i] for i, key in enumerate(keys)}
    if name == "s-bg":
        left = base.t_x > 0
        dist = kind.dist(**params)
        total = pm.logp(dist, base.x[left]).sum()
        stayed = base.x[~left]
        total += pt.log1mexp(pm.logcdf(dist, stayed)).sum()
    else:
        dist = kind.dist(**params, T=base.T)
        total = pm.logp(dist, np.column_stack([base.t_x, base.x])).sum()
    return pytensor.function([p], total)


def potential(base):
    """Gamma-gamma has no distribution of its own: the likelihood term of the model's graph, without its priors."""
    import pandas as pd
    from pymc_marketing.clv import GammaGammaModel

    x, spend = base.spenders()
    data = pd.DataFrame({"customer_id": np.arange(len(x)), "frequency": x, "monetary_value": spend})
    try:
        model = GammaGammaModel()
        model.build_model(data)
    except TypeError:  # the 0.x interface
        model = GammaGammaModel(data)
        model.build_model()
    graph = model.model
    compiled = graph.compile_logp(vars=[graph["likelihood"]], jacobian=False)
    return lambda values: compiled({f"{n}_log__": np.log(v) for n, v in zip(("p", "q", "v"), values, strict=True)})


def extreme(name, kind, names, table):
    """Log-likelihood, P(alive) and expected purchases of hard customers, each at parameters of her own."""
    import pandas as pd
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt
    from pymc_marketing.clv import distributions

    p, row = pt.dvector("p"), pt.dvector("row")
    dist = getattr(distributions, NAMES[name][1])
    dist = dist.dist(**{key: p[i] for i, key in enumerate(names)}, T=row[2:3])
    total = pytensor.function([p, row], pm.logp(dist, pt.stack([row[1:2], row[0:1]], axis=1)).sum())
    answers = []
    for values in table:
        x, t_x, T, horizon = values[4:]
        one = pd.DataFrame({"customer_id": [0], "frequency": [x], "recency": [t_x], "T": [T]})
        model = at(kind, names, values[:4], one)
        works = (
            lambda v=values: total(v[:4], v[4:7]),
            lambda m=model, o=one: m.expected_probability_alive(o),
            lambda m=model, o=one, h=horizon: m.expected_purchases(o, future_t=h),
        )
        answers.append([])
        for work in works:
            try:
                answers[-1].append(float(np.squeeze(np.asarray(work()))))
            except Exception:  # counted as "no answer"
                answers[-1].append(float("nan"))
    return answers


if __name__ == "__main__":
    main(prepare)
