"""TEMPORARY root."""
