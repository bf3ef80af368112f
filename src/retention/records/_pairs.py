"""Lines that undid themselves: an order and the credit note that took exactly it back."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retention.frames.table import IntColumn

WINDOW = np.timedelta64(2, "D")


def undone_at(
    customer: NDArray[np.integer],
    at: NDArray[np.datetime64],
    money: IntColumn,
    same: Sequence[NDArray[np.integer]] = (),
    order: NDArray[np.integer] | None = None,
) -> NDArray[np.datetime64]:
    """For both lines of each pair the time of the negative one: a negative line, and the positive one, up to two days
    older, that it undoes. NaT for all other lines.

    A pair agrees in customer, in the size of the money and in every column of ``same``. Each line is used once;
    the oldest line that is still within reach is undone first, which undoes as many as can be. Of lines of one moment
    that of the first ``order`` comes first, so that the order of the rows decides nothing that can be seen.
    """
    key = np.zeros(len(money), dtype=np.int64)
    for part in (customer, np.abs(money), *same):
        _, codes = np.unique(part, return_inverse=True)
        codes = codes.reshape(-1)
        _, key = np.unique(key * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
        key = key.reshape(-1)
    groups = int(key.max(initial=-1)) + 1
    both_signs = (np.bincount(key[money > 0], minlength=groups) > 0) & (
        np.bincount(key[money < 0], minlength=groups) > 0
    )
    undone = np.full(len(money), np.datetime64("NaT", "s"), dtype="datetime64[s]")
    rows = np.flatnonzero(both_signs[key])
    # Within one moment the sale comes first, whatever the order of the file.
    number = np.zeros(len(money), dtype=np.int64) if order is None else order
    rows = rows[np.lexsort((rows, number[rows], money[rows] < 0, at[rows], key[rows]))]
    seconds = at[rows].astype("datetime64[s]").astype(np.int64)
    reach = int(WINDOW / np.timedelta64(1, "s"))
    open_sales: deque[tuple[int, int]] = deque()
    group = -1
    for row, of, when, is_sale in zip(
        rows.tolist(), key[rows].tolist(), seconds.tolist(), (money[rows] > 0).tolist(), strict=True
    ):
        if of != group:
            open_sales.clear()
            group = of
        if is_sale:
            open_sales.append((row, when))
            continue
        while open_sales and when - open_sales[0][1] > reach:
            open_sales.popleft()
        if open_sales:
            undone[row] = undone[open_sales.popleft()[0]] = at[row]
    return undone
