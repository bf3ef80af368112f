"""Announces its one module under two names."""

from retention.plugins import Contribution, hookimpl


@hookimpl
def retention_readers():
    yield Contribution(name="twice", summary="given once", make=dict)
