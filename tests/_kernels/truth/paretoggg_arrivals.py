"""Truth for the Pareto/GGG at all 420 extreme points, also of customers who are silent: `python paretoggg_arrivals.py`
writes paretoggg_arrivals.json beside it; with numbers of points, or the word fifty, only those are made anew.

Given k, the n-th purchase after T falls at T + v if n gaps add up to H + v, H = T - t_x, the first of them longer than
H. Her rate integrates by hand, so that k / A times the sum of n gaps is beta-prime(n k, a), and the first one's share
of it is beta(k, (n - 1) k) whatever her rate. So there is one integral over v, with survival and discount, for each n
and k: by Gauss and Kronrod's rule, halved where it does not converge. Sums over n: one by one, later panels of that
rule with Euler and Maclaurin's corrections at their ends, halved likewise down to single purchases. Over k the
trapezoidal rule in ln k, wherever anything that is asked has its weight. The kernel integrates over her next purchase
and tabulates what follows instead.

In doubles (weights of k in forty digits). Written are logarithms, of means over those who are still customers; nothing
where sums over every second k differ by more than a ten-millionth, or where the model's own answer is infinite or made
by values of k below all floats. ``fifty`` are the same integrals in fifty digits by other nodes, at some points.
"""

import json
import math
import random
import signal
import sys
import time
from pathlib import Path

import mpmath as mp
import numpy as np
from paretoggg import extremes, nodes
from scipy.special import betainc, betaincc, gammaln

mp.mp.dps = 50
PATIENCE = 300.0  # seconds of computing a point; six of them take half a minute to two
NAMES = ("log_likelihood", "alive", "mean", "pairs", "faded", "squares", "any", "two", "three")
FIFTY = (21, 24, 35, 84, 91, 119, 147)
SHARP = 1e-7  # what a written logarithm may be off by, as far as fewer nodes tell
FINE = 1e-10  # of each integral by Gauss's rule, that Kronrod's is far ahead of
ROUGH = 1e-3
ONE_BY_ONE, WHOLE = 16, 24  # purchases, and those of a panel, that are always summed one by one
LEAST = 1.2  # the mean exists where t + x (+ 1 after a silence) > 1, and has digits where it is above this

# Gauss-Kronrod 7/15: nodes from the left to the middle, and both rules' weights
HALF = (
    (0.991455371120812639206854697526329, 0.022935322010529224963732008058970, 0.0),
    (0.949107912342758524526189684047851, 0.063092092629978553290700663189204, 0.129484966168869693270611432679082),
    (0.864864423359769072789712788640926, 0.104790010322250183839876322541518, 0.0),
    (0.741531185599394439863864773280788, 0.140653259715525918745189590510238, 0.279705391489276667901467771423780),
    (0.586087235467691130294144691693013, 0.169004726639267902826583426598550, 0.0),
    (0.405845151377397166906606412076961, 0.190350578064785409913256402421014, 0.381830050505118944950369775488975),
    (0.207784955007898467600689403773245, 0.204432940075298892414161999234649, 0.0),
)
X = np.array([-x for x, _, _ in HALF] + [0.0] + [x for x, _, _ in HALF[::-1]])
KRONROD = np.array(
    [w for _, w, _ in HALF] + [0.209482141084727828012999174891714] + [w for _, w, _ in HALF[::-1]])  # fmt: skip
GAUSS = np.array(
    [w for _, _, w in HALF] + [0.417959183673469387755102040816327] + [w for _, _, w in HALF[::-1]])  # fmt: skip


def slopes(order):
    """Derivatives at -1 and 1 of what runs through values at ``X``"""
    back = np.linalg.inv(np.polynomial.legendre.legvander(X, 14))
    each = [np.polynomial.legendre.legder(row, order) for row in np.eye(15)]
    return np.array([[np.polynomial.legendre.legval(end, row) for row in each] for end in (-1.0, 1.0)]) @ back


FIRST, THIRD = (np.subtract(*slopes(order)[::-1]) for order in (1, 3))


