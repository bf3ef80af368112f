"""Customers under contract: how long they renew, and what the renewals are worth."""
