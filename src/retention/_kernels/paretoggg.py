r"""The Pareto/GGG (Platzer and Reutterer 2016, Marketing Science 35(5), 779-799), by quadrature instead of MCMC.

While she is a customer the gaps between her purchases are gamma(k, k lambda): mean 1/lambda, and the more regular the
larger k. Over customers k is gamma(t, gamma), lambda gamma(r, alpha), and her exponential lifetime has a rate that is
gamma(s, beta). k = 1 for all (t = gamma to infinity) is the Pareto/NBD. Besides x, t_x and T the model reads the sum
of the logs of her gaps.

**Given k**, rate and lifetime integrate by hand. With a = r + k x, A = alpha + k t_x, H = T - t_x, the density p of her
next gap (``gammagaps``), S(t) = (beta / (beta+t))^s and R(h) = S(t_x + h) / S(t_x),

    L(k) = [density of her gaps] S(t_x) W,   W = P(gap > H) + \int_0^H p(h) (1 - R(h)) dh
         = \int_0^\infty p (1 - R) dh + \int_H^\infty p R dh :

nothing was seen since t_x because no purchase was due, or because she left before it was. Where most of p lies above H,
W = 1 - \int_0^H p R dh is used instead, which loses nothing there. In v = ln(k h / A) all integrands are smooth and
log-concave. **Over k** the trapezoidal rule in ln k, on a fixed grid for each x, skipping what is 1e-16 of the rest.
Derivatives are exact, under both integrals.

**Forecasts.** Given k, the n-th purchase from now falls at T + v with density

    BP_{nk, a}(H + v) P(Beta(k, (n-1) k) > H / (H + v)) / P(gap > H)

(n gaps that add up to H + v, the first of them longer than H), BP_{m, a} the density of A/k times a beta-prime(m, a).
Each term is integrated over v against survival and discount; the sum over n is exact up to 48 purchases and a
Gauss-Legendre rule over n beyond that. Reached accuracy, relative: log-likelihood 1e-9 (of a nat if small), P(alive)
and survival 1e-9 where they are above 1e-12; forecasts 1e-6, ``pairs`` 2e-3 when discounted, ``rough`` 2e-3.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, gammaln, polygamma, psi

from retention._kernels import gammagaps
from retention._kernels.gammagaps import softplus
from retention._kernels.halfline import waits
from retention._kernels.purchases import Ahead, Derivatives, Forecast, Kernel, Params, Rows, summed, value_only
from retention._kernels.quadrature import legendre

__all__ = ["KERNEL"]

Floats = NDArray[np.float64]
Where = NDArray[np.intp]

_ENDLESS = 45.0  # e^-45 is below the last digit of a float
_STEP = 0.28  # of the trapezoidal rule in v, for singularities at least pi / 2 away
_BLOCK = 32_768  # nodes at a time
_MANY = 48  # purchases ahead that are summed one by one


class _Pairs(NamedTuple):
    """Customers times the values of k that matter for them, flat: ``row`` is the customer, ascending."""

    row: Where
    begins: Where
    log_weight: Floats  # prior of k, density of the gaps, spacing of the grid
    k: Floats
    x: Floats
    t_x: Floats
    H: Floats
    r: Floats
    alpha: Floats
    s: Floats
    beta: Floats
    a: Floats
    A: Floats

    def take(self, some: Any) -> "_Pairs":
        taken: list[Any] = [each if name == "begins" else each[some] for name, each in self._asdict().items()]
        return _Pairs(*taken)

    def v(self, h: Floats) -> Floats:
        """ln(k h / A), -inf for a wait of 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.k * h / self.A))

    def sums(self, values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(values, self.begins, axis=-1))


def _spread(params: Params, n: int) -> list[Floats]:
    return [np.broadcast_to(np.asarray(p, dtype=np.float64), (n,)) for p in params]


