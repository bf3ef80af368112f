"""What an author of a plugin needs: laws that every implementation keeps, and data to try them on.

One check for each kind, ``check_value_model`` and so on, and ``check_plugin`` for a whole plugin; ``report`` tells law
by law, ``conformance`` makes a pytest parameter of each, ``report_card`` grades a contact policy before it goes live.
``sample_histories`` and ``sample_shop`` are small fixed data; ``retention.testing.strategies`` (needs hypothesis) makes
all the others.

Names are fetched when used: pytest and hypothesis look in here at every start, in projects that never ask too.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retention.testing.card import ReportCard
    from retention.testing.contact_policies import check_contact_policy
    from retention.testing.estimators import check_estimator
    from retention.testing.laws import (
        BrokenLaws,
        Finding,
        Kit,
        Law,
        NotAsked,
        Report,
        conformance,
        kit,
        kits,
        report,
        run,
    )
    from retention.testing.outreach_strategies import check_outreach_strategy
    from retention.testing.past_nights import Known
    from retention.testing.plugin import check_plugin
    from retention.testing.readers import check_reader
    from retention.testing.report_cards import report_card
    from retention.testing.reports import check_report
    from retention.testing.samples import SampleShop, sample_histories, sample_shop
    from retention.testing.tiering_rules import check_tiering_rule
    from retention.testing.timings import check_timing
    from retention.testing.value_models import check_value_model

__all__ = [
    "BrokenLaws",
    "Finding",
    "Kit",
    "Known",
    "Law",
    "NotAsked",
    "Report",
    "ReportCard",
    "SampleShop",
    "check_contact_policy",
    "check_estimator",
    "check_outreach_strategy",
    "check_plugin",
    "check_reader",
    "check_report",
    "check_tiering_rule",
    "check_timing",
    "check_value_model",
    "conformance",
    "kit",
    "kits",
    "report",
    "report_card",
    "run",
    "sample_histories",
    "sample_shop",
]

_HOME = {
    "contact_policies": ("check_contact_policy",),
    "estimators": ("check_estimator",),
    "laws": (
        "BrokenLaws",
        "Finding",
        "Kit",
        "Law",
        "NotAsked",
        "Report",
        "conformance",
        "kit",
        "kits",
        "report",
        "run",
    ),
    "outreach_strategies": ("check_outreach_strategy",),
    "past_nights": ("Known",),
    "plugin": ("check_plugin",),
    "readers": ("check_reader",),
    "card": ("ReportCard",),
    "report_cards": ("report_card",),
    "reports": ("check_report",),
    "samples": ("SampleShop", "sample_histories", "sample_shop"),
    "tiering_rules": ("check_tiering_rule",),
    "timings": ("check_timing",),
    "value_models": ("check_value_model",),
}


def __getattr__(name: str) -> Any:
    module = next((module for module, names in _HOME.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module 'retention.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"retention.testing.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
