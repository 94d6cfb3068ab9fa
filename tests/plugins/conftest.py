"""Plugins are tried on each database, as contracts are."""

from tests.contracts.conftest import migrated_postgres, settings, sqlite_in

__all__ = ["migrated_postgres", "settings", "sqlite_in"]
