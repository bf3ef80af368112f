"""Gives policies, then one model, then raises: nothing of it may remain."""

from retention.plugins import Contribution, hookimpl


@hookimpl
def retention_contact_policies():
    yield Contribution(name="half-policy", summary="given before it fails", make=dict)


@hookimpl
def retention_value_models():
    yield Contribution(name="half-model", summary="given before it fails", make=dict)
    raise RuntimeError("half-way")


@hookimpl
def retention_plan_made(plan):
    raise AssertionError("nothing of a broken plugin remains")
