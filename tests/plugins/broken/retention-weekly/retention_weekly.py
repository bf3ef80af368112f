"""Collides with another distribution: by the name of its entry point, and by the name that it gives."""

from retention.plugins import Contribution, hookimpl


class Weekly:
    name = "once-a-week"

    def review(self, proposals, situation):
        raise NotImplementedError


@hookimpl
def retention_contact_policies():
    yield Contribution(name="once-a-week", summary="at most one contact a week", make=Weekly)
