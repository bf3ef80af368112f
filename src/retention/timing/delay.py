"""How long a change of habit stays unseen, by how regular she is: simulated, beside what nobody can beat."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen

from retention.errors import ConfigError
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, Provenance, Table, column
from retention.timing.monitor import HABITS
from retention.timing.rhythm import Rhythm

__all__ = ["DetectionDelay", "detection_delay"]


@frozen(eq=False, repr=False, kw_only=True)
class DetectionDelay(Table):
    """One row a class of customers: from the change to the alarm, in her old usual gaps.

    ``bound_gaps`` is what a watcher needs who knows her old rate, the new one and her regularity: for a slowdown
    Lorden's bound, which holds for small false-alarm rates and is not sharp for few gaps; for a full stop the silence
    that is rare enough. Median and quartile are infinite where too few were found within ``within_gaps``.
    """

    key = "regularity"

    regularity: FloatColumn = column("how even her gaps are: 1 is Poisson, 12 a clock")
    quarter_gaps: FloatColumn = column("a quarter of the changes is seen by then", unit="gaps")
    median_gaps: FloatColumn = column("half of the changes is seen by then", unit="gaps")
    median_days: FloatColumn = column("the same in days", unit="days")
    found: FloatColumn = column("share seen within the time simulated")
    bound_gaps: FloatColumn = column("with everything known", unit="gaps")

    slowdown: float
    within_gaps: float
    false_alarms_per_year: float

    def plot(self, ax: Any = None) -> Any:
        """Median delays and the bound, by regularity."""
        ax = axes(ax)
        ax.plot(self.regularity, np.where(np.isfinite(self.median_gaps), self.median_gaps, np.nan), "o-", label="seen")
        ax.plot(self.regularity, self.bound_gaps, "k--", label="with everything known")
        ax.set(xlabel="regularity (1: Poisson, 12: a clock)", ylabel="median delay, old gaps", ylim=(0, None))
        ax.legend(frameon=False)
        return ax


def detection_delay(
    regularity: Sequence[float] = (1.0, 2.0, 4.0, 8.0),
    *,
    slowdown: float = 2.0,
    purchases_per_year: float = 12.0,
    gaps_before: int = 24,
    within_gaps: int = 60,
    false_alarms_per_year: float = 0.01,
    rhythm: Rhythm | None = None,
    memory: int = 64,
    customers: int = 200,
    seed: int = 0,
) -> DetectionDelay:
    """How long until :func:`change_alerts` sees that her gaps became ``slowdown`` times as long (inf: she stopped).

    Customers with gamma gaps and ``gaps_before`` of them on record are simulated, and watched for frequency and
    silence with the parts of the budget that these have in ``change_alerts``. ``rhythm`` is the clock for silence;
    None takes a weak one around the true mean.

    Raises ConfigError for arguments out of range.

    Example:
        >>> table = detection_delay((8.0,), customers=100)
        >>> bool(table.bound_gaps[0] < table.median_gaps[0] < 20)
        True
    """
    from retention.timing._watch import Watch

    shapes = [float(k) for k in regularity]
    if not (
        shapes and min(shapes) > 0 and slowdown > 1 and 0 < purchases_per_year <= 122 and gaps_before >= 3
        and within_gaps >= 1 and customers >= 1 and 0 < false_alarms_per_year < 1
    ):  # fmt: skip
        raise ConfigError(
            f"regularity={shapes}, slowdown={slowdown!r}, purchases_per_year={purchases_per_year!r}, "
            f"gaps_before={gaps_before!r}, within_gaps={within_gaps!r}, customers={customers!r}",
            rule="shapes above 0, a slowdown above 1, at most 122 purchases a year, 3 gaps before, counts above 0",
            remedy="regularity=(1, 2, 4, 8), slowdown=2.0, purchases_per_year=12, gaps_before=24",
        )
    usual = 365.25 / purchases_per_year
    clock = rhythm or Rhythm(
        m0=math.log(usual), kappa0=1.5, nu0=5.0, s0_squared=0.5, a=0.5, b=10.0, typical_gap_days=usual
    )
    budget = {habit: HABITS[habit] * false_alarms_per_year for habit in ("silence", "frequency")}
    rng = np.random.default_rng(seed)
    rows = []
    for k in shapes:
        waits = np.full(customers, np.inf)
        after = 0 if math.isinf(slowdown) else math.ceil(within_gaps / slowdown * 2) + 5
        gaps = rng.gamma(k, usual / k, (customers, gaps_before + after))
        gaps[:, gaps_before:] *= slowdown if after else 1.0
        days = np.cumsum(np.maximum(np.rint(gaps), 1.0), axis=1).astype(np.int64)
        days = np.concatenate([np.zeros((customers, 1), np.int64), days], axis=1)
        change = days[:, gaps_before]
        early = np.zeros(customers, bool)
        last = change + int(within_gaps * usual)
        row = np.repeat(np.arange(customers), days.shape[1])
        flat = days.ravel()
        kept = flat <= last[row]
        same = np.full(int(kept.sum()), 1.0, np.float32)
        watch = Watch(clock, budget, memory, customers)
        for alarm in watch.feed(row[kept], flat[kept], {"basket": same}, int(last.max())):
            late = alarm.day - change[alarm.row]
            if alarm.worse and late > 0 and alarm.day <= last[alarm.row]:
                waits[alarm.row] = min(waits[alarm.row], late)
            early[alarm.row] |= late <= 0
        waits = np.sort(waits[~early]) / usual
        quarter, median = (
            float(waits[min(len(waits) - 1, int(q * len(waits)))]) if len(waits) else math.nan for q in (0.25, 0.5)
        )
        rows.append(
            (
                k,
                quarter,
                median,
                median * usual,
                float(np.isfinite(waits).mean()),
                _bound(k, slowdown, purchases_per_year / false_alarms_per_year),
            )
        )
    columns = np.array(rows).T
    return DetectionDelay(
        regularity=columns[0],
        quarter_gaps=columns[1],
        median_gaps=columns[2],
        median_days=columns[3],
        found=columns[4],
        bound_gaps=columns[5],
        slowdown=float(slowdown),
        within_gaps=float(within_gaps),
        false_alarms_per_year=float(false_alarms_per_year),
        provenance=Provenance(model="change alerts, simulated", seed=seed),
    )


def _bound(shape: float, slowdown: float, rarity: float) -> float:
    """log(1 / false alarms a gap) over the information of one new gap, in old gaps; or the rare enough silence."""
    from scipy.special import gammainccinv

    if math.isinf(slowdown):
        return float(gammainccinv(shape, 1.0 / rarity) / shape)
    return slowdown * math.log(rarity) / (shape * (slowdown - 1.0 - math.log(slowdown)))
