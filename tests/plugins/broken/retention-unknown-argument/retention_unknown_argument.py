"""Asks for an argument that its hook does not have."""

from retention.plugins import hookimpl


@hookimpl
def retention_value_models(everything):
    return []