def _pairs(params: Params, rows: Rows, *, wide: float = 1.0, depth: float = 42.0) -> _Pairs:
    """The values of k, on a grid in ln k whose spacing depends on x, that weigh more than e^-depth of the heaviest."""
    n = len(rows.x)
    t, gamma, r, alpha, s, beta = _spread(params, n)
    step = wide * 0.3 * 0.5 ** np.ceil(np.log2(np.maximum(0.3 / 0.85 * np.sqrt(t + rows.x), 1.0)))
    found: list[tuple[Where, Floats, Floats]] = []

    def weights(some: Where, grid: Floats, k: Floats) -> Floats:
        at = [each[some][:, None] for each in (rows.x, rows.t_x, rows.log_gaps, r, alpha)]
        prior = t[some][:, None] * grid - gamma[some][:, None] * k
        # As k falls to 0 the chance of a silence falls like k; it is not in the density of the gaps.
        return np.asarray(prior + gammagaps.likelihood(k, *at))

    for h in np.unique(step):
        same = np.flatnonzero(step == h)
        for start in range(0, len(same), 256):
            some = same[start : start + 256]
            top = float(
                np.log((t[some] + rows.x[some] + 60 + 10 * np.sqrt(t[some] + rows.x[some])) / gamma[some]).max()
            )
            coarse = np.arange(-60.0, max(top, 1.0), min(2 * h, 0.5))
            seen = weights(some, coarse, np.exp(coarse)) + np.minimum(coarse, 0.0)
            inside = np.flatnonzero(np.any(seen > seen.max(axis=1)[:, None] - depth - 3, axis=0))
            low, high = coarse[max(inside[0] - 1, 0)], coarse[min(inside[-1] + 1, len(coarse) - 1)]
            fine = np.arange(np.floor(low / h), np.ceil(high / h) + 1) * h
            k = np.exp(fine)
            heavy = weights(some, fine, k)
            proxy = heavy + np.minimum(fine, 0.0)
            i, j = np.nonzero(proxy > proxy.max(axis=1)[:, None] - depth)
            found.append((some[i], k[j], heavy[i, j] + np.log(h)))
    row, k, weight = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.argsort(row, kind="stable")
    row, k, weight = row[order], k[order], weight[order]
    begins = np.searchsorted(row, np.arange(n))
    weight = weight + (t * np.log(gamma) - gammaln(t))[row]
    x, t_x = rows.x[row], rows.t_x[row]
    return _Pairs(
        row,
        begins,
        weight,
        k,
        x,
        t_x,
        (rows.T - rows.t_x)[row],
        r[row],
        alpha[row],
        s[row],
        beta[row],
        r[row] + k * x,
        alpha[row] + k * t_x,
    )


def _sigmoid(v: Floats) -> Floats:
    small = np.exp(-np.abs(v))
    return np.asarray(np.where(v >= 0, 1.0, small) / (1.0 + small))


def _slope_gone(q: Floats, s: Floats, sigma: Floats) -> Floats:
    """d/dv ln(1 - e^-q) for q = s softplus(v - v_B)."""
    return np.asarray(s * sigma * np.exp(-q) / np.maximum(-np.expm1(-q), 1e-300))


