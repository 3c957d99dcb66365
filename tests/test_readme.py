"""The texts people read say what is: paths, commands, links, options, defaults."""

import re
import shlex
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.urls import Resolver404, resolve

ROOT = Path(__file__).parent.parent
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
OPTION = re.compile(r"^- `(--[\w-]+)` : .*\(défaut : ([^)]+)\)$", re.MULTILINE)
# Made by setup.sh, or by the one who follows the page.
MADE = {"venv", "data", "ml_models"}


def _anchor(heading: str) -> str:
    """The anchor of a heading, as hosts of Markdown make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _shell_lines() -> list[str]:
    # The quoted blocks of the English part start with "> ".
    text = re.sub(r"^> ?", "", README, flags=re.MULTILINE)
    lines = (
        line for kind, body in BLOCK.findall(text) if kind == "bash" for line in body.split("\n")
    )
    return [line.partition("  #")[0].strip() for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), link
        if anchor:
            headings = HEADING.findall(target.read_text(encoding="utf-8"))
            assert anchor in map(_anchor, headings), link


def test_the_tree_of_the_readme_is_the_tree() -> None:
    tree = next(body for kind, body in BLOCK.findall(README) if "banque-epreuves-api/" in body)
    folders: list[str] = []
    for line in tree.splitlines()[1:]:
        indent, name = re.match(r"([│ ├└─]*)(\S+)", line).groups()  # type: ignore[union-attr]
        folders = [*folders[: len(indent) // 4 - 1], name.strip("/")]
        assert ROOT.joinpath(*folders).exists(), "/".join(folders)


@pytest.mark.parametrize(
    "line", [line for line in _shell_lines() if line.startswith("python manage.py ")]
)
def test_the_management_commands_of_the_readme_are_understood(line: str) -> None:
    _, _, command, *argv = shlex.split(line)
    parser = load_command_class(get_commands()[command], command).create_parser(
        "manage.py", command
    )
    parser.parse_args(argv)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_make_targets_named_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`make ([a-z -]+)`", text) + re.findall(r"^make ([a-z -]+)$", text, re.M)
    assert set(" ".join(named).split()) <= targets


def test_the_defaults_of_the_readme_are_those_of_train_model() -> None:
    parser = load_command_class("apps.recommender", "train_model").create_parser("manage.py", "")
    defaults = vars(parser.parse_args([]))
    told = dict(OPTION.findall(README))
    assert set(told) >= {"--epochs", "--batch-size", "--architecture", "--model-version"}
    for option, default in told.items():
        if option != "--model-version":
            assert str(defaults[option[2:].replace("-", "_")]) == default, option


def test_the_endpoints_of_the_readme_are_routed() -> None:
    calls = re.findall(r"^(?:GET|POST|PATCH) (/api/\S*)", README, re.MULTILINE)
    assert len(calls) >= 18
    for call in calls:
        path = call.partition("?")[0].replace("{id}", "1").replace("{version}", "v1")
        try:
            assert resolve(path).url_name, path
        except Resolver404:
            pytest.fail(f"{path} is routed nowhere")


def test_the_settings_named_in_the_readme_exist() -> None:
    names = set(re.findall(r"`?\b([A-Z]+(?:_[A-Z]+)+)=?", README)) - {"TORCH_INDEX_URL"}
    declared = re.findall(
        r"^(\w+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert names <= set(declared)


def test_every_dependency_has_its_reason_in_the_architecture_page() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    base = (ROOT / "requirements" / "base.txt").read_text(encoding="utf-8")
    packages = re.findall(r"^([\w-]+)(?:\[\w+\])?==", base, re.MULTILINE)
    table = page.split("## Pourquoi chaque dépendance")[1]
    assert [name for name in packages if not re.search(rf"\b{name}\b", table)] == []
    rows = re.findall(r"^\| ([\w, -]+) \|", table, re.MULTILINE)
    told = {name for row in rows[1:] for name in row.split(", ")}
    assert told <= set(packages)


def test_every_architecture_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs" / "adr").glob("*.md")]
    assert all(number.isdigit() for number in numbers)
    assert len(numbers) == len(set(numbers))
