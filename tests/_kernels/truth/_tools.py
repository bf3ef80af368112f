"""What the scripts beside this one share: numbers with two derivatives, rules for positive integrals, files."""

import json
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache

import mpmath as mp
import numpy as np


class Jet:
    """A number with its gradient and the upper half of its Hessian by some variables: definitions differentiate
    themselves, without a formula of the kernels."""

    __slots__ = ("g", "h", "v")

    def __init__(self, v, g, h):
        self.v, self.g, self.h = v, g, h

    def _chain(self, f0, f1, f2):
        g, d = self.g, len(self.g)
        h = [f1 * each for each in self.h]
        n = 0
        for i in range(d):
            scaled = f2 * g[i]
            for j in range(i, d):
                h[n] += scaled * g[j]
                n += 1
        return Jet(f0, [f1 * each for each in g], h)

    def __add__(self, other):
        if not isinstance(other, Jet):
            return Jet(self.v + other, self.g, self.h)
        return Jet(
            self.v + other.v,
            [x + y for x, y in zip(self.g, other.g, strict=True)],
            [x + y for x, y in zip(self.h, other.h, strict=True)],
        )

    __radd__ = __add__

    def __neg__(self):
        return Jet(-self.v, [-x for x in self.g], [-x for x in self.h])

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return -self + other

    def __mul__(self, other):
        if not isinstance(other, Jet):
            return Jet(self.v * other, [x * other for x in self.g], [x * other for x in self.h])
        a, b, d, n = self, other, len(self.g), 0
        h = []
        for i in range(d):
            for j in range(i, d):
                h.append(a.v * b.h[n] + b.v * a.h[n] + a.g[i] * b.g[j] + a.g[j] * b.g[i])
                n += 1
        return Jet(a.v * b.v, [a.v * y + b.v * x for x, y in zip(a.g, b.g, strict=True)], h)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self * (1 / other if not isinstance(other, Jet) else other.inverse())

    def __rtruediv__(self, other):
        return self.inverse() * other

    def inverse(self):
        one = 1 / self.v
        return self._chain(one, -one * one, 2 * one**3)

    def log(self):
        one = 1 / self.v
        return self._chain(mp.log(self.v), one, -one * one)

    def exp(self):
        e = mp.exp(self.v)
        return self._chain(e, e, e)

    def loggamma(self):
        return self._chain(mp.loggamma(self.v), mp.psi(0, self.v), mp.psi(1, self.v))


def log(x):
    return x.log() if isinstance(x, Jet) else mp.log(x)


def exp(x):
    return x.exp() if isinstance(x, Jet) else mp.exp(x)


def loggamma(x):
    return x.loggamma() if isinstance(x, Jet) else mp.loggamma(x)


def log_beta(a, b):
    return loggamma(a) + loggamma(b) - loggamma(a + b)


def parameters(*values):
    """Parameters as jets by their own logarithms."""
    d, out = len(values), []
    for i, value in enumerate(values):
        v = mp.mpf(value)
        pairs = [(j, k) for j in range(d) for k in range(j, d)]
        out.append(Jet(v, [v * (i == j) for j in range(d)], [v * (i == j == k) for j, k in pairs]))
    return out


def log_sum(terms):
    """The jet of ln(sum of w e^phi) over pairs (w, phi)."""
    terms = [(w, phi) for w, phi in terms if w]
    top = max(phi.v for _, phi in terms)
    mass, first, second = mp.mpf(0), None, None
    for w, phi in terms:
        u = w * mp.exp(phi.v - top)
        mass += u
        g = phi.g
        if first is None:
            first, second = [mp.mpf(0)] * len(g), [mp.mpf(0)] * len(phi.h)
        n = 0
        for i in range(len(g)):
            ug = u * g[i]
            first[i] += ug
            for j in range(i, len(g)):
                second[n] += ug * g[j] + u * phi.h[n]
                n += 1
    first = [f / mass for f in first]
    out, n = [], 0
    for i in range(len(first)):
        for j in range(i, len(first)):
            out.append(second[n] / mass - first[i] * first[j])
            n += 1
    return Jet(top + mp.log(mass), first, out)


def slopes(jet):
    """The derivatives by the names of the files."""
    d = len(jet.g)
    out = {f"gradient_{i}": jet.g[i] for i in range(d)}
    pairs = [(i, j) for i in range(d) for j in range(i, d)]
    return out | {f"hessian_{i}{j}": jet.h[n] for n, (i, j) in enumerate(pairs)}


@lru_cache(maxsize=8)
def legendre(n, digits):
    """Gauss-Legendre nodes and weights on [0, 1], by Newton's method."""
    with mp.workdps(digits + 10):
        found = []
        for i in range(n):
            z = mp.cos(mp.pi * (i + mp.mpf(3) / 4) / (n + mp.mpf(1) / 2))
            for _ in range(9):
                p0, p1 = mp.mpf(1), z
                for j in range(2, n + 1):
                    p0, p1 = p1, ((2 * j - 1) * z * p1 - (j - 1) * p0) / j
                slope = n * (z * p1 - p0) / (z * z - 1)
                z -= p1 / slope
            found.append(((1 + z) / 2, 1 / ((1 - z * z) * slope**2)))
    return found


def nodes(density, scale, end, digits=26, knee=0):
    """(v, weight times density) for the integral of a positive function over [0, end]: panels that double from
    ``scale`` on, 24 points each, until what they add is nothing beside the whole; to ``knee`` there are 20 or more."""
    rule, out = legendre(24, mp.mp.dps), []
    low, high, peak, whole = mp.mpf(0), min(mp.mpf(scale), end), mp.mpf(0), mp.mpf(0)
    while low < end:
        part = mp.mpf(0)
        for z, w in rule:
            v = low + (high - low) * z
            u = (high - low) * w * density(v)
            out.append((v, u))
            part += u
        whole += part
        peak = max(peak, part)
        if low > scale and part < whole * mp.mpf(10) ** -digits and part < peak:
            break
        low, high = high, min(2 * high, high + (mp.mpf(knee) / 20 if high < knee else high), end)
    return out


