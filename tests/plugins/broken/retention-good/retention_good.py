"""Does everything right. Nobody names it."""

from retention.plugins import Contribution, hookimpl


class Stage:
    """A stage of any kind that must not be asked."""

    name = "good"

    def review(self, *arguments, **options):
        raise AssertionError("nobody named this")

    propose = assign = fit = read = render = estimate = review


@hookimpl
def retention_contact_policies():
    yield Contribution(name="good:policy", summary="of a stranger", make=Stage)


@hookimpl
def retention_outreach_strategies():
    yield Contribution(name="good:strategy", summary="of a stranger", make=Stage)


@hookimpl
def retention_value_models():
    yield Contribution(name="good:model", summary="of a stranger", make=Stage)


@hookimpl
def retention_tiering_rules():
    yield Contribution(name="good:rule", summary="of a stranger", make=Stage)


@hookimpl
def retention_timings():
    yield Contribution(name="good:timing", summary="of a stranger", make=Stage)


@hookimpl
def retention_plan_made(plan):
    assert len(plan.customer_id) > 0
