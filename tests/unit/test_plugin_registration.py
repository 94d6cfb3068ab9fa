"""Registration of plugins: what is wrong is refused by name, with what to do, and harms nobody else."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from crust.host.instance import EVERY, HOOK_OF, UPLOADED, takes
from crust.host.registration import HOOKS, registered
from crust.plugin import CAPABILITIES, Plugin, hooks
from crust.settings import Settings
from tests.support.plugins import instance, with_plugins, written

ROOT = Path(__file__).parents[2]
GOOD = """
class Config(PluginConfig):
    greeting: str = "hello"
    most: int = 3

class Greets(Plugin[Config]):
    "Greets."
    api = 1
    capabilities = frozenset({"read:public", "message:post"})

    @hookimpl
    async def on_member_joined(self, event): ...

    @hookimpl(tryfirst=True)
    async def filter_message_post(self): ...

    async def greet(self): ...
"""


def problems(folder: Path, source: str, **values: object) -> list[str]:
    """What is said of an instance `it` of such a plugin, without what is said of each."""
    name = written(folder, source)
    wanted, refused = registered(with_plugins(Settings(), folder, it=instance(name, **values)))
    assert len(wanted) + len(refused) == 1
    left_out = f"plugins.it: the plugin {name} is left out: "
    return [problem.removeprefix(left_out) for each in refused for problem in each.problems]


def test_a_good_one(tmp_path: Path) -> None:
    """It is found in the folder, its hooks are seen, its configuration is read; two instances of one plugin are two."""
    name = written(tmp_path, GOOD)
    settings = with_plugins(Settings(), tmp_path, one=instance(name), two=instance(name, config={"greeting": "hi"}))
    wanted, refused = registered(settings)
    assert not refused
    assert [(each.name, each.config.model_dump()["greeting"]) for each in wanted] == [("one", "hello"), ("two", "hi")]
    assert wanted[0].hooks == {"on_member_joined", "filter_message_post"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("@hookimpl\n    async def on_message_postd(self, event): ...", "there is no hook on_message_postd; is on_message_posted meant?"),
        ("@hookimpl\n    def on_message_posted(self, event): ...", "on_message_posted has to be `async def`"),
        ("async def on_message_posted(self, event): ...", "on_message_posted is not marked with @hookimpl"),
        ("async def filter_messages(self, draft): ...", "filter_messages is not marked with @hookimpl"),
        ("async def startup(self): ...", "startup is not marked with @hookimpl"),
        (
            "@hookimpl\n    async def on_message_posted(self, message): ...",
            "on_message_posted has no argument 'message'; it is called with event",
        ),
        ("@hookimpl\n    async def run(self, event): ...", "run has no argument 'event'; it is called with none"),
        (
            "@hookimpl(wrapper=True)\n    async def on_event(self, event):\n        yield",
            "on_event is a wrapper, which the host does not have",
        ),
        ("@hookimpl\n    async def filter_sign_in(self, draft): ...", "filter_sign_in takes the capability sign-in:filter"),
        ('capabilities = {"message:pots"}', "there is no capability 'message:pots'; is message:post meant?"),
        ("capabilities = None", "its capabilities have to be a set of texts, such as {'read:public'}, and not None"),
        ("capabilities = 'read:public'", "its capabilities have to be a set of texts, such as {'read:public'}, and not 'read:public'"),
        ("capabilities = {'read:public', 3}", "its capabilities have to be a set of texts"),
        ("collections = None", "its collections have to be a dictionary of names and fields, such as {'polls': ['due']}, and not None"),
        ("collections = {'x': 'due'}", "its collection 'x' has to have a list of fields, such as ['due'], and not 'due'"),
        ("collections = {'A b': ['due']}", "'A b' is no name for a collection or field: small letters, digits"),
        ("collections = {'x': [3]}", "3 is no name for a collection or field"),
        ("prefix = None", "its prefix None has to be / and a word"),
        ("@hookimpl\n    @staticmethod\n    async def on_event(event): ...", "on_event has to be a method, and is a staticmethod"),
        ("@classmethod\n    @hookimpl\n    async def on_event(cls, event): ...", "on_event has to be a method, and is a classmethod"),
        ("@hookimpl\n    async def on_event(self, *, event): ...", "on_event has to take 'event' by its place: write it before the *"),
        ("async def send_mesage(self, out): ...", "send_mesage is not marked with @hookimpl"),
        ("api = 2", "it is for generation 2 of the interface, and this Crust has 1: install the versions that fit"),
        ("del api", "it does not say which generation of the interface it is for: add `api = 1` to its class"),
    ],
)
def test_a_wrong_class(tmp_path: Path, line: str, problem: str) -> None:
    """Whatever is wrong with it is named, with the nearest right name."""
    found = problems(tmp_path, f"class It(Plugin[PluginConfig]):\n    api = 1\n    {line}\n")
    assert [each for each in found if each.startswith(problem)], found


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import nowhere_to_be_found.at_all", "it needs the Python module nowhere_to_be_found, which is not installed where Crust is"),
        ("1 / 0", "it cannot be imported: ZeroDivisionError"),
        ("class It(Plugin['Config']): api = 1", "It names its configuration by a text, 'Config': name the class itself"),
        ("raise SystemExit(3)", "it cannot be imported: SystemExit: 3"),
        ("x =", "it cannot be imported: SyntaxError"),
        ("", "has to define one class that derives from crust.plugin.Plugin, and has 0"),
        ("class A(Plugin): api = 1\nclass B(A): pass", "has to define one class that derives from crust.plugin.Plugin, and has 2"),
    ],
)
def test_what_cannot_be_loaded(tmp_path: Path, source: str, problem: str) -> None:
    """Neither a missing dependency nor a broken module stops anything else."""
    [found] = problems(tmp_path, source)
    assert problem in found


def test_a_wrong_configuration(tmp_path: Path) -> None:
    """Each mistake is named by its place in the file, and no value is repeated: it may be a secret."""
    required = GOOD.replace("most: int = 3", "most: int")
    assert problems(tmp_path, required, config={"greting": "s3cret", "greeting": 3}) == [
        "plugins.it.config.greeting: should be a valid string",
        "plugins.it.config.most: has to be set",
        "plugins.it.config.greting: no such setting; is greeting meant?",
    ]


@pytest.mark.parametrize("raises", ["raise KeyError('s3cret')", "raise SystemExit(3)"])
def test_a_validator_that_raises(tmp_path: Path, raises: str) -> None:
    """Whatever it raises refuses this instance alone; it is said where, and no value is repeated."""
    source = f"""
