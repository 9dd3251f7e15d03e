"""The documentation says what is true: its code runs, its tables are complete, its links lead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kinfold.config import BuildConfig

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_python_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in code_blocks(ROOT / "docs" / "python.md", "python"):
        exec(compile(block, "docs/python.md", "exec"), names)  # noqa: S102
    assert (tmp_path / "my-index" / "CURRENT").is_file()


def test_search_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in code_blocks(ROOT / "docs" / "search.md", "python"):
        exec(compile(block, "docs/search.md", "exec"), names)  # noqa: S102
    assert (tmp_path / "my-shop" / "CURRENT").is_file()


def test_every_parameter_is_documented_with_its_default() -> None:
    rows = {}
    for line in (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8").splitlines():
        match = re.match(r"\| `(\w+)` \| (.*?) \|", line)
        if match:
            rows[match[1]] = match[2]
    assert set(rows) == set(BuildConfig.model_fields)
    defaults = BuildConfig().model_dump(mode="json")
    for name, stated in rows.items():
        value = defaults[name]
        if value is None:
            assert stated.startswith("–") or name == "gamma", name
        elif name == "similarity":
            assert stated == '`["mean"]`'
        elif isinstance(value, str):
            assert stated == f"`{value}`", name
        elif isinstance(value, bool):
            assert stated == str(value).lower(), name
        else:
            assert float(stated) == value, name


def test_documented_toml_is_a_configuration() -> None:
    (block,) = code_blocks(ROOT / "docs" / "parameters.md", "toml")
    assert BuildConfig.from_toml(block).k_d == 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert used >= {"demo", "test"}
    assert used <= targets
