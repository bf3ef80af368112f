"""The only door for data frames and files: any of them in, columns out; results back in the caller's own."""

from retention.frames.table import Provenance, Table

__all__ = ["Provenance", "Table"]
