"""Prints at import, in its hook, and past Python."""

import os

from retention.plugins import Contribution, hookimpl

print("Welcome to our plugin!")
print("Please subscribe.")
os.system("echo and from a shell")


@hookimpl
def retention_estimators():
    print("collecting")
    yield Contribution(name="loud", summary="tells everyone", make=dict)
