"""Is slow at import."""

import time

from retention.plugins import Contribution, hookimpl

time.sleep(0.05)


@hookimpl
def retention_timings():
    yield Contribution(name="slow", summary="takes its time", make=dict)
