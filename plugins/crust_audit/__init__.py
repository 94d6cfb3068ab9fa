"""Keeps what happens in a file."""

from crust_audit.audit import Audit, Config

__all__ = ["Audit", "Config"]
