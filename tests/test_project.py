"""The project as a whole: tools that must agree, an install that finds its own folders, files fit to publish."""

from __future__ import annotations

import ast
import configparser
import functools
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUP = configparser.ConfigParser(delimiters=("=",))
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")
PACKAGES = SETUP["options"]["packages"].split()
ROOMS = [package for package in PACKAGES if "." not in package]
MODULES = [name.strip() for name in SETUP["options"]["py_modules"].split(",")]
ENTRY_POINTS = {"train", "cli"}
OPEN_TO_ALL = {"errors", "console", "files"}
# The table of rooms: who may import whom.
ALLOWED = {
    "data": set(),
    "evidence": {"data"},
    "kg": {"data"},
    "encoders": set(),
    "fusion": {"encoders"},
    "evaluation": {"data", "evidence"},
    "training": {"data", "evidence", "kg", "encoders", "fusion", "evaluation"},
    "recommend": {"data", "evidence", "kg", "encoders", "fusion", "evaluation", "training"},
    "export": {"data", "evidence", "kg", "encoders", "fusion", "evaluation", "training"},
    "taxonomy": {"data", "encoders"},
    "conf": set(),
}

# A checkout's place on somebody's machine, an index or mirror to install from, a credential.
UNFIT = {
    "path of one machine": r"(?<![\w.:/-])/(?:work|root|home/\w+|Users/\w+|workspace)(?:/|\b(?=[\s'\"]))",
    "package index": r"--(?:extra-)?index-url|--trusted-host|--find-links|(?i:pypi\.org/simple|pythonhosted\.org)",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "address with a password": r"\w://[^/\s:@{}<>]+:[^/\s@{}<>]+@\w",
    "token": r"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_\w{36}|github_pat_\w{22,}|glpat-\w{20}|hf_[A-Za-z]{30,}|pypi-[\w-]{50,}"
    r"|sk-[\w-]{32,}|xox[abpr]-[\w-]{10,})",
}
# Calls that run code found in a file, with the keyword that makes them safe (None: nothing does).
UNSAFE = {
    "pickle.load": None,
    "pickle.loads": None,
    "pickle.Unpickler": None,
    "joblib.load": None,
    "pd.read_pickle": None,
    "yaml.load": None,
    "yaml.unsafe_load": None,
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
}


def run(*command: str | Path, cwd: Path = ROOT, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this environment, without PYTHONPATH: as a user who only installed the project."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"COLUMNS": "160", "NO_COLOR": "1", **extra}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def tool(name: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a tool of the test extra, installed beside this Python or anywhere on the path."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} is missing: pip install -e '.[test]' -c constraints.txt"
    return run(found, *arguments, cwd=cwd)


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


