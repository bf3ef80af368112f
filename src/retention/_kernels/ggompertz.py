r"""The gamma-Gompertz / NBD (Bemmaor and Glady 2012, Management Science 58(5), 1012-1021).

While she is a customer she buys at her own constant rate, gamma(r, alpha) over customers. Her lifetime is Gompertz:
her hazard of leaving is eta b e^{b t}, with one b > 0 for all and eta gamma(s, beta) over customers, so that in the
population P(lifetime > t) = (beta / (beta - 1 + e^{b t}))^s. ``beta`` is a pure number, ``b`` a rate.

**Limit.** For b -> 0 with beta / b = B held, e^{b t} - 1 = b t + O(b^2) and the survival tends to (B / (B + t))^s: the
Pareto/NBD with parameters (r, alpha, s, B), from which it differs by terms of order b T. Data that prefer a Pareto
lifetime leave b without a maximum: any small b with beta proportional to it fits as well.

**Likelihood** (their equation 10), with k = r + x:

    L = G(k) / G(r) alpha^r [ (alpha+T)^{-k} S(T) + \int_{t_x}^T (alpha+t)^{-k} f(t) dt ]
      = G(k) / G(r) alpha^r [ \int_{t_x}^\infty (alpha+t)^{-k} f(t) dt + \int_T^\infty k (alpha+t)^{-k-1} S(t) dt ]:

after ``t_x`` the next event is that she leaves, or it is a purchase later than T. Both terms are positive, the first
knows x and t_x only and the second x and T only, so that ``total`` integrates over distinct pairs. Seen from t the
lifetime that remains is gamma-Gompertz again, with 1/g(t) = beta e^{-b t} + 1 - e^{-b t} for beta. Every integral
here is over a waiting time d with a product of (1 + d / (alpha+t))^{-k} and (1 + g (e^{b d} - 1))^{-s} in it, by the
rule of ``halfline``; derivatives are exact, under the integral. Digits are lost only where the log-gammas lose them
(r above 1e4) and where b T in the thousands meets s in the thousands (the log-likelihood itself is then 1e8).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, polygamma, psi

from retention._kernels.halfline import waits
from retention._kernels.purchases import Ahead, Cells, Derivatives, Forecast, Kernel, Params, Rows, Total, value_only

__all__ = ["KERNEL"]

Floats = NDArray[np.float64]

_ENDLESS = 45.0  # e^-45 is below the last digit of a float
_FINE, _ROUGH = 0.20, 0.55  # spacing of the rule for integrands without a sharp knee


class _State(NamedTuple):
    """A customer seen from a time t: A = alpha + t, g(t), 1 - g(t), and H = -ln S(t) / s."""

    k: Floats
    A: Floats
    b: Floats
    s: Floats
    g: Floats
    rest: Floats
    H: Floats

    def take(self, rows: Any) -> "_State":
        return _State(*(np.broadcast_to(each, self.g.shape)[rows][:, None] for each in self))


def _spread(params: Params, n: int) -> list[Floats]:
    return [np.broadcast_to(np.asarray(p, dtype=np.float64), (n,)) for p in params]


def _state(params: Params, x: Floats, t: Floats) -> _State:
    r, alpha, b, s, beta = _spread(params, len(x))
    fade = np.exp(-b * t)
    inverse = beta * fade - np.expm1(-b * t)
    early = b * t < 1
    with np.errstate(over="ignore", invalid="ignore"):
        H = np.where(early, np.log1p(np.expm1(np.minimum(b * t, 1.0)) / beta), b * t + np.log(inverse) - np.log(beta))
    return _State(r + x, alpha + t, b, s, 1 / inverse, (beta - 1) * fade / inverse, H)


def _reach(state: _State, depth: Floats | float) -> Floats:
    """The wait after which (1 + g (e^{b d} - 1))^{-s} has fallen to e^-depth."""
    q = np.minimum(depth / state.s, 1e8)
    log_growth = np.where(q < 30, np.log(np.expm1(np.minimum(q, 30.0))), q) - np.log(state.g)
    return np.asarray(np.logaddexp(0.0, log_growth) / state.b)


def _step(state: _State, end: Floats, base: float) -> Floats:
    """Spacing: finer where the hazard of leaving still grows exponentially within reach, a knee on a log scale."""
    knee = np.minimum(state.b * end, np.maximum(np.log(np.maximum(1 / state.g - 1, 1.0)) + 3.0, 0.0))
    return np.asarray(base * np.arctan2(1.5, np.maximum(knee - 0.5, 0.0)) / (np.pi / 2))


def _fall(state: _State, d: Floats) -> tuple[Floats, Floats, Floats]:
    """(ln(1 + d/A), Lambda = -ln(survival of d) / s, Q) with the hazard of leaving s b g / Q."""
    y = state.b * d
    log_Q = np.log1p((state.g - 1) * -np.expm1(-y))
    return np.log1p(d / state.A), y + log_Q, np.exp(log_Q)


def _tail(params: Params, x: Floats, t: Floats, leaving: bool, order: int = 0) -> tuple[Floats, Floats, Floats]:
    r"""ln P(her next event after t is that she leaves), or that it is a purchase, seen from a silence until t.

    That is \int_t^\infty (alpha+u)^{-k} f(u) du, or \int_t^\infty k (alpha+u)^{-k-1} S(u) du, over (alpha+t)^{-k} S(t).
    The first (``order`` 1) and second (2) derivatives, by log-parameters, are of alpha^k times the integral itself.
    """
    n = len(x)
    r, alpha, *_ = _spread(params, n)
    state = _state(params, x, t)
    hazard, rate = state.s * state.b * state.g, state.k / state.A
    ratio = rate / hazard if leaving else hazard / rate
    depth = _ENDLESS + np.log1p(ratio)
    lasting = state.A * np.expm1(np.minimum(depth / state.k, 600.0))
    end = np.minimum(lasting, _reach(state, depth))
    scale = 1 / ((1 + state.k) / state.A + (1 + state.s) * state.b * state.g + state.b)
    value, first, second = np.empty(n), np.zeros((5, n if order else 0)), np.zeros((5, 5, n if order > 1 else 0))
    for rows, d, w in waits(scale, end, step=_step(state, end, _FINE), closed=False):
        at = state.take(rows)
        l, fallen, Q = _fall(at, d)
        density = w * np.exp(-at.k * l - at.s * fallen) * (1 / Q if leaving else 1 / (at.A + d))
        mass = np.einsum("nj->n", density)
        value[rows] = np.log(mass)
        if not order:
            continue
        p = density / mass[:, None]
        rr, al, ta = r[rows][:, None], alpha[rows][:, None], t[rows][:, None]
        c = 1.0 if leaving else 0.0
        ln = np.log1p(ta / al) + l
        late = (ta + d) / (al + ta + d)
        early = al / (al + ta + d)
        Y = at.b * (ta + d)
        q = at.g / Q
        r_ = at.rest * np.exp(-at.b * d) / Q
        total = at.H + fallen
        left = np.exp(-total)  # beta / (beta + e^{b u} - 1)
        one = np.ones_like(d)
        g = np.stack([
            -rr * ln + (1 - c) * rr / at.k * one,
            at.k * late - (1 - c) * early,
            c * (1 + Y * r_) - at.s * Y * q,
            c - at.s * total,
            at.s * -np.expm1(-total) - c * left,
        ])  # fmt: skip
        mean = np.einsum("inj,nj->in", g, p)
        first[:, rows] = mean
        if order == 1:
            continue
        sigma = at.s + c
        spread = g - mean[:, :, None]
        H = np.einsum("inj,knj,nj->ikn", spread, spread, p, optimize=True)
        H[0, 0] += mean[0] - ((1 - c) * (rr / at.k) ** 2)[:, 0]
        cross = np.einsum("nj,nj->n", p, rr * late)
        H[0, 1] += cross
        H[1, 0] += cross
        H[1, 1] -= np.einsum("nj,nj->n", p, (at.k + 1 - c) * late * early)
        H[2, 2] += np.einsum("nj,nj->n", p, c * Y * r_ - at.s * Y * q - sigma * Y**2 * q * r_)
        cross = np.einsum("nj,nj->n", p, at.s * Y * q)
        H[2, 3] -= cross
        H[3, 2] -= cross
        cross = np.einsum("nj,nj->n", p, sigma * Y * q * left)
        H[2, 4] += cross
        H[4, 2] += cross
        H[3, 3] += mean[3] - c
        cross = np.einsum("nj,nj->n", p, at.s * -np.expm1(-total))
        H[3, 4] += cross
        H[4, 3] += cross
        H[4, 4] -= np.einsum("nj,nj->n", p, sigma * left * -np.expm1(-total))
        second[:, :, rows] = H
    value += np.log(state.s) + np.log(state.b) + np.log(state.g) if leaving else np.log(state.k)
    return value, first, second


def _ends(params: Params, rows: Rows, order: int = 0, *, distinct: bool = False) -> tuple[Any, Any]:
    """Leaving after t_x and buying after T, the first moved to the scale of the second; distinct pairs only once."""
    ends = []
    for t, leaving in ((rows.t_x, True), (rows.T, False)):
        if distinct:
            pairs, which = np.unique(np.stack([rows.x, t]), axis=1, return_inverse=True)
            found = _tail(params, pairs[0], pairs[1], leaving, order)
            ends.append(tuple(each[..., which.ravel()] if each.shape[-1] else each for each in found))
        else:
            ends.append(_tail(params, rows.x, t, leaving, order))
    then = _state(params, rows.x, rows.t_x)
    l, fallen, _ = _fall(then, rows.T - rows.t_x)
    gone, later = ends
    return (gone[0] + then.k * l + then.s * fallen, *gone[1:]), later


def _value(params: Params, rows: Rows, gone: Floats, later: Floats) -> Floats:
    r, alpha, *_ = _spread(params, len(rows.x))
    now = _state(params, rows.x, rows.T)
    front = gammaln(now.k) - gammaln(r) - rows.x * np.log(alpha)
    value = np.asarray(front - now.k * np.log1p(rows.T / alpha) - now.s * now.H + np.logaddexp(gone, later))
    value[(rows.x == 0) & (rows.T == 0)] = 0.0
    sure = (rows.x == 0) & (rows.T > 0) & (value > -0.5)
    if np.any(sure):  # one less the chance of a purchase, since the logarithm of nearly one has lost its digits
        fresh = _state([each[sure] for each in _spread(params, len(rows.x))], rows.x[sure], rows.t_x[sure])
        bought = _stays(fresh, rows.T[sure], 0.0, _FINE, ("any",))["any"] * fresh.k / fresh.A
        value[sure] = np.log1p(-bought)
    return value


def log_likelihoods(params: Params, rows: Rows) -> Floats:
    """Log-likelihood of each customer: the two-term form, added in logs."""
    gone, later = _ends(params, rows)
    return _value(params, rows, gone[0], later[0])


def _joined(params: Params, rows: Rows, gone: Any, later: Any) -> Derivatives:
    """Values, gradients and Hessians from those of the two terms, row by row."""
    n = len(rows.x)
    r, *_ = _spread(params, n)
    k, x = r + rows.x, rows.x
    values = _value(params, rows, gone[0], later[0])
    odds = np.clip(later[0] - gone[0], -700.0, 700.0)
    share, rest = 1 / (1 + np.exp(odds)), 1 / (1 + np.exp(-odds))
    apart = gone[1] - later[1]
    # From the likelier term on: the other's derivatives may be as large as b T where it is impossible.
    surely = share > 0.5
    first = np.where(surely, gone[1] - rest * apart, later[1] + share * apart)
    further = gone[2] - later[2]
    second = np.where(surely, gone[2] - rest * further, later[2] + share * further)
    second += share * rest * np.einsum("in,jn->ijn", apart, apart)
    slope = r * (psi(k) - psi(r))
    first[0] += slope
    first[1] -= x
    second[0, 0] += slope + r**2 * (polygamma(1, k) - polygamma(1, r))
    return values, first, second


def rowwise(params: Params, rows: Rows) -> Derivatives:
    """Values, gradients and Hessians by log-parameters, row by row."""
    return _joined(params, rows, *_ends(params, rows, 2))


def total(params: Params, cells: Cells) -> Total:
    """The weighted sum with its derivatives; each distinct (x, t_x) and (x, T) is integrated once."""
    w = cells.weight
    values, first, second = _joined(params, cells.rows, *_ends(params, cells.rows, 2, distinct=True))
    value = float(np.einsum("n,n->", w, values))
    return value, np.einsum("n,in->i", w, first), np.einsum("n,ijn->ij", w, second)


def _distinct(params: Params, rows: Rows) -> Floats:
    gone, later = _ends(params, rows, distinct=True)
    return _value(params, rows, gone[0], later[0])


def p_alive(params: Params, rows: Rows) -> Floats:
    """Probability of still being a customer at T."""
    gone, later = _ends(params, rows)
    return np.asarray(np.minimum(np.exp(-np.logaddexp(gone[0], later[0])), 1.0))


def _p_gone(params: Params, rows: Rows, alive: Floats) -> Floats:
    """1 - ``alive``, with all its digits where it is small: the integral over the moments at which she left."""
    out = 1 - alive
    then = _state(params, rows.x, rows.t_x)
    span = rows.T - rows.t_x
    out[span == 0] = 0.0
    near = np.flatnonzero((out < 0.5) & (span > 0))
    if len(near):
        then = _State(*(np.broadcast_to(each, span.shape)[near] for each in then))
        l, fallen, _ = _fall(then, span[near])
        scale = 1 / ((1 + then.k) / then.A + (1 + then.s) * then.b * then.g + then.b)
        for some, d, w in waits(scale, span[near], step=_step(then, span[near], _FINE), closed=True):
            at = then.take(some)
            lapse, lost, Q = _fall(at, d)
            left = w * np.exp(-at.k * (lapse - l[some, None]) - at.s * (lost - fallen[some, None])) / Q
            out[near[some]] = alive[near[some]] * np.einsum("nj->n", left * at.s * at.b * at.g)
    return out


def survival(params: Params, rows: Rows, ahead: float) -> Floats:
    """P(still a customer ``ahead`` after T): her remaining lifetime does not depend on her purchases."""
    now = _state(params, rows.x, rows.T)
    _, fallen, _ = _fall(now, np.full(len(rows.x), float(ahead)))
    return np.asarray(p_alive(params, rows) * np.exp(-now.s * fallen))


def _stays(
    now: _State, horizon: Floats | float, delta: float, base: float, wants: tuple[str, ...]
) -> dict[str, Floats]:
    r"""Integrals over (0, horizon] for a customer who is there: see ``forecast``."""
    n = len(now.g)
    slow = delta if delta > 0 else 0.0
    end = np.minimum(_reach(now, 2 * _ENDLESS), horizon)
    if slow > 0:
        end = np.minimum(end, 2 * _ENDLESS / slow)
    scale = 1 / ((1 + now.k) / now.A + (1 + now.s) * now.b * now.g + now.b + slow)
    out = {want: np.zeros(n) for want in wants}
    for rows, d, w in waits(scale, end, step=_step(now, end, base), closed=True):
        at = now.take(rows)
        l, fallen, _ = _fall(at, d)
        there = w * np.exp(-at.s * fallen)
        fade = slow * d
        for want in wants:
            if want == "mean":
                f = there * np.exp(-fade)
            elif want == "squares":
                f = there * np.exp(-2 * fade)
            elif want == "pairs":
                f = there * d * np.exp(-fade) * np.where(fade > 1e-12, -np.expm1(-fade) / np.maximum(fade, 1e-12), 1.0)
            else:
                f = there * np.exp(-(at.k + 1) * l)
            out[want][rows] = np.einsum("nj->n", f)
    return out


def forecast(
    params: Params, rows: Rows, horizon: float, delta: float = 0.0, second: bool = False, rough: bool = False
) -> Forecast:
    r"""Purchases in ``(T, T + horizon]``, discounted at ``delta``; with S the survival of what remains from T,

    mean  = P(alive) k / A \int_0^h e^{-delta v} S(v) dv
    pairs = P(alive) k (k+1) / A^2 \int_0^h 2 e^{-delta v} (1 - e^{-delta v}) / delta S(v) dv
    any   = P(alive) \int_0^h k / A (1 + v/A)^{-k-1} S(v) dv
    """
    n = len(rows.x)
    if horizon <= 0 or n == 0:
        return Forecast(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n))
    now = _state(params, rows.x, rows.T)
    alive = p_alive(params, rows)
    wants = ("mean", "any", "squares", "pairs") if second else ("mean", "any")
    found = _stays(now, horizon, delta, _ROUGH if rough else _FINE, wants)
    rate = alive * now.k / now.A
    squares = rate * found["squares"] if second else np.zeros(n)
    pairs = 2 * rate * (now.k + 1) / now.A * found["pairs"] if second else np.zeros(n)
    return Forecast(rate * found["mean"], squares, pairs, np.minimum(rate * found["any"], alive))


def pmf(params: Params, rows: Rows, horizon: float, most: int) -> Floats:
    """P(0 .. ``most`` purchases in the horizon): negative binomial until she leaves, averaged over when."""
    n = len(rows.x)
    out = np.zeros((n, most + 1))
    if horizon <= 0 or n == 0:
        out[:, 0] = 1.0
        return out
    alive = p_alive(params, rows)
    out[:, 0] = _p_gone(params, rows, alive)
    now = _state(params, rows.x, rows.T)
    counts = np.arange(most + 1)
    lift = gammaln(now.k[:, None] + counts) - gammaln(now.k)[:, None] - gammaln(counts + 1.0)
    end = np.full(n, float(horizon))
    _, fallen, _ = _fall(now, end)
    log_bought, log_silent = -np.log1p(now.A / end), -np.log1p(end / now.A)
    stays = lift + counts * log_bought[:, None] + (now.k * log_silent - now.s * fallen)[:, None]
    out += alive[:, None] * np.exp(stays)
    scale = 1 / ((1 + now.k) / now.A + (1 + now.s) * now.b * now.g + now.b)
    step = np.minimum(_step(now, end, _FINE), 0.6 / np.sqrt(1 + np.minimum(now.k, most)))
    for some, d, w in waits(scale, end, step=step, closed=True):
        at = now.take(some)
        l, fallen, Q = _fall(at, d)
        leaves = w * np.exp(-at.s * fallen) * (at.s * at.b * at.g / Q) * alive[some][:, None]
        log_bought, log_silent = -np.log1p(at.A / d), -at.k * l
        for j in counts:
            out[some, j] += np.einsum("nj,nj->n", leaves, np.exp(lift[some, j][:, None] + j * log_bought + log_silent))
    return np.minimum(out, 1.0)


def log_rate(params: Params, rows: Rows) -> Floats:
    """Posterior mean of the log of her purchase rate: psi(k) less the mean of ln(alpha + the time she was there)."""
    r, alpha, *_ = _spread(params, len(rows.x))
    gone, later = _ends(params, rows, 1)
    share = 1 / (1 + np.exp(np.clip(later[0] - gone[0], -700.0, 700.0)))
    return np.asarray(psi(r + rows.x) - np.log(alpha) + (share * gone[1][0] + (1 - share) * later[1][0]) / r)


def simulate(params: Params, T: Floats, rng: np.random.Generator) -> Rows:
    """Customers as the model makes them, watched for ``T`` from their first purchase."""
    n = len(T)
    r, alpha, b, s, beta = _spread(params, n)
    rate = rng.gamma(r) / alpha
    eta = np.maximum(rng.gamma(s) / beta, 1e-300)
    life = np.logaddexp(0.0, np.log(rng.exponential(size=n)) - np.log(eta)) / b
    there = np.minimum(life, T)
    x = rng.poisson(rate * there).astype(np.float64)
    last = np.where(x > 0, there * rng.random(n) ** (1 / np.maximum(x, 1.0)), 0.0)
    return Rows(x, last, np.asarray(T, dtype=np.float64), np.zeros(n))


def ahead(params: Params, rows: Rows, horizon: float, delta: float, rng: np.random.Generator) -> Ahead:
    """One future per customer: draw whether she is there, her rate and her hazard of leaving, then let her buy."""
    n = len(rows.x)
    now = _state(params, rows.x, rows.T)
    h = min(horizon, _ENDLESS / delta) if delta > 0 else horizon
    there = rng.random(n) < p_alive(params, rows)
    rate = rng.gamma(now.k) / now.A
    # Given that she is there, eta e^{b T} is gamma(s, 1/g): the hazard that she has reached, over b.
    reached = np.maximum(rng.gamma(now.s) * now.g, 1e-300)
    life = np.logaddexp(0.0, np.log(rng.exponential(size=n)) - np.log(reached)) / now.b
    until = np.where(there, np.minimum(life, h), 0.0)
    counts = rng.poisson(rate * until)
    expected = np.where(there, rate * _gompertz(now.b, reached, h, delta), 0.0)
    owner = np.repeat(np.arange(n), counts)
    discounted = np.bincount(owner, np.exp(-delta * until[owner] * rng.random(len(owner))), n)
    return Ahead(counts.astype(np.float64), discounted.astype(np.float64), expected)


def _gompertz(b: Floats, reached: Floats, h: float, delta: float) -> Floats:
    r"""\int_0^h e^{-delta v - reached (e^{b v} - 1)} dv."""
    end = np.minimum(np.logaddexp(0.0, np.log(_ENDLESS) - np.log(reached)) / b, h)
    out = np.empty(len(b))
    knee = b * end
    step = _FINE * np.arctan2(1.5, np.maximum(knee - 0.5, 0.0)) / (np.pi / 2)
    for some, d, w in waits(1 / (b * (1 + reached) + delta), end, step=step, closed=True):
        rise = np.expm1(b[some][:, None] * d)
        out[some] = np.einsum("nj->n", w * np.exp(-delta * d - reached[some][:, None] * rise))
    return out


KERNEL = Kernel(
    names=("r", "alpha", "b", "s", "beta"),
    time_power=(0, 1, -1, 0, 0),
    log_likelihoods=log_likelihoods,
    rowwise=rowwise,
    total=total,
    values=value_only(_distinct),
    p_alive=p_alive,
    survival=survival,
    forecast=forecast,
    pmf=pmf,
    log_rate=log_rate,
    simulate=simulate,
    ahead=ahead,
)