from pydantic import field_validator
class Config(PluginConfig):
    greeting: str = "hello"
    @field_validator("greeting")
    def look(cls, value):
        {raises}
class It(Plugin[Config]):
    api = 1
"""
    [found] = problems(tmp_path, source, config={"greeting": "hi"})
    kind = raises.partition("(")[0].removeprefix("raise ")
    assert found.startswith(f"plugins.it.config: the plugin could not look at it: a validator raised {kind} in {tmp_path}")
    assert "s3cret" not in found


def test_a_class_that_cannot_be_looked_at(tmp_path: Path) -> None:
    """Whatever looking at it raises refuses this instance alone."""
    source = "class Odd(set):\n    def __iter__(self): raise SystemExit(3)\n"
    [found] = problems(tmp_path, source + "class It(Plugin[PluginConfig]):\n    api = 1\n    capabilities = Odd()\n")
    assert found.startswith("looking at its class raised SystemExit in ")


def test_a_module_of_its_own_that_is_not_there(tmp_path: Path) -> None:
    """It is not taken for a package to be installed."""
    package = tmp_path / "crust_parted"
    package.mkdir()
    (package / "__init__.py").write_text("from crust_parted.nowhere import It")
    _, [refused] = registered(with_plugins(Settings(), tmp_path, it=instance("parted")))
    assert refused.problems[0].endswith("its package has no module crust_parted.nowhere")


def test_a_hook_that_is_wrapped_gets_what_it_takes(tmp_path: Path) -> None:
    """Behind a decorator that passes on whatever it is given, it is called as if it stood there itself."""
    name = written(tmp_path, """
        from functools import wraps
        def plain(function):
            async def wrapper(*given, **more): return await function(*given, **more)
            return wrapper
        async def inner(self, event): ...
        class It(Plugin[PluginConfig]):
            api = 1
            @hookimpl
            @plain
            async def on_event(self, event): ...
            @hookimpl
            @wraps(inner)
            async def on_message_posted(*given, **more): ...
            @hookimpl
            async def health(self): ...
    """)  # fmt: skip
    [wanted], _ = registered(with_plugins(Settings(), tmp_path, it=instance(name)))
    plugin = wanted.plugin(None)  # type: ignore[arg-type]  # it is not asked
    assert takes(plugin.on_event) >= 1  # type: ignore[attr-defined]  # of a class in a file
    assert [takes(plugin.on_message_posted), takes(plugin.health)] == [1, 0]  # type: ignore[attr-defined]  # the same


def test_an_unknown_one_and_the_others(tmp_path: Path) -> None:
    """It is refused with what there is; what is beside it, and what is not enabled, is not touched."""
    good = written(tmp_path, GOOD)
    settings = with_plugins(Settings(), tmp_path, good=instance(good), bad=instance(good[:-1]), off=instance("nothing", enabled=False))
    wanted, [refused] = registered(settings)
    assert [each.name for each in wanted] == ["good"]
    assert refused.problems[0].startswith(f"plugins.bad.use: there is no plugin '{good[:-1]}'; is {good} meant?; there are: ")


def test_a_module_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    """A file named like a module that there is already is refused, and not another's code taken for a plugin."""
    (tmp_path / "json.py").write_text(GOOD)
    _, [refused] = registered(with_plugins(Settings(), tmp_path, it=instance("json")))
    assert "there is another module json already" in refused.problems[0]


