"""Gives a text where a contribution is expected."""

from retention.plugins import hookimpl


@hookimpl
def retention_outreach_strategies():
    return ["win-back"]