@functools.cache
def published() -> list[Path]:
    """The files that git tracks or would add."""
    done = run("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if done.returncode:
        pytest.skip(f"not a git checkout: {done.stderr.strip()}")
    return sorted(ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file())


def sources() -> list[Path]:
    """The Python files of the rooms and the entry points."""
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return sorted([*files, *(ROOT / f"{name}.py" for name in MODULES)])


def imported(path: Path) -> set[str]:
    """The top-level names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module))
    return {name.partition(".")[0] for name in names}


# The tools


@pytest.mark.parametrize(
    "command",
    [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"], ["lint-imports"]],
    ids=" ".join,
)
def test_tool_has_nothing_to_say(command):
    done = tool(*command)
    assert done.returncode == 0, said(done)


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="all tests run in one process")
def test_the_tests_of_a_file_or_folder_stay_together(request):
    """Else what they start once (a server, a training) is started in every process."""
    assert request.node.nodeid.endswith("@test_project.py")


# The rooms


@pytest.fixture(scope="module")
def rooms(tmp_path_factory) -> Path:
    """A copy of the rooms' Python files, to plant wrong imports in."""
    copy = tmp_path_factory.mktemp("rooms")
    for path in [ROOT / "setup.cfg", *sources()]:
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return copy


def contract(room: str) -> configparser.SectionProxy:
    return SETUP[f"importlinter:contract:{room}"]


def test_every_room_is_in_the_table():
    assert set(ROOMS) == set(ALLOWED)
    assert set(SETUP["importlinter"]["root_packages"].split()) == set(ROOMS)
    assert set(MODULES) == ENTRY_POINTS | OPEN_TO_ALL


@pytest.mark.parametrize("room", ROOMS)
def test_contract_forbids_what_the_table_does_not_allow(room):
    forbidden = (set(ROOMS) - {"conf", room} - ALLOWED[room]) | ENTRY_POINTS
    assert contract(room)["source_modules"].split() == [room]
    assert set(contract(room)["forbidden_modules"].split()) == forbidden


@pytest.mark.parametrize("room", ROOMS)
def test_contract_fails_on_a_planted_import(rooms, room):
    wrong = contract(room)["forbidden_modules"].split()
    planted = rooms / room / "planted.py"
    planted.write_text("".join(f"import {name}\n" for name in wrong), encoding="utf-8")
    try:
        done = tool("lint-imports", "--no-cache", cwd=rooms)
    finally:
        planted.unlink()
    assert done.returncode == 1, said(done)
    assert f"{contract(room)['name']} BROKEN" in done.stdout
    silent = [name for name in wrong if f"{room}.planted -> {name} " not in done.stdout]
    assert not silent, done.stdout


def test_single_modules_stand_where_they_should():
    ours = set(ROOMS) | set(MODULES)
    for name in OPEN_TO_ALL:
        assert imported(ROOT / f"{name}.py") & ours <= OPEN_TO_ALL, name
    for path in sources():
        above = imported(path) & (ENTRY_POINTS | {"tests", "benchmarks"})
        assert path.stem in ENTRY_POINTS or not above, f"{path} imports {above}"


# The install


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """A user's working folder in which every room's name is a folder of something else."""
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "load.py").write_text("raise RuntimeError('the wrong folder')\n", encoding="utf-8")
    (tmp_path / "data" / "sales.csv").write_text("a,b\n", encoding="utf-8")
    return tmp_path


def test_is_installed():
    try:
        version = importlib.metadata.version("crossaisle")
    except importlib.metadata.PackageNotFoundError:
        pytest.fail("the project is not installed here: pip install -e '.[test]' -c constraints.txt")
    assert version == SETUP["metadata"]["version"]


def test_folders_of_the_working_directory_do_not_shadow_ours(elsewhere):
    script = (
        "import importlib.util, json, data.load, kg.store\n"
        "found = {name: importlib.util.find_spec(name).origin for name in NAMES}\n"
        "print(json.dumps(found | {'data.load': data.load.__file__, 'kg.store': kg.store.__file__}))"
    )
    done = run(sys.executable, "-c", script.replace("NAMES", repr([*PACKAGES, *MODULES])), cwd=elsewhere)
    assert done.returncode == 0, said(done)
    found = {name: Path(file) for name, file in json.loads(done.stdout.splitlines()[-1]).items()}
    for name, file in found.items():
        relative = Path(*name.split("."))
        assert file.parts[-2:] == (relative / "__init__.py").parts[-2:] or file.stem == relative.name, (name, file)
        assert elsewhere not in file.parents, f"{name} was taken from the working directory: {file}"


@pytest.mark.parametrize("command", [["-m", "cli"], ["-m", "train"]], ids=" ".join)
def test_entry_points_start_in_such_a_folder(elsewhere, command):
    done = run(sys.executable, *command, "--help", cwd=elsewhere)
    assert done.returncode == 0, said(done)
    assert "usage" in done.stdout.lower()


def test_console_command_starts_in_such_a_folder(elsewhere):
    done = tool("crossaisle", "--help", cwd=elsewhere)
    assert done.returncode == 0, said(done)
    assert "train" in done.stdout


def test_editable_install_is_a_plain_path_entry():
    places = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    assert not [path for place in places for path in place.glob("__editable___crossaisle*_finder.py")]
    entries = [path for place in places for path in place.glob("__editable__.crossaisle*.pth")]
    if not entries:
        pytest.skip("not an editable install")
    lines = [Path(line) for path in entries for line in path.read_text(encoding="utf-8").split("\n") if line]
    assert [line.resolve() for line in lines] == [ROOT]


