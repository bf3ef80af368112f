"""Raises in its hook."""

from retention.plugins import hookimpl


@hookimpl
def retention_tiering_rules():
    raise RuntimeError("out of luck")
