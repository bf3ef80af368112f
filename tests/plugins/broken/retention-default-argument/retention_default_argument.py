"""Gives an argument of its hook a default, and asks for one that it may have one day: nothing is wrong with it."""

from retention.plugins import hookimpl


@hookimpl
def retention_plan_made(plan=None, of_a_later_version=None):
    assert plan is not None
    assert of_a_later_version is None
