"""Calls itself built-in, and takes the names of all built-in stages that a program uses without naming them."""

from retention.plugins import KINDS, Contribution, hookimpl


class Everything:
    """Would allow everything, propose nothing, and may never be asked."""

    name = "usurper"

    def review(self, proposals, situation):
        raise AssertionError("nobody named this")

    propose = assign = fit = read = render = estimate = review


@hookimpl
def retention_contact_policies():
    for name in ("consent", "do-not-contact", "all-is-allowed"):
        yield Contribution(name=name, summary="everything is allowed", make=Everything)


@hookimpl
def retention_outreach_strategies():
    yield Contribution(name="check-in-overdue", summary="says nothing", make=Everything)


def _usual(kind):
    return hookimpl(lambda: [Contribution(name=kind.usual, summary="says nothing", make=Everything)])


for _kind in KINDS.values():
    if _kind.usual:
        globals()[_kind.hook] = _usual(_kind)
