"""The wheel works where it is installed, with everything that is no Python, and its versions hold together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import segjob

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WHERE_THINGS_ARE = """
import json, segjob, segjob.shipped as shipped
print(json.dumps([segjob.__file__, str(shipped.sql_dir()), str(shipped.migrations_dir())]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a clean environment with the wheel in it, and no checkout anywhere.

    It borrows the dependencies from this environment, by a path that brings no editable install along.
    """
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    programs = home / "bin"
    (site_packages,) = home.glob("lib/python*/site-packages")
    (site_packages / "borrowed.pth").write_text(sysconfig.get_path("platlib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel)], check=True)
    return programs


def run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SEGJOB"))}
    done = subprocess.run(command, check=False, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shipped(folder: Path) -> set[str]:
    """The files of a folder by their paths in it, without what tools leave behind."""
    names = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    return {str(name) for name in names if not any(part.startswith(".") for part in name.parts)}


def test_the_installed_command_runs_outside_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    assert "Usage: segjob" in run(installed / "segjob", "--help", cwd=tmp_path)
    assert json.loads(run(installed / "segjob", "config-schema", cwd=tmp_path))


def test_an_install_finds_its_own_sql_and_migrations(installed: Path, tmp_path: Path) -> None:
    package, sql, migrations = json.loads(run(installed / "python", "-c", WHERE_THINGS_ARE, cwd=tmp_path))
    assert Path(package).is_relative_to(installed.parent)
    assert Path(sql).is_relative_to(installed.parent)
    assert Path(migrations).is_relative_to(installed.parent)
    assert shipped(Path(sql)) == shipped(ROOT / "sql")
    assert shipped(Path(migrations)) == shipped(ROOT / "migrations")


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {Path(name).parts[0] for name in names} == {"segjob", f"segjob-{segjob.__version__}.dist-info"}
    assert [name for name in names if name.endswith(".pyc")] == []
    assert {f"segjob/{name}" for name in shipped(ROOT / "segjob")} <= set(names)


def test_every_dependency_is_pinned_within_its_range() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)}
    extras = PROJECT["optional-dependencies"].values()
    wanted = [Requirement(text) for texts in (PROJECT["dependencies"], *extras) for text in texts]
    assert [one.name for one in wanted if canonicalize_name(one.name) not in pinned] == []
    assert [one.name for one in wanted if pinned[canonicalize_name(one.name)] not in one.specifier] == []


def test_torch_is_pinned_without_a_build() -> None:
    (torch,) = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    assert Version(torch.removeprefix("torch==")).local is None
