"""A peer's own summary of transactions, timed in its environment: what `benchmarks/scale.py --peers` starts.

    python summary_peer.py lifetimes receipts.npz

The receipts (customer, day, amount) are read before the clock starts, as a pandas frame, which is what peers take.
"""

import json
import resource
import sys
import time

import numpy as np
import pandas as pd


def main() -> None:
    library, path = sys.argv[1:]
    held = np.load(path)
    frame = pd.DataFrame({"customer": held["customer"], "day": held["day"], "amount": held["amount"]})
    end = frame["day"].max()
    if library == "lifetimes":
        from lifetimes.utils import summary_data_from_transaction_data as summarize
    else:
        from pymc_marketing.clv.utils import rfm_summary as summarize
    start = time.perf_counter()
    found = summarize(frame, "customer", "day", monetary_value_col="amount", observation_period_end=end)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "told": [len(found), float(found["frequency"].sum())]}))


if __name__ == "__main__":
    main()
