"""Shows what links lead to."""

from crust_linkpreview.linkpreview import Config, LinkPreview

__all__ = ["Config", "LinkPreview"]
