"""Listens to announcements, and fails at each."""

from retention.plugins import hookimpl


@hookimpl
def retention_plan_made(plan):
    raise RuntimeError("the network is down")


@hookimpl
def retention_outcome_recorded(outcome):
    raise RuntimeError("the network is down")
