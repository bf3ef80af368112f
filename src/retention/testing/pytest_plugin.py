"""Two fixtures for the tests of plugins, there wherever pytest and the library are installed.

``shop`` is a small fixed shop with all its tables, ``plugin_manager`` opens the registry with exactly the plugins that
a test names. Pytest imports this module at every start, before coverage begins to look: so nothing of the library is
imported until a test asks for a fixture.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from retention.plugins import Registry
    from retention.testing.samples import SampleShop

__all__ = ["plugin_manager", "shop"]


@pytest.fixture
def plugin_manager(monkeypatch: pytest.MonkeyPatch) -> "Iterator[Callable[..., Registry]]":
    """Until the test ends the built-in stages and the plugins that it gives are on board, and no other.

    What happens to be installed beside them, and what the environment selects or blocks, plays no part. What it opens
    is the registry; names can be chosen everywhere, and a plugin that cannot be loaded raises at once::

        def test_my_model_is_found(plugin_manager, shop):
            assert "my-model" in plugin_manager(my_package.plugin).names("value_model")
            assert len(rt.appraise(shop.histories, model="my-model")) == len(shop.histories)
    """
    for name in ("PLUGINS", "BLOCKED_PLUGINS", "STRICT_PLUGINS"):
        monkeypatch.delenv(f"RETENTION_{name}", raising=False)
    with ExitStack() as until_the_end:

        def with_plugins(*plugins: Any) -> "Registry":
            from retention.plugins import using

            return until_the_end.enter_context(using(*plugins, installed=False))

        yield with_plugins


@pytest.fixture
def shop() -> "SampleShop":
    """``retention.testing.sample_shop()``: log, histories, valuation, outlook, tiering, situation and proposals."""
    from retention.testing.samples import sample_shop

    return sample_shop()
