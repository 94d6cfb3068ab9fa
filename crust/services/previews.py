"""What may be shown of a link in a message: whoever found it out, it is checked here."""

from __future__ import annotations

import unicodedata
from urllib.parse import urlsplit

from crust.errors import Invalid
from crust.events.objects import Preview
from crust.services import names

URL_MAX = 2_048  # characters, as of what may be asked for
TITLE_MAX = 300
DESCRIPTION_MAX = 1_000


def checked(preview: Preview) -> Preview:
    """A preview that everybody can be shown: of texts one line each, and links that a browser opens as pages and pictures.

    Raises:
        Invalid: it is none; the field says which part.
    """
    return Preview(
        url=link(preview.url, "url"),
        title=text(preview.title, "title", TITLE_MAX),
        description=text(preview.description, "description", DESCRIPTION_MAX),
        image=None if preview.image is None else link(preview.image, "image"),
    )


def text(value: str | None, field: str, most: int) -> str | None:
    """One line; what says nothing is None."""
    return None if value is None else names.line(value, field, most) or None


def link(value: str, field: str) -> str:
    """An absolute link of http or https."""
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fine = False
    if not fine or len(value) > URL_MAX or any(each.isspace() or unicodedata.category(each)[0] == "C" for each in value):
        raise Invalid(f"{field} must be an http or https link of at most {URL_MAX} characters.", field=field)
    return value