def log_sums(logs, index, size):
    """ln of the sums of e^logs (rows) by ``index``"""
    out = np.full((len(logs), size), -np.inf)
    for row, each in zip(out, logs, strict=True):
        np.maximum.at(row, index, each)
        top = np.where(np.isfinite(row), row, 0.0)
        row[:] = top + np.log(np.bincount(index, np.exp(each - top[index]), size))
    return out


def integrals(log_f, breaks, sharp):
    """ln of integrals of e^``log_f``(which, nodes) (rows) between each one's ``breaks``. What is halved is what matters
    to its own integral: so a narrow peak is found from its slopes, of which there is always one."""
    size = len(breaks)
    index = np.repeat(np.arange(size), breaks.shape[1] - 1)
    low, high = breaks[:, :-1].ravel(), breaks[:, 1:].ravel()
    some = high > low
    index, low, high = index[some], low[some], high[some]
    done = -np.inf
    for _ in range(80):
        half, parts = (high - low) / 2, []
        for block in range(0, len(index), 20_000):
            b = slice(block, block + 20_000)
            logs = log_f(index[b], ((high + low) / 2)[b, None] + half[b, None] * X)
            top = logs.max(axis=-1)
            top = np.where(np.isfinite(top), top, 0.0)
            e = np.exp(logs - top[..., None])
            front = top + np.log(half[b])
            parts.append((front + np.log(e @ KRONROD), front + np.log(np.abs(e @ (KRONROD - GAUSS)))))
        value, error = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
        total = np.logaddexp(done, log_sums(value, index, size))
        bad = np.any(error > math.log(sharp) + total[:, index], axis=0) & (half > 1e-14 * (np.abs(low) + 1e-3))
        done = np.logaddexp(done, log_sums(value[:, ~bad], index[~bad], size))
        if not bad.any():
            return done
        middle = (low + high)[bad] / 2
        index = np.tile(index[bad], 2)
        low, high = np.concatenate([low[bad], middle]), np.concatenate([middle, high[bad]])
    raise ValueError("no end of halving")


def softplus(z):
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def stirling(z):
    """What Stirling's formula leaves of ln gamma(z)"""
    big, small = np.maximum(z, 16.0), np.minimum(z, 16.0)
    y = 1 / big**2
    series = (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y * (1 / 1188 - y * 691 / 360360))))) / big
    return np.where(z > 16, series, gammaln(small) - (small - 0.5) * np.log(small) + small - math.log(2 * math.pi) / 2)


def log_share(p, q, log_x, log_rest):
    """ln I_x(p, q), x and 1 - x by their logarithms"""
    p, q = np.broadcast_to(p, log_x.shape), np.broadcast_to(q, log_x.shape)
    x, rest = np.exp(log_x), np.exp(log_rest)
    out = betainc(p, q, x)
    end = rest < 1e-5
    if end.any():
        beyond = betainc(q[end], p[end], rest[end])
        much, beyond = beyond > 0.9, 1 - beyond
        beyond[much] = betaincc(q[end][much], p[end][much], rest[end][much])
        out[end] = beyond
    tiny = out < 1e-280
    out = np.log(out)
    if tiny.any():  # the power series, whose terms are positive
        p, q, x = p[tiny], q[tiny], x[tiny]
        term, series = np.ones_like(x), np.ones_like(x)
        for n in range(400):
            term = term * x * (p + q + n) / (p + 1 + n)
            series = series + term
            if not np.any(term > 1e-16 * series):
                break
        front = gammaln(p + q) - gammaln(p) - gammaln(q) - np.log(p)
        out[tiny] = p * log_x[tiny] + q * log_rest[tiny] + front + np.log(series)
    return out