def test_every_hook_is_described() -> None:
    """Each says what it is; its name says its family, and that its colour."""
    assert len(HOOKS) > 25
    for name, function in HOOKS.items():
        assert inspect.getdoc(function), name
        assert inspect.iscoroutinefunction(function) != name.startswith("register_"), name
        assert "return" in function.__annotations__, name


def test_every_event_hook_is_called_for_something() -> None:
    """And everything that is called is a hook."""
    called = {*HOOK_OF.values(), UPLOADED, EVERY}
    assert called == {name for name in HOOKS if name.startswith("on_")}


def test_capabilities_are_described_and_the_interface_imports_nothing_else() -> None:
    """The closed list has a meaning for each."""
    assert all(CAPABILITIES.values())
    assert Plugin.capabilities <= CAPABILITIES.keys()
    tree = ast.parse(inspect.getsource(hooks))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "host" in (node.module or "")]


def test_what_is_shipped_can_be_loaded() -> None:
    """Each entry point of the wheel names a plugin that is good, and its package is in the wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    for kind, place in project["project"].get("entry-points", {}).get("crust.plugins", {}).items():
        plugin = EntryPoint(kind, place, "crust.plugins").load()
        assert issubclass(plugin, Plugin)
        assert {f"{folder}/{place.partition(':')[0]}" for folder in ("plugins", "bridges")} & set(packages)


# ---- the command


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "crust.cli.main", "plugins", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_what_the_command_says(tmp_path: Path) -> None:
    """list, show and check: what there is, how it is, what is wrong; the exit status says whether anything is."""
    good, bad = written(tmp_path / "mine", GOOD), written(tmp_path / "mine", "import nowhere_at_all")
    config = tmp_path / "config.toml"
    config.write_text(f'plugins_dir = "mine"\n[plugins.a]\nuse = "{good}"\n[plugins.b]\nuse = "{bad}"\n')
    rows = {row["name"]: row for row in json.loads(command(tmp_path, "list", "--json").stdout)}
    assert rows["a"]["state"] not in ("refused", "disabled")
    assert rows["b"]["state"] == "refused"
    assert "nowhere_at_all" in rows["b"]["reason"]
    checked = command(tmp_path, "check")
    assert (checked.returncode, checked.stdout.count("\n")) == (1, 1)
    shown = command(tmp_path, "show", "a")
    assert all(word in shown.stdout for word in ("Greets.", "message:post", "on_member_joined", "greeting", "is 'hello'")), shown.stderr
    assert json.loads(command(tmp_path, "show", good, "--json").stdout)["config"]["most"]["default"] == "3"
    refused = command(tmp_path, "show", "b")
    assert (refused.returncode, "nowhere_at_all" in refused.stderr) == (1, True)
    config.write_text(config.read_text().partition("[plugins.b]")[0])
    assert command(tmp_path, "check").stdout == "the plugins are good\n"
    config.write_text(config.read_text() + 'organisations = ["Nowhere"]\n')
    assert command(tmp_path, "check").stdout == "plugins.a.organisations: There is no organisation 'Nowhere'.\n"
