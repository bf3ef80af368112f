"""When: each customer's rhythm, whether she is overdue on it, what is at stake each day, and why customers leave."""

from retention.timing.anticipate import anticipate
from retention.timing.backtest import (
    Clock,
    FittedClock,
    LogT,
    NextPurchaseScores,
    Surprise,
    TimingBacktest,
    backtest,
)
from retention.timing.causes import (
    DECEASED,
    NOT_STATED,
    UNCONTROLLABLE,
    CauseHazards,
    ControllableShare,
    CumulativeIncidence,
    Damper,
    cause_hazards,
    controllable_share,
    cumulative_incidence,
    damper,
)
from retention.timing.changes import AlarmMonths, ChangeAlerts, WhyAnswers, WhyTask, record_answers
from retention.timing.clocks import CyclicClock, PurchaseClock
from retention.timing.cycle import NO_CYCLE, STAGES, Cycle, CycleBands, cycle
from retention.timing.delay import DetectionDelay, detection_delay
from retention.timing.leak import Leak, leak
from retention.timing.leaving import LeavingPeak, LeavingPoints, leaving_points
from retention.timing.monitor import HABITS, ChangeMonitor, change_alerts
from retention.timing.needs import (
    CategoryClocks,
    NeedBacktest,
    Needs,
    NextCategories,
    NextCategoryScores,
    Reminders,
    ReminderScores,
    backtest_needs,
    category_clocks,
    next_needs,
)
from retention.timing.outlook import Outlook
from retention.timing.promises import Expectations, KeptPromises, expectation_ledger
from retention.timing.rhythm import Regularity, Rhythm

__all__ = [
    "anticipate",
    "Outlook",
    "Rhythm",
    "Regularity",
    "cycle",
    "Cycle",
    "CycleBands",
    "STAGES",
    "NO_CYCLE",
    "leak",
    "Leak",
    "backtest",
    "TimingBacktest",
    "NextPurchaseScores",
    "Surprise",
    "Clock",
    "FittedClock",
    "CyclicClock",
    "PurchaseClock",
    "LogT",
    "leaving_points",
    "LeavingPoints",
    "LeavingPeak",
    "DECEASED",
    "UNCONTROLLABLE",
    "NOT_STATED",
    "cumulative_incidence",
    "CumulativeIncidence",
    "cause_hazards",
    "CauseHazards",
    "controllable_share",
    "ControllableShare",
    "damper",
    "Damper",
    "change_alerts",
    "ChangeAlerts",
    "ChangeMonitor",
    "AlarmMonths",
    "HABITS",
    "WhyTask",
    "WhyAnswers",
    "record_answers",
    "detection_delay",
    "DetectionDelay",
    "next_needs",
    "Needs",
    "NextCategories",
    "Reminders",
    "category_clocks",
    "CategoryClocks",
    "backtest_needs",
    "NeedBacktest",
    "NextCategoryScores",
    "ReminderScores",
    "expectation_ledger",
    "Expectations",
    "KeptPromises",
]