def arrivals(k, a, A, H, n, end, kept, marks, sharp=FINE, more=0.0):
    """ln of the integrals over v from 0 to ``end`` of the density of n gaps that add up to H + v, the first of them
    longer than H, times e^``kept``(ln v, v) (rows). Near 0 ``kept`` is a power of v, ``more``; ``marks`` are values of
    v at which it bends."""
    k, a, A, n = np.broadcast_arrays(*(np.atleast_1d(np.asarray(each, float)) for each in (k, a, A, n)))
    m = n * k
    mode, unit = np.log(m) - np.log(a), np.log(k) - np.log(A)
    front = (np.log(m) + np.log(a) - np.log(m + a) - math.log(2 * math.pi)) / 2 + stirling(m + a) - stirling(m)
    front = front - stirling(a)
    p, q = m / (m + a), a / (m + a)
    with np.errstate(divide="ignore"):
        log_H, log_end = np.log(H), np.log(end)
    finite = math.isfinite(end)
    middle = np.exp(mode - unit) - H
    late = (A / k + H) / (a + m)
    wide = (H + np.maximum(middle, 0.0)) * np.minimum(np.sqrt(1 / m + 1 / a), 1.0)
    known = [late, late * np.maximum((n - 1) * k, 1.0)]
    known += [np.maximum(middle + side * wide, late * 1e-3) for side in (-8, -4, -2, 0, 2, 4, 8)]
    known += [np.full(len(k), each) for each in (*marks, *([H] if H > 0 else []))]
    log_v = np.log(np.maximum(np.array(known), 1e-300))
    if finite:
        log_v = np.minimum(log_v, log_end - 1e-3)
        log_v = log_v - np.log(end - np.exp(log_v))
    left, right = log_v.min(axis=0), log_v.max(axis=0)
    breaks = np.sort([*log_v, *(left - d for d in (3, 10, 40)), *(right + d for d in (3, 10, 40))], axis=0).T
    several = n > 1

    def log_f(i, z):
        """By the logit of v / end, or by ln v if there is no end"""
        log_v, slope = (log_end - softplus(-z), -softplus(z)) if finite else (z, 0.0)
        v, at = np.exp(log_v), (i, None)
        log_S = np.logaddexp(log_H, log_v) if H > 0 else log_v
        off = log_S + (unit - mode)[at]  # from the mode, in logarithms
        if H > 0:
            scale = np.exp((mode - unit)[at])
            e = ((H - scale) + v) / scale
        else:
            e = np.expm1(np.clip(off, -1.0, 1.0))
        near = np.abs(e) < 0.5
        e = np.where(near, e, 0.0)
        off = np.where(near, np.log1p(e), off)
        beyond = np.where(off < 600, np.log(q[at] + p[at] * np.exp(np.minimum(off, 600.0))), np.log(p[at]) + off)
        out = front[at] + m[at] * off - (m + a)[at] * np.where(near, np.log1p(p[at] * e), beyond)
        out = out + log_v - log_S + slope
        if H > 0 and (later := several[i]).any():
            of = i[later], None
            out[later] += log_share((m - k)[of], k[of], (log_v - log_S)[later], (log_H - log_S)[later])
        return np.stack([out + each for each in kept(log_v, v)])

    with np.errstate(all="ignore"):
        out, every = integrals(log_f, breaks, sharp), np.arange(len(k))
        # Left of all breaks the integrand is a power of v, and right of them of 1 / v.
        edge = log_f(every, breaks[:, :1])[..., 0] - np.log((m - k + 1 if H > 0 else m) + more)
        out = np.logaddexp(out, np.where(np.isnan(edge), -np.inf, edge))
        return out if finite else np.logaddexp(out, log_f(every, breaks[:, -1:])[..., 0] - np.log(a))


