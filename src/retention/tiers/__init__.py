"""Ranks: tiers by what a customer is expected to bring, and who is within reach of the next one."""

from retention.tiers.margin_bands import MarginBands
from retention.tiers.tiering import Tiering, TieringRule

__all__ = ["MarginBands", "Tiering", "TieringRule"]
