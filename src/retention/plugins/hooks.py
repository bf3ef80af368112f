"""The hooks. Two kinds and no other: contributions, collected once, and announcements, whose answers are ignored."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

from retention.plugins.contribution import Contribution

if TYPE_CHECKING:
    from retention.domain import Outcome
    from retention.plan import Plan

__all__ = ["PROJECT", "hookimpl", "Hooks"]

PROJECT = "retention"
hookimpl = pluggy.HookimplMarker(PROJECT)
_hookspec = pluggy.HookspecMarker(PROJECT)


class Hooks:
    """Hook specifications; a plugin implements any of them as functions marked with ``hookimpl``."""

    @_hookspec
    def retention_readers(self) -> Iterable[Contribution]:  # type: ignore[empty-body]
        """Readers, by name.

        A working plugin::

            @hookimpl
            def retention_readers():
                yield Contribution(name="till-export", summary="our till's own format", make=TillExport)
        """

    @_hookspec
    def retention_value_models(self) -> Iterable[Contribution]:  # type: ignore[empty-body]
        """Value models, by name.

        A working plugin::

            @hookimpl
            def retention_value_models():
                yield Contribution(name="my-model", summary="what it believes", make=MyModel)
        """

    @_hookspec
    def retention_timings(self) -> Iterable[Contribution]:  # type: ignore[empty-body]
        """Timings, by name.

        A working plugin::

            @hookimpl
            def retention_timings():
                yield Contribution(name="weibull", summary="Weibull gaps", make=WeibullClock)
        """

    @_hookspec
    def retention_tiering_rules(self) -> Iterable[Contribution]:  # type: ignore[empty-body]
        """Tiering rules, by name.

        A working plugin::

            @hookimpl
            def retention_tiering_rules():
                yield Contribution(name="two-tiers", summary="gold or not", make=TwoTiers)
        """

    @_hookspec
    def retention_outreach_strategies(self) -> Iterable[Contribution]:  # type: ignore[empty-body]
        """Outreach strategies, by name.

        A working plugin::

            @hookimpl
            def retention_outreach_strategies():
                yield Contribution(name="birthday", summary="a card on her day", make=Birthday)
        """

    @_hookspec
    def retention_contact_policies(self) -> Iterable[Contribution]:  # type: ignore[empty-body]
        """Contact policies, by name.

        A working plugin::

            @hookimpl
            def retention_contact_policies():
                yield Contribution(name="no-sundays", summary="rests on Sundays", make=NoSundays)
        """

    @_hookspec
    def retention_estimators(self) -> Iterable[Contribution]:  # type: ignore[empty-body]
        """Estimators, by name.

        A working plugin::

            @hookimpl
            def retention_estimators():
                yield Contribution(name="trimmed", summary="without the top hundredth", make=Trimmed)
        """

    @_hookspec
    def retention_reports(self) -> Iterable[Contribution]:  # type: ignore[empty-body]
        """Reports, by name.

        A working plugin::

            @hookimpl
            def retention_reports():
                yield Contribution(name="crm-json", summary="what our CRM takes in", make=CrmJson)
        """

    @_hookspec
    def retention_plan_made(self, plan: "Plan") -> None:
        """A plan was made and written to the journal; the answer is ignored.

        Once a night; after a crash between the two once more (the night's fingerprint is the same then), never not.

        A working plugin::

            @hookimpl
            def retention_plan_made(plan):
                send_to_crm(plan.contacts)
        """

    @_hookspec
    def retention_outcome_recorded(self, outcome: "Outcome") -> None:
        """An outcome was written to the journal; the answer is ignored.

        A working plugin::

            @hookimpl
            def retention_outcome_recorded(outcome):
                print(outcome.kind)
        """
