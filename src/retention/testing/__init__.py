"""What an author of a model or a plugin needs: laws that every implementation keeps, and data to try them on.

``check_value_model`` runs all laws of a value model. ``retention.testing.strategies`` (needs hypothesis) makes
customer bases for property tests.
"""

from retention.testing.value_models import BrokenLaws, check_value_model, sample_histories

__all__ = ["BrokenLaws", "check_value_model", "sample_histories"]