def test_wheel_holds_every_package_and_its_files(tmp_path):
    project = tmp_path / "project"
    shared = {path for path in published() if path.relative_to(ROOT).parts[0] in ROOMS}
    files = {path.relative_to(ROOT) for path in [*shared, *sources()]}
    for name in [*files, *map(Path, ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"))]:
        if (ROOT / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, project / name)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    done = run(*pip, "-w", tmp_path, project)
    assert done.returncode == 0, said(done)
    with zipfile.ZipFile(next(tmp_path.glob("crossaisle-*.whl"))) as wheel:
        held = {Path(name) for name in wheel.namelist()}
    assert not files - held
    assert {path.parts[0] for path in held if ".dist-info" not in path.parts[0]} == {
        *ROOMS,
        *(f"{name}.py" for name in MODULES),
    }


def test_every_dependency_is_pinned():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.]+( *;.*)?", line)] == []
    pinned = {normal(line.partition("==")[0]) for line in pins}
    wanted = SETUP["options"]["install_requires"] + "".join(SETUP["options.extras_require"].values())
    assert {normal(re.split(r"[\[<>=!;]", line)[0]) for line in wanted.split("\n") if line} <= pinned
    assert set(needed("crossaisle", "test")) <= pinned


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def needed(name: str, extra: str = "") -> Iterator[str]:
    """Names of all distributions that the installed distribution brings with it, here."""
    from packaging.requirements import Requirement

    seen, waiting = {(normal(name), "")}, [(name, extra), (name, "")]
    while waiting:
        parent, wanted = waiting.pop()
        for line in importlib.metadata.requires(parent) or []:
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({"extra": wanted}):
                continue
            for part in ("", *requirement.extras):
                if (normal(requirement.name), part) not in seen:
                    seen.add((normal(requirement.name), part))
                    waiting.append((requirement.name, part))
            yield normal(requirement.name)


# The files


@pytest.mark.parametrize("what", UNFIT)
def test_no_published_file_holds(what):
    pattern = re.compile(UNFIT[what])
    found = []
    for path in published():
        if path == Path(__file__):
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {hit.group()}" for hit in pattern.finditer(text)]
    assert not found, f"{what}: {found}"


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("path of one machine", "see '/home/anna/shop/sales.csv'"),
        ("package index", "pip install --index-url https://mirror.example/simple torch"),
        ("private key", "-----BEGIN OPENSSH PRIVATE KEY-----"),
        ("address with a password", "bolt://neo4j:hunter2@graph.example:7687"),
        ("token", "ghp_" + "a" * 36),
    ],
)
def test_the_scan_sees(what, text):
    assert re.search(UNFIT[what], text)


def test_nothing_is_unpickled():
    found = [f"{path.relative_to(ROOT)}:{line}" for path in sources() for line in unsafe(path.read_text("utf-8"))]
    assert not found


def unsafe(text: str) -> list[str]:
    """The calls in a source that would run code from a file they read, as ``line name``."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return [f"{call.lineno} {ast.unparse(call.func)}" for call in calls if is_unsafe(call)]


def is_unsafe(call: ast.Call) -> bool:
    keywords = {word.arg: ast.unparse(word.value) for word in call.keywords}
    if keywords.get("trust_remote_code", "False") != "False":
        return True
    name = ast.unparse(call.func)
    if name not in UNSAFE:
        return False
    remedy = UNSAFE[name]
    return remedy is None or keywords.get(remedy[0]) != str(remedy[1])


def test_unpickling_is_seen():
    assert unsafe("pickle.load(file)") == ["1 pickle.load"]
    assert unsafe("torch.load(path)") == ["1 torch.load"]
    assert unsafe("\nf(name, trust_remote_code=True)") == ["2 f"]
    assert unsafe("torch.load(path, weights_only=True)") == []


def test_changelog_starts_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d[^\]]*)\] - \d{4}-\d{2}-\d{2}$", text, flags=re.MULTILINE)
    assert versions[0] == SETUP["metadata"]["version"]
