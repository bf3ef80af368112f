"""Reading models that were stored: what is not as it was written is one clear error."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from retention.errors import ModelError, RetentionError
from retention.value.estimate import Estimate

__all__ = ["check_doubt", "reading"]


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turns whatever a part that is missing, or of another kind, raises while it is read into one ModelError."""
    try:
        yield
    except ModelError:
        raise
    except (RetentionError, AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        said = error.given if isinstance(error, RetentionError) else error
        raise ModelError(
            f"a stored {what} with a part that cannot be read ({type(error).__name__}: {said})",
            rule="a stored model is read as it was written, with nothing more and nothing less",
            remedy="store it again with to_dict()",
        ) from error


def check_doubt(found: Estimate | None, doubt: Sequence[Sequence[float]], names: Sequence[str]) -> None:
    """ValueError unless what stands for the doubt is of these parameters: a covariance, or points of them."""
    d = len(names)
    if any(len(row) != d for row in doubt) or not np.all(np.isfinite(np.array(doubt, dtype=np.float64))):
        raise ValueError(f"doubt: rows of {d} finite numbers, for {', '.join(names)}")
    if found is None:
        return
    spread = np.array(found.spread, dtype=np.float64)
    if spread.shape != (d, d) or not np.all(np.isfinite(spread)) or not np.allclose(spread, spread.T):
        raise ValueError(f"spread: a covariance of {d} x {d}, for {', '.join(names)}")
    np.linalg.cholesky(spread)
    for number in (found.customers, found.log_likelihood, found.gradient_norm, *found.standard_errors.values()):
        float(number)
