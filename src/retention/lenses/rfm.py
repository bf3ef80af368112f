"""Recency, frequency and monetary value: the customers of a base in thirds, and what is found in each cell."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike

from retention.errors import ConfigError, nearest
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, IntColumn, Table, TextColumn, column
from retention.histories import Histories

__all__ = ["rfm_terciles", "RFM", "RFMCells"]

MARKS = ("recency", "frequency", "monetary")


@frozen(eq=False, repr=False, kw_only=True)
class RFM(Table):
    """Three marks a customer, each from 1 to 3: 3 is the latest, the most frequent, the one who pays most a time.

    A customer without a repeat purchase has neither a frequency nor a recency to be ranked by: her marks are 0.
    """

    customer_id: TextColumn = column("who")
    recency: IntColumn = column("third by day of the last purchase, 3 the latest; 0 without a repeat purchase")
    frequency: IntColumn = column("third by repeat purchase days, 3 the most; 0 without any")
    monetary: IntColumn = column("third by mean margin of a repeat purchase day, 3 the highest; 0 without any")

    def cells(self, values: ArrayLike, *, by: Sequence[str] = MARKS) -> "RFMCells":
        """How many customers have the same marks ``by``, and the mean and sum of ``values`` (one a customer) over
        them. ``by=["recency"]`` gives the recency thirds alone. Cells without customers are left out.

        Raises ConfigError for a mark that is none of the three, and for values that are not one a customer.

        Example:
            >>> base = Histories.from_arrays(frequency=[0, 1, 2, 9], recency_days=[0, 10, 80, 90],
            ...                              age_days=[99] * 4, margin_mean=[0, 5, 20, 10])
            >>> rfm_terciles(base).cells([1.0, 2.0, 8.0, 30.0], by=["recency", "monetary"]).to_frame("pandas")
              cell  customers  mean  total
            0   00          1   1.0    1.0
            1   11          1   2.0    2.0
            2   23          1   8.0    8.0
            3   32          1  30.0   30.0
        """
        if isinstance(by, str) or not by or len(set(by)) < len(by) or not set(by) <= set(MARKS):
            odd = next((name for name in (by if not isinstance(by, str) else ()) if name not in MARKS), "")
            raise ConfigError(
                f"by={by!r}",
                rule=f"cells are made by some of {', '.join(MARKS)}, each once, in a list",
                remedy=nearest(odd, MARKS) if odd else "by=['recency'], or leave it out for all three",
            )
        each = np.asarray(values, dtype=np.float64)
        if each.shape != (len(self),) or not np.all(np.isfinite(each)):
            raise ConfigError(
                f"values of shape {each.shape} for {len(self):,} customers"
                + ("" if np.all(np.isfinite(each)) else ", some of them not finite"),
                rule="there is one finite value a customer, in the order of the marks",
                remedy="value the same histories, in the same order",
            )
        code = np.zeros(len(self), dtype=np.int64)
        for name in by:
            code = 10 * code + self[name]
        cell, which = np.unique(code, return_inverse=True)
        customers = np.bincount(which, minlength=len(cell))
        total = np.asarray(np.bincount(which, each, minlength=len(cell)), dtype=np.float64)
        return RFMCells(
            cell=np.array([f"{number:0{len(by)}d}" for number in cell.tolist()], dtype=np.str_),
            customers=customers.astype(np.int64),
            mean=total / np.maximum(customers, 1),
            total=total,
            by=tuple(by),
            provenance=self.provenance,
        )


@frozen(eq=False, repr=False, kw_only=True)
class RFMCells(Table):
    """One row a cell: ``cell`` holds its marks in the order of ``by`` ("313": late, seldom, pays well)."""

    key: ClassVar[str] = "cell"

    cell: TextColumn = column("the marks, one digit each")
    customers: IntColumn = column("how many have these marks", unit="count")
    mean: FloatColumn = column("mean value of a customer in the cell")
    total: FloatColumn = column("sum of the values in the cell")

    by: tuple[str, ...]

    def plot(self, ax: Any = None) -> Any:
        """Draw the means of the 27 cells: a block for each monetary third, recency to the right, frequency upwards;
        the shade is the logarithm of the mean. Customers without a repeat purchase are not drawn."""
        if self.by != MARKS:
            raise ConfigError(
                f"a picture of cells by {', '.join(self.by)}",
                rule="the picture shows cells by recency, frequency and monetary value",
                remedy="leave out by=...",
            )
        ax = axes(ax, size=(8.6, 3.0))
        repeaters = self[np.array([cell != "000" for cell in self.cell.tolist()], dtype=bool)]
        marks = np.array([[int(mark) for mark in cell] for cell in repeaters.cell.tolist()], dtype=np.int64)
        marks = marks.reshape(-1, 3)
        shades = np.full((3, 11), np.nan)
        column_of = 4 * (marks[:, 2] - 1) + marks[:, 0] - 1
        positive = repeaters.mean > 0
        shades[marks[positive, 1] - 1, column_of[positive]] = np.log10(repeaters.mean[positive])
        ax.imshow(shades, origin="lower", cmap="Blues", aspect="auto", alpha=0.6)
        for x, f, mean, many in zip(column_of, marks[:, 1] - 1, repeaters.mean, repeaters.customers, strict=True):
            ax.annotate(f"{mean:,.0f}", (x, f), xytext=(0, 4), textcoords="offset points", ha="center", va="center")
            ax.annotate(
                f"{many:,}", (x, f), xytext=(0, -9), textcoords="offset points", ha="center", va="center",
                fontsize=7, color="0.25",
            )  # fmt: skip
        ax.set(
            xticks=[0, 1, 2, 4, 5, 6, 8, 9, 10],
            xticklabels=["1", "2", "3"] * 3,
            yticks=[0, 1, 2],
            yticklabels=["1", "2", "3"],
            xlabel="recency, in the thirds of monetary value: lowest, middle, highest",
            ylabel="frequency",
        )
        ax.set_title("Mean value in each cell; below it, how many customers", fontsize=10)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        return ax


def rfm_terciles(histories: Histories) -> RFM:
    """Marks of 1 to 3 for recency, frequency and monetary value, by thirds of the repeat buyers (Fader, Hardie and
    Lee 2005, Journal of Marketing Research 42(4), 415-430).

    Each third of a mark holds equally many customers, to one; if they cannot be equal, the lower are larger. Many
    customers have the same frequency, so where a third ends is a matter of ties: of equally frequent customers
    the later is higher, of those with the same last day the more frequent, of those who pay the same the later and
    then the more frequent. What is still tied is ranked by customer id; the order of the rows plays no part.

    A mark is a rank within this base on this day. It says nothing by itself about another base, or another day.

    Example:
        >>> base = Histories.from_arrays(frequency=[0, 1, 1, 9], recency_days=[0, 10, 80, 90], age_days=[99] * 4,
        ...                              margin_mean=[0, 5, 20, 10])
        >>> marks = rfm_terciles(base)
        >>> [marks[name].tolist() for name in ("recency", "frequency", "monetary")]
        [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 3, 2]]
    """
    repeats = np.flatnonzero(histories.frequency > 0)
    hers = histories[repeats]
    _, name = np.unique(hers.customer_id, return_inverse=True)
    late, often, paid = -hers.idle_days, hers.frequency, hers.margin_mean

    def thirds(*keys: Any) -> IntColumn:
        order = np.lexsort((name, *reversed(keys)))
        marks = np.zeros(len(histories), dtype=np.int64)
        marks[repeats[order]] = 1 + np.arange(len(order)) * 3 // max(len(order), 1)
        return marks

    return RFM(
        customer_id=histories.customer_id,
        recency=thirds(late, often, paid),
        frequency=thirds(often, late, paid),
        monetary=thirds(paid, late, often),
        provenance=histories.provenance,
    )
