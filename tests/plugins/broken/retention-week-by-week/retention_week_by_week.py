"""Collides with another distribution: by the name of its entry point, and by the name that it gives."""

from retention.plugins import Contribution, hookimpl


class Weekly:
    name = "once-a-week"

    def review(self, proposals, situation):
        raise NotImplementedError


@hookimpl
def retention_contact_policies():
    yield Contribution(name="once-a-week", summary="never twice in a week", make=Weekly)
