"""Misspells a hook."""

from retention.plugins import hookimpl


@hookimpl
def retention_contact_polices():
    return []