def _gone_window(p: _Pairs, v_B: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """(mode, low, high, curvature) of the log-concave density(v) (1 - R)."""
    k, a, s = p.k, p.a, p.s

    def slope(v: Floats) -> Floats:
        return np.asarray(k - (k + a) * _sigmoid(v) + _slope_gone(s * softplus(v - v_B), s, _sigmoid(v - v_B)))

    def height(v: Floats) -> Floats:
        q = s * softplus(v - v_B)
        return np.asarray(k * v - (k + a) * softplus(v) + np.log(np.maximum(-np.expm1(-q), 1e-300)))

    low = np.log(k / a)
    high = np.maximum(np.maximum(low, v_B), 0.0) + 2 + 2.4 / a
    for _ in range(22):
        middle = (low + high) / 2
        up = slope(middle) > 0
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    mode = (low + high) / 2
    peak = height(mode)
    bend = np.maximum((slope(mode - 1e-3) - slope(mode + 1e-3)) / 2e-3, 0.0)
    # Newton from outside: monotone, for the height is concave.
    low = np.minimum((peak - _ENDLESS + v_B - np.log(s)) / (k + 1), mode - 1)
    high = np.maximum((_ENDLESS - peak) / a, mode + 1)
    for _ in range(7):
        low = np.minimum(low - (height(low) - peak + _ENDLESS) / np.maximum(slope(low), 1e-12), mode - 1e-3)
        high = np.maximum(high - (height(high) - peak + _ENDLESS) / np.minimum(slope(high), -1e-12), mode + 1e-3)
    return mode, low, high, bend


def _lines(p: _Pairs, v_B: Floats) -> Iterator[tuple[Where, Floats, Floats]]:
    """(positions, nodes, weights) for integrals of density (1 - R) over all v; far tails are taken in long strides."""
    mode, low, high, bend = _gone_window(p, v_B)
    left = np.minimum(np.minimum(v_B, 0.0), mode) - 4
    right = np.maximum(np.maximum(v_B, 0.0), mode) + 4
    first = np.where(low > left, low, left - np.log1p(np.maximum(left - low, 0.0)))
    last = np.where(high < right, high, right + np.log1p(np.maximum(high - right, 0.0)))
    step = 1 / np.sqrt(_STEP**-2 + 1.9 * bend)
    sizes = 16 * np.ceil((last - first) / step / 16 + 0.1).astype(np.intp)
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        many = max(1, _BLOCK // int(size))
        for start in range(0, len(of_size), many):
            some = of_size[start : start + many]
            s = (last - first)[some] / (size - 1)
            z = first[some][:, None] + s[:, None] * np.arange(size)
            up, down = np.exp(z - right[some][:, None]), np.exp(left[some][:, None] - z)
            yield some, z + up - down, s[:, None] * (1 + up + down)


def _after(p: _Pairs, v_H: Floats, v_B: Floats, power: float = 1.0) -> Iterator[tuple[Where, Floats, Floats]]:
    """(positions, nodes, weights) for integrals of density R over v > v_H, which is to the right of the bulk."""
    k, a, s = p.k, p.a, p.s
    here, here_B = softplus(v_H), softplus(v_H - v_B)
    end = (_ENDLESS + (k + a) * (here - v_H)) / a
    for _ in range(7):
        v = v_H + end
        E = -k * end + (k + a) * (softplus(v) - here) + s * (softplus(v - v_B) - here_B)
        steep = -k + (k + a) * _sigmoid(v) + s * _sigmoid(v - v_B)
        end = np.maximum(end - (E - _ENDLESS) / np.maximum(steep, 1e-12), 1e-12)
    sigma = _sigmoid(v_H)
    slope = np.abs((k + a) * sigma - k) + s * _sigmoid(v_H - v_B)
    scale = 1 / (slope + np.sqrt((k + a) * sigma * (1 - sigma)) + 0.5)
    knee = np.minimum(np.maximum(np.maximum(-v_H, v_B - v_H - np.log(np.maximum(s, 1.0))), 0.0), end)
    for some, d, w in waits(scale, end, step=0.15 * np.arctan2(1.5, knee) / (np.pi / 2), closed=False):
        yield some, v_H[some][:, None] + d, w


def _before(p: _Pairs, v_H: Floats, v_B: Floats) -> Iterator[tuple[Where, Floats, Floats]]:
    """(positions, nodes, weights) for integrals of density R over v < v_H, which is to the left of the bulk."""
    k, a, s = p.k, p.a, p.s
    here = softplus(v_H)
    end = (_ENDLESS + (k + a) * here) / k
    for _ in range(7):
        E = k * end - (k + a) * (here - softplus(v_H - end))
        end = np.maximum(end - (E - _ENDLESS) / np.maximum(k - (k + a) * _sigmoid(v_H - end), 1e-12), 1e-12)
    sigma, sigma_B = _sigmoid(v_H), _sigmoid(v_H - v_B)
    slope = np.abs(k - (k + a) * sigma) + s * sigma_B
    scale = 1 / (slope + np.sqrt((k + a) * sigma * (1 - sigma)) + 0.5)
    knee = np.minimum(np.maximum(np.maximum(v_H, v_H - v_B + np.log1p(s / k)), 0.0), end)
    for some, d, w in waits(scale, end, step=0.15 * np.arctan2(1.5, knee) / (np.pi / 2), closed=False):
        yield some, v_H[some][:, None] - d, w


def _part(p: _Pairs, v_B: Floats, nodes: Any, gone: bool, order: int, out: tuple[Floats, Floats, Floats]) -> None:
    """Add the integral of density (1 - R), or of density R, and its derivatives by ln (r, alpha, s, beta)."""
    value, first, second = out
    for some, v, w in nodes:
        at = p.take(some)
        k, a, s = at.k[:, None], at.a[:, None], at.s[:, None]
        sp = softplus(v)
        ell = softplus(v - v_B[some][:, None])
        q = s * ell
        mass = w * np.exp(k * v - (k + a) * sp - betaln(k, a)) * (-np.expm1(-q) if gone else np.exp(-q))
        value[some] += np.einsum("nj->n", mass)
        if not order:
            continue
        r = at.r[:, None]
        theta, tau = (at.alpha / at.A)[:, None], (at.beta / (at.beta + at.t_x))[:, None]
        eta = theta * _sigmoid(-v)
        sigma = _sigmoid(v - v_B[some][:, None])
        omega = tau * sigma
        e = np.exp(-q) / np.maximum(-np.expm1(-q), 1e-300) if gone else -np.ones_like(q)
        known = psi(a + k) - psi(a)
        g = np.stack([r * (known - sp), a * theta - (k + a) * eta, e * q, -e * s * omega])
        first[:, some] += np.einsum("inj,nj->in", g, mass)
        if order == 1:
            continue
        H = np.einsum("inj,knj,nj->ikn", g, g, mass, optimize=True)
        curved = -e * (1 + e) if gone else 0.0 * e

        def add(i: int, j: int, values: Floats, H: Floats = H, mass: Floats = mass) -> None:
            summed_up = np.einsum("nj,nj->n", values, mass)
            H[i, j] += summed_up
            if i != j:
                H[j, i] += summed_up

        add(0, 0, g[0] + r**2 * (polygamma(1, a + k) - polygamma(1, a)))
        add(0, 1, r * (theta - eta))
        add(1, 1, a * theta * (1 - theta) - (k + a) * eta * (1 - eta))
        add(2, 2, e * q + curved * q * q)
        add(2, 3, -e * s * omega - curved * q * s * omega)
        add(3, 3, -e * s * omega * (1 - tau - tau * (1 - sigma)) + curved * (s * omega) ** 2)
        second[:, :, some] += H


def _silence(p: _Pairs, order: int = 0) -> tuple[Floats, Floats, Floats]:
    """ln(S(t_x) W) of each pair, with derivatives by ln (r, alpha, s, beta)."""
    n = len(p.k)
    B = p.beta + p.t_x
    v_H, v_B = p.v(p.H), p.v(B)
    W, first, second = np.zeros(n), np.zeros((4, n if order else 0)), np.zeros((4, 4, n if order > 1 else 0))

    def part(some: Where, rule: Any, gone: bool, sign: float) -> None:
        of = p.take(some)
        nodes = rule(of, v_B[some]) if gone else rule(of, v_H[some], v_B[some])
        m = len(some)
        out = (np.zeros(m), np.zeros((4, m if order else 0)), np.zeros((4, 4, m if order > 1 else 0)))
        _part(of, v_B[some], nodes, gone, order, out)
        W[some] += sign * out[0]
        if order:
            first[:, some] += sign * out[1]
        if order > 1:
            second[:, :, some] += sign * out[2]

    early = v_H < np.log(p.k / p.a) - 1
    W[early] = 1.0
    waited = np.flatnonzero(early & (p.H > 0))
    late = np.flatnonzero(~early)
    if len(waited):
        part(waited, _before, False, -1.0)
    if len(late):
        part(late, _lines, True, 1.0)
        part(late, _after, False, 1.0)
    value = np.log(W) - p.s * np.log1p(p.t_x / p.beta)
    if order:
        first /= W
        if order > 1:
            second = second / W - np.einsum("in,jn->ijn", first, first)
            away = p.t_x / B
            second[2, 2] -= p.s * np.log1p(p.t_x / p.beta)
            second[2, 3] += p.s * away
            second[3, 2] += p.s * away
            second[3, 3] -= p.s * away * (1 - away)
        first[2] -= p.s * np.log1p(p.t_x / p.beta)
        first[3] += p.s * p.t_x / B
    return value, first, second


def _weighed(p: _Pairs, logs: Floats) -> tuple[Floats, Floats]:
    """(ln of the sum over k, each pair's share of it)."""
    top = np.maximum.reduceat(logs, p.begins)
    e = np.exp(logs - top[p.row])
    sums = p.sums(e)
    return np.asarray(top + np.log(sums)), np.asarray(e / sums[p.row])


def _certain(rows: Rows, values: Floats) -> Floats:
    """A customer not watched yet has told nothing."""
    return np.where((rows.x == 0) & (rows.T == 0), 0.0, values)


def log_likelihoods(params: Params, rows: Rows) -> Floats:
    """Log-likelihood of each customer's purchase times."""
    if not len(rows.x):
        return np.zeros(0)
    p = _pairs(params, rows)
    return _certain(rows, _weighed(p, p.log_weight + _silence(p)[0])[0])


def rowwise(params: Params, rows: Rows) -> Derivatives:
    """Values, gradients and Hessians by log-parameters, row by row."""
    n = len(rows.x)
    if not n:
        return np.zeros(0), np.zeros((6, 0)), np.zeros((6, 6, 0))
    t, gamma, *_ = _spread(params, n)
    p = _pairs(params, rows)
    silence, g4, H4 = _silence(p, 2)
    values, share = _weighed(p, p.log_weight + silence)
    tt, gg = t[p.row], gamma[p.row]
    theta = p.alpha / p.A
    g = np.zeros((6, len(p.k)))
    g[0] = tt * (np.log(gg) - psi(tt) + np.log(p.k))
    g[1] = tt - gg * p.k
    lift = p.r * (psi(p.a) - psi(p.r) + np.log(theta))
    g[2:] = g4
    g[2] += lift
    g[3] += p.r - p.a * theta
    mean = p.sums(g * share)
    spread = g - mean[:, p.row]
    H = p.sums(np.einsum("in,jn->ijn", spread, spread * share))
    inner = H4
    inner[0, 0] += lift + p.r**2 * (polygamma(1, p.a) - polygamma(1, p.r))
    inner[0, 1] += p.r * (1 - theta)
    inner[1, 0] += p.r * (1 - theta)
    inner[1, 1] -= p.a * theta * (1 - theta)
    H[2:, 2:] += p.sums(inner * share)
    H[0, 0] += mean[0] - t**2 * polygamma(1, t)
    H[0, 1] += t
    H[1, 0] += t
    H[1, 1] += mean[1] - t
    return _certain(rows, values), mean, H


def _still(params: Params, rows: Rows, **grid: float) -> tuple[_Pairs, Floats, Floats]:
    """(pairs, P(alive), each pair's share among the ways of being alive)."""
    p = _pairs(params, rows, **grid)
    everything, _ = _weighed(p, p.log_weight + _silence(p)[0])
    there, share = _weighed(p, p.log_weight + gammagaps.log_survival(p.H, p.k, p.a, p.A))
    _, _, _, _, s, beta = _spread(params, len(rows.x))
    return p, np.minimum(np.exp(there - s * np.log1p(rows.T / beta) - everything), 1.0), share


def p_alive(params: Params, rows: Rows) -> Floats:
    """Probability of still being a customer at T."""
    return _still(params, rows, depth=60.0)[1] if len(rows.x) else np.zeros(0)


def survival(params: Params, rows: Rows, ahead: float) -> Floats:
    """P(still a customer ``ahead`` after T): the rest of her lifetime does not depend on her purchases."""
    _, _, _, _, s, beta = _spread(params, len(rows.x))
    return np.asarray(p_alive(params, rows) * np.exp(-s * np.log1p(ahead / (beta + rows.T))))


def log_rate(params: Params, rows: Rows) -> Floats:
    """Posterior mean of the log of her purchase rate: the slope of the log-likelihood by r, moved."""
    if not len(rows.x):
        return np.zeros(0)
    alpha = _spread(params, len(rows.x))[3]
    p = _pairs(params, rows)
    silence, g, _ = _silence(p, 1)
    _, share = _weighed(p, p.log_weight + silence)
    slope = p.sums((g[0] / p.r + psi(p.a) + np.log(p.alpha / p.A)) * share)
    return np.asarray(slope - np.log(alpha))


class _Outlook(NamedTuple):
    """What one arrival rule needs: the pairs, each one's share, her T, and ln P(gap > H)."""

    p: _Pairs
    share: Floats
    T: Floats
    silent: Floats

    def take(self, some: Any) -> "_Outlook":
        return _Outlook(self.p.take(some), self.share[some], self.T[some], self.silent[some])


def _moments(o: _Outlook, n: float, horizon: float, fine: float) -> Iterator[tuple[Where, Floats, Floats]]:
    """(positions, ln v, weights) for integrals over the moment v of the n-th purchase ahead.

    Gauss-Legendre in ln v over the bulk; where that would need many points (bursts: a long flat way down to v = 0) the
    trapezoidal rule that runs double-exponentially into both ends.
    """
    p = o.p
    nk = n * p.k
    left = np.where(p.H > 0, nk - p.k + 1, nk)
    middle = np.log(np.maximum(n - 1.0, 0.25) * p.A / p.a)
    low = middle - 6 / np.sqrt(left) - 6 / np.sqrt(p.a) - 15 / left
    high = np.log(n * (p.A + p.k * p.H) / p.a) + 6 / np.sqrt(nk) + 6 / np.sqrt(p.a) + 15 / p.a
    end = np.log(horizon)
    high = np.minimum(high, end)
    low = np.minimum(low, high - 30 / left)
    width = np.minimum(np.sqrt(1 / left + 1 / p.a), 0.55)  # steps of discount and survival are never sharper
    sizes = 8 * np.ceil(np.clip((high - low) / width * fine, 8, 1000) / 8).astype(np.intp)
    for size in np.unique(sizes[sizes <= 128]):
        of_size = np.flatnonzero(sizes == size)
        x, weight = legendre(int(size))
        many = max(1, _BLOCK // int(size))
        for start in range(0, len(of_size), many):
            some = of_size[start : start + many]
            half = ((high - low)[some] / 2)[:, None]
            yield some, low[some][:, None] + half * (x + 1), half * weight
    long = np.flatnonzero(sizes > 128)
    span = np.maximum(high - middle, 2.0) + 1.0
    first = -np.log(38 / np.minimum(left, 1.0))
    count = 192 if fine > 2 else 96
    for start in range(0, len(long), _BLOCK // count):
        some = long[start : start + _BLOCK // count]
        step = (span + 3.7 - first)[some][:, None] / (count - 1)
        z = first[some][:, None] + step * np.arange(count)
        fall, rise = np.exp(-z), np.exp(z - span[some][:, None])
        zeta = z - span[some][:, None] - fall + rise
        yield some, high[some][:, None] - softplus(-zeta), _sigmoid(-zeta) * (1 + fall + rise) * step


class _Longer(NamedTuple):
    """P(Beta(k, (n-1) k) > H / (H + v)) by ln(v / H), in logs, tabulated by k: the incomplete beta function is slow.

    Left of the table it is a power of v / H, to nearly all digits.
    """

    low: Floats
    step: Floats
    power: Floats
    logs: Floats

    def __call__(self, which: Where, z: Floats) -> Floats:
        size = self.logs.shape[1]
        step = self.step[which][:, None]
        where = (z - self.low[which][:, None]) / step
        at = np.clip(where, 2.0, size - 4.0)
        i = at.astype(np.intp)
        f = at - i
        flat, start = self.logs.ravel(), which[:, None] * size + i
        out = self.power[which][:, None] * step * np.minimum(where - 2.0, 0.0)
        for j in range(-2, 4):  # Lagrange's six points
            part = np.ones_like(f)
            for m in range(-2, 4):
                if m != j:
                    part *= (f - m) / (j - m)
            out += part * flat[start + j]
        return np.asarray(np.exp(np.minimum(out, 0.0)))


def _longer(n: float, k: Floats, size: int) -> _Longer:
    m = (n - 1) * k
    width = np.sqrt(polygamma(1, k) + polygamma(1, m))
    middle = psi(m) - psi(k)
    low = middle - 6 * width - 12 / m
    step = (middle + 6 * width + 12 / k - low) / (size - 1)
    z = low[:, None] + step[:, None] * np.arange(size)
    values = betainc(m[:, None], k[:, None], _sigmoid(z))
    return _Longer(low, step, m, np.log(np.maximum(values, 1e-300)))


def _arrival(
    o: _Outlook, n: float, horizon: float, delta: float, fine: float, second: bool = False, *, tables: int = 0
) -> tuple[Floats, Floats, Floats]:
    """E[d_n], E[d_n^2] and E[sum over i < n of d_i d_n] of the n-th purchase ahead, for each pair, given she is there.

    ``tables`` is the size of the tables that stand for the incomplete beta function (0: none).
    """
    first, squares, pairs = (np.zeros(len(o.T)) for _ in range(3))
    which, table = np.zeros(0, dtype=np.intp), None
    if tables and n > 1:
        distinct, which = np.unique(o.p.k, return_inverse=True)
        table = _longer(n, distinct, tables) if tables * len(distinct) < 16 * len(which) else None
    for some, u, w in _moments(o, n, horizon, fine):
        at = o.take(some)
        k, a, H = (each[:, None] for each in (at.p.k, at.p.a, at.p.H))
        with np.errstate(divide="ignore"):
            log_H = np.log(H)
        log_S = np.logaddexp(log_H, u)
        log_y = np.log(k / at.p.A[:, None]) + log_S
        log_f = n * k * log_y - (n * k + a) * softplus(log_y) - betaln(n * k, a) + u - log_S
        v = np.exp(u)
        kept = at.p.s[:, None] * np.log1p(v / (at.p.beta + at.T)[:, None])
        f = w * np.exp(log_f - at.silent[:, None] - kept)
        longer = np.ones_like(v)
        if n > 1:
            looked_up = (at.p.k > 0.5) & (table is not None)  # a table of bursts would be too long to be fine
            if table is not None:
                longer[looked_up] = table(which[some][looked_up], np.minimum(u - log_H, 1e300)[looked_up])
            rest = ~looked_up
            longer[rest] = betainc((n - 1) * k[rest], k[rest], np.exp(u - log_S)[rest])
        f = f * longer
        fade = np.exp(-delta * v)
        first[some] = np.einsum("nj->n", f * fade)
        if second:
            squares[some] = np.einsum("nj->n", f * fade**2)
            if n > 1:
                before = (n - 1) * np.ones_like(v) if delta == 0 else _before_last(n, k, H, H + v, longer, delta)
                pairs[some] = np.einsum("nj->n", f * fade * before)
    return first, squares, pairs


def _before_last(n: float, k: Floats, H: Floats, S: Floats, first_longer: Floats, delta: float) -> Floats:
    """E[sum of the discounts of the n - 1 purchases before], given that the n-th makes the gaps add up to S.

    Mean and variance of each moment are exact (shares of gamma gaps are beta); its discount is that of a gamma
    variable with the same two, which is where ``pairs`` leaves the exact road.
    """
    m = n - 1
    q = H / np.maximum(S, 1e-300)
    known, safe = first_longer > 1e-280, np.maximum(first_longer, 1e-280)
    share = np.where(known, betainc(m * k, k + 1, 1 - q) / safe / n, q)
    square = np.where(known, betainc(m * k, k + 2, 1 - q) / safe * (k + 1) / (n * (n * k + 1)), q**2)
    spread = np.maximum(square - share**2, 0.0)
    rest = np.maximum(1 - 2 * share + square, 0.0)

    def discount(f: float) -> Floats:
        mean = np.maximum(S * (share + (1 - share) * f) - H, 1e-300)
        variance = S**2 * ((1 - f) ** 2 * spread + f * (1 - f) / (m * k + 1) * rest)
        ratio = np.minimum(delta * variance / mean, 1e8)
        shrink = np.where(ratio > 1e-9, np.log1p(ratio) / np.maximum(ratio, 1e-9), 1.0)
        return np.asarray(np.exp(-delta * mean * shrink))

    out = np.zeros_like(S)
    if n <= _MANY:
        for i in range(int(m)):
            out += discount(i / m)
        return out
    x, weight = legendre(16)
    for z, w in zip((x + 1) / 2, weight / 2, strict=True):
        out += m * w * discount(float(z))
    return np.asarray(out + (discount(0.0) - discount(1.0)) / 2)


def _counts(most: float) -> Iterator[tuple[float, float]]:
    """(n, weight) for sums over n: one by one at first, then panels of eight Gauss-Legendre points.

    Midpoint Euler-Maclaurin: a sum from N on is the integral from N - 1/2 plus f'/24 - 7 f'''/5760 there.
    """
    for n in range(1, _MANY + 1):
        yield float(n), 1.0
    x, weight = legendre(8)
    basis = np.linalg.inv(np.polynomial.legendre.legvander(x, 7))
    slopes = [np.polynomial.legendre.legval(-1.0, np.polynomial.legendre.legder(basis, m)) for m in (1, 3)]
    low = _MANY + 0.5
    while low < most:
        half = low / 8
        weights = weight * half
        if low == _MANY + 0.5:
            weights = weights + slopes[0] / half / 24 - slopes[1] / half**3 * 7 / 5760
        for z, w in zip(x, weights, strict=True):
            yield low + half * (z + 1), float(w)
        low += 2 * half


def forecast(
    params: Params, rows: Rows, horizon: float, delta: float = 0.0, second: bool = False, rough: bool = False
) -> Forecast:
    """Purchases in ``(T, T + horizon]``, discounted at ``delta``: the n-th purchase ahead, summed over n.

    Relative errors: see the top of the module.
    """
    size = len(rows.x)
    if horizon <= 0 or size == 0:
        return Forecast(np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size))
    h = min(horizon, _ENDLESS / delta) if delta > 0 else horizon
    p, alive, share = _still(params, rows, **({"wide": 2.4, "depth": 20.0} if rough else {"wide": 1.2, "depth": 34.0}))
    tolerance, fine, tables = (1e-5, 1.3, 96) if rough else (1e-9, 2.4, 640)
    keep = np.flatnonzero(share > (1e-5 if rough else 1e-9))
    o = _Outlook(p, share, rows.T[p.row], gammagaps.log_survival(p.H, p.k, p.a, p.A)).take(keep)
    sums = np.zeros((4, size))
    for n, weight in _counts(1e9):
        found = np.stack(_arrival(o, n, h, delta, fine, second, tables=tables)) * o.share * weight
        for i in range(3):
            sums[i] += np.bincount(o.p.row, found[i], size)
        if n == 1.0:
            sums[3] = sums[0] if delta == 0 else np.bincount(o.p.row, _arrival(o, 1.0, h, 0.0, fine)[0] * o.share, size)
        left = np.abs(found[0] / weight) * max(n, 4.0) > tolerance * sums[0][o.p.row]
        if not np.any(left):
            break
        o = o.take(left)
    mean, squares, pairs, some = sums * alive
    return Forecast(mean, squares, 2 * pairs, np.minimum(some, alive))


def pmf(params: Params, rows: Rows, horizon: float, most: int) -> Floats:
    """P(0 .. ``most`` purchases in the horizon), as differences of P(at least n): absolute error about 1e-10."""
    size = len(rows.x)
    least = np.zeros((size, most + 2))
    least[:, 0] = 1.0
    if horizon > 0 and size:
        p, alive, share = _still(params, rows, wide=1.2, depth=34.0)
        o = _Outlook(p, share, rows.T[p.row], gammagaps.log_survival(p.H, p.k, p.a, p.A))
        for n in range(1, most + 2):
            found = _arrival(o, float(n), horizon, 0.0, 2.4, tables=640)[0]
            least[:, n] = np.minimum(np.bincount(o.p.row, found * o.share, size) * alive, least[:, n - 1])
    return np.asarray(-np.diff(least, axis=1))


def _log_gamma(shape: Floats, rng: np.random.Generator) -> Floats:
    """ln of gamma draws, also where the draw itself would be 0."""
    return np.asarray(np.log(rng.gamma(shape + 1)) + np.log(rng.random(len(shape))) / shape)


def simulate(params: Params, T: Floats, rng: np.random.Generator) -> Rows:
    """Customers as the model makes them, watched for ``T`` from their first purchase."""
    n = len(T)
    t, gamma, r, alpha, s, beta = _spread(params, n)
    k = np.exp(np.clip(_log_gamma(t, rng) - np.log(gamma), -600, 600))
    rate = np.exp(np.clip(_log_gamma(r, rng) - np.log(alpha), -600, 600))
    life = rng.exponential(size=n) * np.exp(np.clip(np.log(beta) - _log_gamma(s, rng), -600, 600))
    until = np.minimum(life, T)
    x, last, logs, clock, going = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n), np.arange(n)
    while len(going):
        log_gap = _log_gamma(k[going], rng) - np.log(k[going]) - np.log(rate[going])
        clock[going] += np.exp(np.minimum(log_gap, 600))
        seen = clock[going] <= until[going]
        going, log_gap = going[seen], log_gap[seen]
        x[going] += 1
        last[going] = clock[going]
        logs[going] += log_gap
    return Rows(x, last, np.asarray(T, dtype=np.float64), logs)


def ahead(params: Params, rows: Rows, horizon: float, delta: float, rng: np.random.Generator) -> Ahead:
    """One future per customer: draw whether she is there, her regularity, her rate and her drop-out, and let her buy.

    ``expected`` is given those and the moment of her next purchase as well: what follows it is a plain renewal
    process, whose expectation is a sum over n by the closed form of each arrival.
    """
    n = len(rows.x)
    if not n:
        return Ahead(np.zeros(0), np.zeros(0), np.zeros(0))
    h = min(horizon, _ENDLESS / delta) if delta > 0 else horizon
    spread = np.stack(_spread(params, n))
    distinct, which = np.unique(np.concatenate([np.stack(rows), spread]), axis=1, return_inverse=True)
    which = which.ravel()
    p, alive, share = _still(distinct[4:], Rows(*distinct[:4]))
    there = rng.random(n) < alive[which]
    s, beta = spread[4], spread[5]
    reached = np.add.accumulate(share)
    base = np.concatenate([[0.0], reached])[p.begins]
    last = np.concatenate([p.begins[1:], [len(p.k)]]) - 1
    chosen = np.searchsorted(reached, base[which] + rng.random(n), side="right")
    one = p.take(np.clip(chosen, p.begins[which], last[which]))
    gap, rate = gammagaps.draw(rng, one.H, one.k, one.a, one.A)
    leaving = rng.gamma(s) / (beta + rows.T)
    life = rng.exponential(size=n) / np.maximum(leaving, 1e-300)
    until = np.where(there, np.minimum(life, h), -1.0)
    k, clock = one.k, gap - one.H
    counts, discounted, going = np.zeros(n), np.zeros(n), np.flatnonzero(clock <= until)
    begun = np.where(there & (clock <= h), clock, np.inf)
    while len(going):
        counts[going] += 1
        discounted[going] += np.exp(-delta * clock[going])
        clock[going] += np.exp(np.minimum(_log_gamma(k[going], rng) - np.log(k[going] * rate[going]), 600))
        going = going[clock[going] <= until[going]]
    return Ahead(counts, discounted, _renewals(k, rate, leaving + delta, begun, h))


def _renewals(k: Floats, rate: Floats, fade: Floats, begun: Floats, h: float) -> Floats:
    """Expected purchases at ``begun`` and after it, up to h, each weighed by e^(-fade time)."""
    from scipy.special import gammainc

    out = np.where(np.isfinite(begun), np.exp(-fade * np.where(np.isfinite(begun), begun, 0.0)), 0.0)
    going = np.flatnonzero(np.isfinite(begun))
    total, room = out.copy(), h - np.where(np.isfinite(begun), begun, h)
    for n, weight in _counts(1e9):
        if not len(going):
            break
        kk = k[going] * rate[going]
        log_each = -n * k[going] * np.log1p(fade[going] / kk)
        part = np.exp(log_each) * gammainc(n * k[going], (kk + fade[going]) * room[going])
        total[going] += weight * out[going] * part
        going = going[part * max(n, 4.0) > 1e-10]
    return total


KERNEL = Kernel(
    names=("t", "gamma", "r", "alpha", "s", "beta"),
    time_power=(0, 0, 0, 1, 0, 1),
    log_likelihoods=log_likelihoods,
    rowwise=rowwise,
    total=summed(rowwise),
    values=value_only(log_likelihoods),
    p_alive=p_alive,
    survival=survival,
    forecast=forecast,
    pmf=pmf,
    log_rate=log_rate,
    simulate=simulate,
    ahead=ahead,
    uses_gaps=True,
)
