"""The house rules, as far as a machine can hold them."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ("ringbuf", "workers", "pipeline")  # a layer imports itself and those before it
PACKAGES = (*ORDER, "tuning", "bench", "tests")
SEES = {
    "ringbuf": {"ringbuf"},
    "tuning": {"tuning"},
    "workers": {"ringbuf", "workers"},
    "pipeline": {"ringbuf", "workers", "tuning", "pipeline", "bench"},
}
MAY_START_BENCHES = {"pipeline/cli.py"}  # `corelane bench`
KERNELS_IMPORT = {
    "collections", "ctypes", "enum", "math", "numpy", "ringbuf.arithmetic", "ringbuf.atomics",
    "ringbuf.jit", "ringbuf.record", "ringbuf.wire", "typing", "workers.kernels", "workers.orders",
    "workers.records",
}  # fmt: skip
LINE_LENGTH = 100
FILE_LINES, FUNCTION_LINES = 400, 50
TEST_FILE_LINES, TEST_FUNCTION_LINES = 600, 80  # a test tells a story from start to end
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MACHINE = re.compile(
    r"/work/(main|shared)|/home/[a-z]|pypi\.org|pythonhosted|registry\.npmjs"
    r"|repo1?\.maven|crates\.io"
)


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the project, committed or about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(ROOT / name for name in listed.splitlines() if (ROOT / name).is_file())


@cache
def sources() -> tuple[Path, ...]:
    return tuple(path for path in tracked() if path.suffix == ".py")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@cache
def imports(path: Path) -> frozenset[str]:
    """The modules that a file's import lines name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: import by full name"
            module = node.module or ""
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_nothing_looks_up():
    wrong = []
    for path in sources():
        allowed = SEES.get(layer(path))
        for module in imports(path) if allowed else ():
            top = module.split(".")[0]
            if top in PACKAGES and top not in allowed:
                wrong.append(f"{name_of(path)} imports {module}")
            if top == "bench" and name_of(path) not in MAY_START_BENCHES:
                wrong.append(f"{name_of(path)} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_kernels_are_pure():
    """Numbers only: no rings, no files, no clocks, no configuration."""
    wrong = []
    for path in (ROOT / "workers" / "kernels").glob("*.py"):
        for module in imports(path):
            if not any(module == ok or module.startswith(f"{ok}.") for ok in KERNELS_IMPORT):
                if not any(ok.startswith(f"{module}.") for ok in KERNELS_IMPORT):
                    wrong.append(f"{name_of(path)} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_imports_run_in_no_circle():
    modules = {module_of(path): path for path in sources() if layer(path) in (*ORDER, "tuning")}
    graph = {
        name: {target for target in imports(path) if target in modules and target != name}
        for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_files_and_lines_are_short():
    wrong = []
    for path in sources():
        lines = path.read_text().splitlines()
        limit = TEST_FILE_LINES if layer(path) == "tests" else FILE_LINES
        if len(lines) > limit:
            wrong.append(f"{name_of(path)}: {len(lines)} lines, at most {limit}")
        wrong += [
            f"{name_of(path)}:{number}: {len(line)} characters"
            for number, line in enumerate(lines, 1)
            if len(line) > LINE_LENGTH
        ]
    assert not wrong, "\n".join(wrong)


def test_functions_are_short():
    wrong = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > (TEST_FUNCTION_LINES if layer(path) == "tests" else FUNCTION_LINES):
                    wrong.append(f"{name_of(path)}:{node.lineno}: {node.name}, {length} lines")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_left_unfinished():
    wrong = []
    for path in sources():
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if UNFINISHED.search(line):
                wrong.append(f"{name_of(path)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


def test_no_machine_and_no_registry_is_named():
    wrong = []
    for path in tracked():
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if MACHINE.search(line):
                wrong.append(f"{name_of(path)}:{number}: {line.strip()[:100]}")
    assert not wrong, "\n".join(wrong)


def test_every_dependency_is_locked_with_hashes():
    text = (ROOT / "requirements.lock").read_text()
    one = r"^([a-z0-9._-]+)==\S+(?: ; .+)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+"
    pinned = re.findall(one, text, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 20
    assert "://" not in text


@pytest.mark.parametrize("package", [*ORDER, "tuning"])
def test_public_names_are_explained(package):
    wrong = []
    for path in sources():
        if layer(path) != package:
            continue
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree):
            wrong.append(f"{name_of(path)}: says nothing of what it is for")
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"
            if public and not ast.get_docstring(node):
                wrong.append(f"{name_of(path)}:{node.lineno}: {node.name}")
    assert not wrong, "\n".join(wrong)


def test_top_level_is_as_agreed():
    folders = {path.relative_to(ROOT).parts[0] for path in tracked()}
    wanted = {
        "pipeline",
        "ringbuf",
        "workers",
        "tuning",
        "systemd",
        "bench",
        "tests",
        "docs",
        ".ci",
    }
    assert wanted <= folders
    allowed = wanted | {
        "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "requirements.lock", "deploy",
        ".gitignore",
    }  # fmt: skip
    assert folders <= allowed, sorted(folders - allowed)


def test_the_makefile_stays_small():
    text = (ROOT / "Makefile").read_text()
    targets = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]
    assert len(targets) <= 10
    assert {"demo", "test", "test-compiled", "check", "bench", "docs", "clean"} <= set(targets)


UNTESTED = {  # sources without a test file of their name, and where they are tested
    "pipeline/__main__.py": "every test that starts a stage",
    "pipeline/verify_cli.py": "tests/pipeline/test_verification.py and others of verify",
    "workers/feeds/lobster_window.py": "tests/workers/test_lobster.py, through the feed",
    "workers/feeds/registry.py": "every test that runs a pipeline",
    "workers/kernels/flow_messages.py": "tests/workers/test_synthetic.py, byte by byte",
    "workers/kernels/telling.py": "tests/workers/test_matching.py, record by record",
    "workers/kernels/tickets.py": "tests/workers/test_matching.py, after every event",
    "workers/kernels/triggers.py": "tests/workers/test_match_scenes.py and test_matching.py",
    "workers/sinks/registry.py": "every test that runs a pipeline",
}


def test_every_source_file_has_its_tests():
    tests = {path.name for path in sources() if path.name.startswith("test_")}
    together = "\n".join(path.read_text() for path in sources() if layer(path) == "tests")
    wrong = []
    for path in sources():
        if layer(path) in (*ORDER, "tuning") and path.name != "__init__.py":
            named = f"test_{path.stem}.py" in tests
            module = module_of(path)
            parent, _, leaf = module.rpartition(".")
            by_leaf = f"from {parent} import" in together and leaf in together
            used = module in together or by_leaf
            if not (named or used or name_of(path) in UNTESTED):
                wrong.append(name_of(path))
    assert not wrong, "no test names: " + ", ".join(wrong)