def gamma_nodes(shape, rate, least, halvings=0, rise=0):
    """(value, weight) for the mean over gamma(shape, rate) of what is at most of the order of value^(2 + 2 rise) and,
    below 1 / ``least``, no more than of the order of value: the trapezoidal rule in the logarithm."""
    step = min(mp.mpf("0.25"), mp.mpf("0.45") / mp.sqrt(shape + 2 + 2 * rise)) / 2**halvings

    def drop(y, power):
        return (shape + power) * y - rate * mp.exp(y)

    peak = mp.log((shape + 1) / rate)
    depth = 38 + max(mp.mpf(0), peak + mp.log(least))

    def edge(side, power, deep):
        far, top = mp.mpf(1), mp.log((shape + power) / rate)
        ceiling = drop(top, power)
        while drop(top + side * far, power) > ceiling - deep:
            far *= 2
        near = mp.mpf(0)
        for _ in range(20):
            middle = (near + far) / 2
            near, far = (middle, far) if drop(top + side * middle, power) > ceiling - deep else (near, middle)
        return top + side * far

    low, high = edge(-1, 1, depth), edge(1, 2 + 2 * rise, mp.mpf(38))
    front = shape * mp.log(rate) - mp.loggamma(shape) + mp.log(step)
    count = int((high - low) / step) + 1
    ys = [low + step * i for i in range(count + 1)]
    return [(mp.exp(y), mp.exp(front + drop(y, 0))) for y in ys]


def beta_nodes(a, b, tilt, halvings=0):
    """(p, 1 - p, weight, its weight among every second) for the mean over beta(a, b) of what changes, with p, on the
    scale of its logarithm, and no more below 1 / ``tilt``: the trapezoidal rule in logit(p), with geometric tails."""
    width = mp.sqrt(1 / a + 1 / b)
    step = min(mp.mpf("0.25"), mp.mpf("0.45") / mp.sqrt(a)) / 2**halvings  # also of what a tilt leaves of it
    still = 38 + mp.log(max(tilt, a + b, 1))
    low = max(mp.log(a / (a + b + tilt)) - 60 / a - 14 * width, -still)
    high = min(mp.log(a / b) + 60 / b + 14 * width, still)
    low, high = min(low, mp.log(a / b) - step), max(high, low + 2 * step)
    front = -mp.log(mp.beta(a, b)) if a + b < 100 else -(mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b))
    count = 2 * int((high - low) / step / 2) + 2
    out = []
    for i in range(count + 1):
        w = low + step * i
        log_p, log_q = -mp.log1p(mp.exp(-w)), -mp.log1p(mp.exp(w))
        weight = step * mp.exp(a * log_p + b * log_q + front)
        double = 2 * weight if i % 2 == 0 else mp.mpf(0)
        for end, side in ((0, a), (count, b)):
            if i == end:
                weight, double = weight / -mp.expm1(-side * step), double / -mp.expm1(-2 * side * step)
        out.append((mp.exp(log_p), mp.exp(log_q), weight, double))
    return out


def long(values):
    """Eighteen digits, many at a time: enough wherever all terms are positive."""
    return np.array([np.longdouble(mp.nstr(value, 21) if abs(value) > mp.mpf("1e-4900") else 0) for value in values])


def rounded(value, digits):
    """So many digits; 0 where a float has none left."""
    if value is None or isinstance(value, (int, str)):
        return value
    return float(mp.nstr(value, digits)) if abs(value) > 1e-300 else 0.0


def any_size(rng, low, high):
    return float(f"{10 ** rng.uniform(low, high):.6g}")


def edge_row(rng, i):
    """(x, t_x, T, horizon, delta) of extreme point number i."""
    x = 0 if i % 5 == 0 else 10_000 if i % 17 == 0 else int(10 ** rng.uniform(0, 4))
    T = 0.0 if x == 0 and i % 15 == 0 else any_size(rng, -2, 4) if i % 7 else 10_000.0
    share = rng.choice([1.0, 1 - 1e-9, rng.random(), rng.random(), 10 ** rng.uniform(-7, 0)])
    t_x = float(f"{T * share:.10g}") if x else 0.0
    return x, min(t_x, T), T, any_size(rng, -2, 4), 0.0 if i % 9 == 8 else any_size(rng, -5, 0)


def edge_params(rng, i, count, special):
    """Parameters of extreme point number i: from 1e-4 to 1e4, the ends more often, ``special`` places at 1."""
    out = [any_size(rng, -4, 4) for _ in range(count)]
    if i % 4 == 3:
        out = [rng.choice([1e-4, 1e4]) if rng.random() < 0.5 else v for v in out]
    if i % 6 == 1:
        out[special] = 1.0
    return out


def run(task, jobs, workers=3):
    """One worker a core or so; the order is kept."""
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(task, jobs, chunksize=1))


def write(path, names, grids, digits=14):
    """{"names": ..., grid: [{"point": ..., "truth": ...}]}, a point a line."""
    lines = [f'"names": {json.dumps(names)}']
    for grid, cases in grids.items():
        rows = [
            json.dumps(
                {"point": point, "truth": [rounded(truth.get(name), digits) for name in names]}, separators=(",", ":")
            )
            for point, truth in cases
        ]
        lines.append(f'"{grid}": [\n' + ",\n".join(rows) + "\n]")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(path.name, {grid: len(cases) for grid, cases in grids.items()}, path.stat().st_size)
