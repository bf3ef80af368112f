"""Forgets to mark its hook."""

from retention.plugins import Contribution


def retention_readers():
    yield Contribution(name="unmarked", summary="never seen", make=dict)
