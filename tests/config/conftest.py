"""The fixtures of `fake_paper`, for all tests of the config layer."""

from tests.config.fake_paper import fake_plugin, write

__all__ = ["fake_plugin", "write"]
