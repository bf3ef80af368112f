"""Forgets to return what it made."""

from retention.plugins import Contribution, hookimpl


@hookimpl
def retention_reports():
    Contribution(name="forgotten", summary="never returned", make=dict)
