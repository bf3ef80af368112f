"""Simulated shops and subscriptions with planted truth: to test a method, or to rehearse a policy."""

from retention.worlds.mess import Mess, Planted
from retention.worlds.pantry import Good, Pantry, PantryTruth, PantryWorld
from retention.worlds.reentry import Reentry, ReentryTruth, ReentryWorld
from retention.worlds.shop import Category, Persona, Shop
from retention.worlds.subscription import Subscription, SubscriptionTruth, SubscriptionWorld
from retention.worlds.truth import Future, Responses, Truth
from retention.worlds.world import World

__all__ = [
    "Shop",
    "Persona",
    "Category",
    "World",
    "Truth",
    "Future",
    "Responses",
    "Mess",
    "Planted",
    "Reentry",
    "ReentryWorld",
    "ReentryTruth",
    "Subscription",
    "SubscriptionWorld",
    "SubscriptionTruth",
    "Pantry",
    "Good",
    "PantryWorld",
    "PantryTruth",
]
