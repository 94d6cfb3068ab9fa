"""The reference in plugins/README.md is what the specifications say."""

from __future__ import annotations

from pathlib import Path

import pytest

from crust.cli.reference import BEGIN, END, put_into, reference
from crust.errors import Invalid
from crust.host.registration import HOOKS
from crust.plugin import CAPABILITIES

README = Path(__file__).parents[2] / "plugins" / "README.md"


def test_the_readme_has_the_reference_as_it_is() -> None:
    """Word for word; if not: crust plugins docs plugins/README.md."""
    assert README.read_text().partition(BEGIN)[2].partition(END)[0].strip() == reference().strip()


def test_everything_is_in_it() -> None:
    """Every hook with its colour, every capability, every member of the context."""
    text = reference()
    for name in HOOKS:
        assert f"\n| `{name}` | `{'def' if name.startswith('register_') else 'async def'}` |" in text
    for name in (*CAPABILITIES, "def now("):
        assert name in text


def test_it_is_put_between_the_marks(tmp_path: Path) -> None:
    """And nowhere else; a file without marks is left alone."""
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert put_into(path)
    assert not put_into(path)
    text = path.read_text()
    assert (text.startswith(f"before\n{BEGIN}\n"), text.endswith(f"{END}\nafter\n"), "\nold\n" in text) == (True, True, False)
    path.write_text("mine")
    with pytest.raises(Invalid, match="two lines"):
        put_into(path)
    assert path.read_text() == "mine"