class Customer:
    """One point, with a horizon and a discount"""

    def __init__(self, point, horizon, delta):
        self.t, self.gamma, self.r, self.alpha, self.s, self.beta, self.x, self.t_x, self.T, self.logs = point
        self.H, self.horizon, self.deltas = self.T - self.t_x, horizon, [0.0, delta, 2 * delta] if delta else [0.0]
        self.later = self.beta + self.T
        self.marks = [self.later, self.later / max(self.s, 1.0), *([1 / delta] if delta else [])]
        least = self.t + self.x + (self.H > 0)
        self.counts, self.pairs = least > LEAST, least > 1 + LEAST

    def given(self, u):
        k = np.exp(u)
        return k, self.r + k * self.x, self.alpha + k * self.t_x

    def weights(self, u):
        """ln of what each k weighs, in forty digits, less that of the heaviest; and that"""
        t, gamma, r, alpha, x, t_x, logs = map(
            mp.mpf, (self.t, self.gamma, self.r, self.alpha, self.x, self.t_x, self.logs))  # fmt: skip
        out = []
        for each in map(mp.mpf, u.tolist()):
            k = mp.exp(each)
            a, A = r + k * x, alpha + k * t_x
            gaps = x * k * each + (k - 1) * logs - x * mp.loggamma(k)
            out.append(t * each - gamma * k + gaps + mp.loggamma(a) - a * mp.log(A))
        front = t * mp.log(gamma) - mp.loggamma(t) - mp.loggamma(r) + r * mp.log(alpha)
        front -= mp.mpf(self.s) * mp.log1p(t_x / mp.mpf(self.beta))
        return np.array([float(each - max(out)) for each in out]), front + max(out)

    def arrive(self, given, n, deltas=(0.0,), sharp=FINE):
        def kept(_, v):
            return [-self.s * np.log1p(v / self.later) - delta * v for delta in deltas]

        return arrivals(*given, self.H, n, self.horizon, kept, self.marks, sharp)

    def silent(self, given, sharp=FINE):
        """ln P(gap > H), and of P(gap > H or she left before it was over)"""
        none = np.zeros(len(given[0]))
        if self.H == 0:
            return none, none
        long = arrivals(*given, self.H, 1.0, np.inf, lambda *_: [0.0], [], sharp)[0]
        begun = self.beta + self.t_x

        def gone(log_v, v):
            left = self.s * np.log1p(v / begun)
            return [np.where(left > 1e-290, np.log(-np.expm1(-left)), log_v + math.log(self.s / begun))]

        marks = [begun, begun / max(self.s, 1.0)]
        return long, np.logaddexp(long, arrivals(*given, 0.0, 1.0, self.H, gone, marks, sharp, more=1.0)[0])

    def many(self, given, more):
        """ln of how many purchases there may be"""
        k, a, A = given
        return np.log1p((a + more) / (k * np.log1p(A / (k * (self.H + self.horizon)))))

    def grid(self):
        """Equal steps in ln k over all that matters to anything that is asked"""
        low, high = -250.0, 20.0
        if self.x == 0:
            high = min(high, math.log((self.t + 800) / self.gamma) + 1)
        for _ in range(40):
            u = np.linspace(low, high, 80)
            k, a, A = given = self.given(u)
            weight = self.t * u - self.gamma * k + self.x * k * u + (k - 1) * self.logs - self.x * gammaln(k)
            weight += gammaln(a) - a * np.log(A)
            one, two = (self.arrive(given, n, sharp=ROUGH)[0] for n in (1.0, 2.0))
            asked = [*self.silent(given, ROUGH), one, two]
            more = self.many(given, 1.0)
            asked += [one + more] * self.counts + [one + 2 * more, two + 2 * more] * self.pairs
            asked = weight + np.array(asked)
            asked = np.where(np.isfinite(asked), asked, -np.inf)
            keep = np.flatnonzero((asked > asked.max(axis=1)[:, None] - 32).any(axis=0))
            new = u[max(keep[0] - 1, 0)], u[min(keep[-1] + 1, len(u) - 1)]
            done = new[1] - new[0] > 0.85 * (high - low)
            low, high = new
            if done:
                break
        steps = max(int((high - low) / min(0.3, 0.65 / math.sqrt(self.t + self.x))), 12)
        return np.linspace(low, high, 2 * steps + 1)

    def summed(self, given, weight):
        """Sums over n, as shares of e^top: those of the chances of the n-th purchase (rows: by discount) and of pairs;
        top; and ln of the chances of the first three."""
        size, rows = len(given[0]), len(self.deltas)
        one = self.arrive(given, 1.0, self.deltas)
        top = np.max(weight + one[0])
        sums = np.zeros((rows + 1, size))
        sums[:rows] = np.exp(weight + one - top)
        least, numbers, share = [weight + one[0]], self.many(given, 40.0), weight + one[0] - top

        def terms(i, n):
            logs = weight[i] + self.arrive([each[i] for each in given], n, self.deltas)
            values = np.exp(logs - top)
            return np.concatenate([values, 2 * (n - 1) * values[:1]]), logs[0]

        def worth():
            """Whether the purchases to come may be worth counting"""
            log_total = np.log(np.maximum(sums.sum(axis=1), 1e-290))
            singles = share + numbers > log_total[:rows].min() - 32
            return singles & self.counts | (share + 2 * numbers > log_total[rows] - 32) & self.pairs

        live = np.arange(size)
        for n in range(2, ONE_BY_ONE + 1):
            values, logs = terms(live, np.full(len(live), float(n)))
            sums[:, live] += values
            if n <= 3:
                least.append(np.full(size, -np.inf))
                least[-1][live] = logs
            if n >= 3:
                far = (values * n > 1e-13 * sums.sum(axis=1)[:, None]).any(axis=0)
                live = live[far | worth()[live]]
            if not len(live):
                break
        low, before = ONE_BY_ONE + 0.5, np.zeros_like(sums)
        while len(live):
            high = 2 * math.floor(low) + 0.5
            found = self.panels(terms, live, low, high, sums)
            sums += found
            far = found > 1e-12 * np.maximum(sums.sum(axis=1), 1e-290)[:, None]
            far |= (found > 0.7 * before) & worth()
            before, live, low = found, live[far.any(axis=0)[live]], high
            if low > 1e200:
                raise ValueError("no end of purchases")
        return sums, top, least

    def panels(self, terms, live, low, high, sums):
        """Sums over n from ``low`` to ``high``, both half a number away from the next n"""
        found, rows, size = np.zeros_like(sums), len(sums), sums.shape[1]
        i, low, high = live, np.full(len(live), low), np.full(len(live), high)
        while len(i):
            few = high - low <= WHOLE
            if few.any():
                spans = list(zip(i[few], low[few], high[few], strict=True))
                which = np.concatenate([np.full(int(to - since), one) for one, since, to in spans])
                n = np.concatenate([np.arange(since + 0.5, to) for _, since, to in spans])
                for row, each in zip(found, terms(which, n)[0], strict=True):
                    row += np.bincount(which, each, size)
                i, low, high = i[~few], low[~few], high[~few]
                if not len(i):
                    break
            half = (high - low) / 2
            n = ((high + low) / 2)[:, None] + half[:, None] * X
            values = terms(np.repeat(i, 15), n.ravel())[0].reshape(rows, len(i), 15)
            whole, error = (values @ KRONROD) * half, np.abs(values @ (KRONROD - GAUSS)) * half
            ends = (values @ THIRD) / half**3 * 7 / 5760 - (values @ FIRST) / half / 24
            total = (sums + found).sum(axis=1)[:, None]
            bad = ((error > 1e-8 * total) | (np.abs(ends) > 1e-4 * total)).any(axis=0)
            for row, each in zip(found, (whole + ends)[:, ~bad], strict=True):
                row += np.bincount(i[~bad], each, size)
            i, low, high = np.tile(i[bad], 2), low[bad], high[bad]
            middle = np.floor((low + high) / 2) + 0.5
            low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        return found

    def answers(self):
        """Logarithms by name, and by how much fewer values of k change each"""
        u = self.grid()
        given, (weight, front) = self.given(u), self.weights(u)
        out, error = {}, {}

        def put(name, logs, shift=0.0, unsure=0.0):
            top = logs.max()
            if math.isfinite(top):
                e = np.exp(logs - top)
                out[name] = shift + top + math.log(e.sum() * (u[1] - u[0]))
                error[name] = abs(2 * e[::2].sum() / e.sum() - 1) + unsure

        long, quiet = self.silent(given)
        put("all", weight + quiet)
        put("alive", weight + long)
        there, unsure = out["alive"], error["alive"]
        out["log_likelihood"], error["log_likelihood"] = float(front + mp.mpf(out["all"])), error["all"]
        out["alive"] += -out["all"] - self.s * math.log1p(self.H / (self.beta + self.t_x))
        error["alive"] += error["all"]
        sums, top, least = self.summed(given, weight)
        for name, logs in zip(("any", "two", "three"), least, strict=False):
            put(name, logs, -there, unsure)
        with np.errstate(divide="ignore"):
            names = ("mean", "faded", "squares")[: len(self.deltas)] * self.counts
            for name, row in zip(names, sums, strict=False):
                put(name, np.log(row), top - there, unsure)
            if self.pairs:
                put("pairs", np.log(sums[-1]), top - there, unsure)
        return out, error


