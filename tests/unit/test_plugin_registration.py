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

from crust.host.instance import EVERY, HOOK_OF, UPLOADED
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
        ("api = 2", "it is for generation 2 of the interface, and this Crust has 1: install the versions that fit"),
        ("del api", "it does not say which generation of the interface it is for: add `api = 1` to its class"),
    ],
)
def test_a_wrong_class(tmp_path: Path, line: str, problem: str) -> None:
    """Whatever is wrong with it is named, with the nearest right name."""
    assert problem in problems(tmp_path, f"class It(Plugin[PluginConfig]):\n    api = 1\n    {line}\n")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import nowhere_to_be_found.at_all", "it needs the Python module nowhere_to_be_found, which is not installed where Crust is"),
        ("1 / 0", "it cannot be imported: ZeroDivisionError"),
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
        assert f"plugins/{place.partition(':')[0]}" in packages


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
