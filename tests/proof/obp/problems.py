"""Questions that this library and Open Bandit Pipeline are both asked: the same log, target and guesses.

``benchmarks/peers/obp_peer.py --write`` asks the peer and writes ``reference.json`` beside this file.
"""

from pathlib import Path

import numpy as np

KEYS = ("reward", "action", "pscore", "target", "guess")


def made_up():
    """A log of 5,000 decisions among four actions, made of uniform numbers alone, so that it is the same everywhere.

    The logger is uneven (weights up to 9), the target mixes, the guesses are biased on purpose.
    """
    u = np.random.Generator(np.random.PCG64(20220701)).random((4, 5000))
    x = u[0]
    lean = np.stack([1 + 3 * x, 4 - 3 * x, np.full_like(x, 0.5), 0.4 + x * x], axis=1)
    odds = lean / lean.sum(axis=1, keepdims=True)
    action = (u[1][:, None] > np.cumsum(odds, axis=1)).sum(axis=1).clip(0, 3)
    want = lean[:, ::-1] ** 1.5
    target = want / want.sum(axis=1, keepdims=True)
    mean = 0.1 + 0.2 * x[:, None] * np.array([1.0, 0.2, 0.6, 1.4])
    buys = u[2] < mean[np.arange(5000), action]
    reward = np.where(buys, -20 * np.log1p(-u[3]), 0.0)
    return dict(
        zip(KEYS, (reward, action, odds[np.arange(5000), action], target, 12 * mean + 0.5 * x[:, None]), strict=True)
    )


def open_bandit(folder: Path, campaign: str, logger: str):
    """The impressions of one logger in the Open Bandit Dataset; the target is the other, as far as its log tells.

    The target shows each item at each position as often as the other logger did there; a guess is the item's share of
    clicks in the other log, drawn towards the share of all.
    """
    import pyarrow.parquet as pq

    names = ["item_id", "position", "click", "propensity_score"]
    tables = {
        which: [
            column.to_numpy() for column in pq.read_table(folder / f"{which}_{campaign}.parquet", columns=names).columns
        ]
        for which in ("random", "bts")
    }
    action, position, click, pscore = tables[logger]
    others, places, clicks, _ = tables["bts" if logger == "random" else "random"]
    action, others = action.astype(np.intp), others.astype(np.intp)
    items = int(max(action.max(), others.max())) + 1
    shown = np.stack([np.bincount(others[places == p], minlength=items) for p in (1, 2, 3)])
    share = shown / shown.sum(axis=1, keepdims=True)
    prior = clicks.mean()
    rate = (np.bincount(others, clicks, items) + 100 * prior) / (np.bincount(others, minlength=items) + 100)
    guess = np.broadcast_to(rate, (len(action), items)).copy()
    target = share[position.astype(np.intp) - 1]
    return dict(zip(KEYS, (click.astype(float), action, pscore.astype(float), target, guess), strict=True))


def problems(folder: Path | None):
    """All questions by name; those of real data where the folder is there."""
    out = {"made up": made_up()}
    if folder is not None:
        for campaign in ("men", "women"):
            for logger in ("random", "bts"):
                out[f"open bandit: {campaign}, {logger}"] = open_bandit(folder, campaign, logger)
    return out