def jobs():
    """(point, horizon, discount): those of ``horizons`` in paretoggg.py, for all points"""
    rng = random.Random(13)
    return [
        (point, 10 ** rng.uniform(-1, 4), rng.choice([0.0, 10 ** rng.uniform(-5, -1)])) for point in extremes(420)
    ]  # fmt: skip


def told(job):
    """The answers by NAMES, or None where there is none with its digits"""
    out, error = Customer(*job).answers()
    return [float(f"{out[name]:.13g}") if error.get(name, 1.0) < SHARP else None for name in NAMES]


def fifty(job):
    """ln of the mean and of the chances of one and two purchases, in fifty digits: by other steps in ln k, and nodes
    that are doubly exponential in v."""
    customer, (point, end, _) = Customer(*job), job
    t, gamma, r, alpha, s, beta, x, t_x, T, logs = map(mp.mpf, point)
    low, high = customer.grid()[[0, -1]].tolist()
    u, step = mp.mpf(low), mp.mpf(min(0.3, 0.65 / math.sqrt(point[0] + point[6]))) * mp.mpf("0.6")
    H, later, end = T - t_x, beta + T, mp.mpf(end)
    there, total, few = mp.mpf(0), mp.mpf(0), [mp.mpf(0)] * 3
    while u < high:
        k = mp.exp(u)
        a, A = r + k * x, alpha + k * t_x
        weight = t * u - gamma * k + k * x * u + (k - 1) * logs - x * mp.loggamma(k) + mp.loggamma(a) - a * mp.log(A)
        weight, u, n, found = mp.exp(weight), u + step, 0, None
        there += weight * mp.betainc(a, k, 0, A / (A + k * H), regularized=True)
        while n < 3 or found > mp.mpf(10) ** -14 * total:
            n, found = n + 1, mp.mpf(0)
            wide = max(1, min((n - 1) * k, 30)) / (k * max(a, 1) / (A + k * H) + (1 + s) / later)
            fine = mp.mpf("0.3") * min(1, 2 * mp.sqrt(1 / (n * k) + 1 / a))
            for v, w in nodes(end, wide, fine, max(60, 40 / k)):
                y = k * (H + v) / A
                f = w / (H + v) * mp.exp(n * k * mp.log(y) - (n * k + a) * mp.log1p(y) - s * mp.log1p(v / later))
                share = mp.betainc((n - 1) * k, k, 0, v / (H + v), regularized=True) if n > 1 and H > 0 else 1
                found += f * share
            found *= weight / mp.beta(n * k, a)
            total += found
            if n < 3:
                few[n] += found
    return [mp.nstr(mp.log(each / there), 14) for each in (total, *few[1:])]


def write(path, out):
    text = json.dumps({"names": ["horizon", "delta", *NAMES], **out}, separators=(",", ":"))
    path.write_text(text.replace("],[", "],\n[") + "\n", encoding="utf-8")


def main():
    path, every = Path(__file__).with_suffix(".json"), jobs()
    out, asked = {"points": [[*job[1:]] for job in every], "fifty": {}}, sys.argv[1:] or [*range(len(every)), "fifty"]
    if sys.argv[1:]:
        known = json.loads(path.read_text(encoding="utf-8"))
        out = {name: known[name] for name in out}

    def stop(*_):
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, stop)
    for i in (int(each) for each in asked if each != "fifty"):
        begun = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
        try:
            values = told(every[i])
        except (TimeoutError, ValueError) as error:
            values = [None] * len(NAMES)
            print(i, repr(error))
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        out["points"][i] = [*every[i][1:], *values]
        write(path, out)
        print(i, f"{time.process_time() - begun:.1f} s", flush=True)
    for i in FIFTY if "fifty" in asked else []:
        out["fifty"][str(i)] = fifty(every[i])
        write(path, out)


if __name__ == "__main__":
    main()
