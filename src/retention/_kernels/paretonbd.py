r"""The Pareto/NBD model of repeat purchases (Schmittlein, Morrison and Colombo 1987, Management Science 33(1)).

While she is a customer she buys at her own constant rate, gamma(r, alpha) over customers; she leaves at her own
constant hazard, gamma(s, beta) over customers, whether she buys or not.

Put a = alpha + t_x, b = beta + t_x and let tau run over the moments at which she may have left unseen. Everything that
is known about one customer is in one integral of positive terms,

    Phi = \int_{t_x}^{T} ((alpha+tau)/a)^{-(r+x)} ((beta+tau)/b)^{-(s+1)} dtau / b

    L = Gamma(r+x)/Gamma(r) alpha^r beta^s a^{-(r+x)} b^{-s} (s Phi + E),
    E = ((alpha+T)/a)^{-(r+x)} ((beta+T)/b)^{-s},          P(alive) = E / (s Phi + E),

so no hypergeometric function is needed, nothing overflows and nothing cancels. In y = log((m+tau)/(m+t_x)) with m the
smaller of alpha and beta the integrand is log-concave and analytic in a strip of width pi on both sides of the real
axis: Gauss-Legendre panels at most 2.5 wide, cut where the integrand has decayed, hold it to nearly all digits.

On a day grid the integrals from t to infinity are shared between customers. With z = (alpha-beta)/(alpha+t) they obey
the two-term recursion (p+s) Phi_p = 1 + p z Phi_{p+1} over p = r + x (integration by parts), and so do their moments;
it is run downwards or upwards in x, whichever damps errors (Gautschi 1967, SIAM Review 9(1)). Then
s Phi + E = s Phi_inf(t_x) + E (1 - s Phi_inf(T)): that difference is right to rounding relative to E + s Phi.

What is ahead of a customer still there at T follows from gamma(r + x, alpha + T) for her rate and gamma(s, beta + T)
for her hazard, which are independent then; s = 1 is a point like any other.

Digits: a log-likelihood inherits the rounding of its largest part (1e-16 x log Gamma(r + x)); for x = 0 it is formed
from the chance of a purchase, so that values near 0 keep theirs. P(alive) loses log10 of its own logarithm.
"""

from retention._kernels.paretonbd_ahead import ahead, forecast, pmf, simulate, together
from retention._kernels.paretonbd_likelihood import (
    log_likelihoods,
    log_rate,
    p_alive,
    rowwise,
    survival,
    total,
    values,
)
from retention._kernels.purchases import Kernel

__all__ = ["KERNEL"]

NAMES = ("r", "alpha", "s", "beta")

KERNEL = Kernel(
    names=NAMES,
    time_power=(0, 1, 0, 1),
    log_likelihoods=log_likelihoods,
    rowwise=rowwise,
    total=total,
    values=values,
    p_alive=p_alive,
    survival=survival,
    forecast=forecast,
    pmf=pmf,
    log_rate=log_rate,
    simulate=simulate,
    ahead=ahead,
    together=together,
)
