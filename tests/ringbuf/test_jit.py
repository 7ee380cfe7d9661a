import ast
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numba
import pytest

from ringbuf import jit
from ringbuf.jit import UnsafeCache, apart, compiled, forget_old, kernel, source_digest

RINGBUF = Path(jit.__file__).parent
needs_compiler = pytest.mark.skipif(not compiled(), reason="machine code is not made")
CACHED = (
    jit.module_file,
    jit.source_of,
    jit.imports_of,
    jit.closure_of,
    jit.source_digest,
    jit.safe_cache_root,
)

HOUSE = {
    "house/__init__.py": "",
    "house/sizes.py": "FACTOR = 5\n",
    "house/inner.py": "from ringbuf.jit import kernel\n\n\n"
    "@kernel\ndef grow(value):\n    return value + 1\n",
    "house/outer.py": "from house.inner import grow\nfrom house.sizes import FACTOR\n"
    "from ringbuf.atomics import at, store_relaxed\nfrom ringbuf.jit import kernel\n"
    "from ringbuf.record import record\n\nTHING = record([('counts', 'i8', (4,))])\n\n\n"
    "@kernel\ndef work(address, value):\n"
    "    at(address, THING).counts[1] += grow(value) * FACTOR\n"
    "    store_relaxed(address, grow(value))\n"
    "    return grow(value) * FACTOR\n",
    "house/alone.py": "import math\n\nfrom ringbuf.jit import kernel\n",
}
PROGRAM = """
import json
import numpy as np
from numba.core import event
from house import outer
from ringbuf.jit import source_digest
memory = np.zeros(4, np.int64)
with event.install_recorder("numba:compile") as compiled:
    result = outer.work(memory.ctypes.data, 10)
stats = outer.work.stats
print(json.dumps({
    "result": result,
    "memory": memory.tolist(),
    "compiled": len(compiled.buffer),
    "hits": sum(stats.cache_hits.values()),
    "misses": sum(stats.cache_misses.values()),
    "digest": source_digest("house.outer"),
}))
"""


def forget():
    for function in CACHED:
        function.cache_clear()


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A small project of its own beside a copy of ringbuf; digests are of its files."""
    for name, text in HOUSE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    shutil.copytree(RINGBUF, tmp_path / "ringbuf", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(jit, "ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


def digest_after(house, name, text):
    (house / name).write_text(text)
    forget()
    return source_digest("house.outer")


def begin(house, program=PROGRAM, **settings):
    """Start a fresh process of the small project."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(house),
        "CORELANE_CACHE": str(house / "cache"),
        **settings,
    }
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, cwd=house, stdout=subprocess.PIPE
    )


def run(house, **settings):
    """What a fresh process of the small project says."""
    process = begin(house, **settings)
    said, _ = process.communicate()
    assert process.returncode == 0
    return json.loads(said)


def test_the_closure_is_everything_that_is_imported_however_far(house):
    closure = jit.closure_of("house.outer")
    assert {"house", "house.inner", "house.sizes", "house.outer"} <= set(closure)
    assert {"ringbuf.jit", "ringbuf.atomics", "ringbuf.record", "ringbuf.host"} <= set(closure)
    assert "house.alone" not in closure
    assert "math" not in jit.closure_of("house.alone")
    assert list(closure) == sorted(closure)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import house.inner", {"house.inner"}),
        ("import house.inner as other, numpy", {"house.inner"}),
        ("from house import inner", {"house.inner"}),
        ("from house.inner import grow", {"house.inner"}),
        ("from . import sizes, inner", {"house.sizes", "house.inner"}),
        ("from .sizes import FACTOR", {"house.sizes"}),
        ("def late():\n    from house.sizes import FACTOR", {"house.sizes"}),
        ("import numpy, math.nothing", set()),
        (
            "from house import (\n    inner as other,  # (and not) another\n    sizes,\n)",
            {"house.inner", "house.sizes"},
        ),
        ("from . import (sizes)  # inner", {"house.sizes"}),
        ("from house import inner, \\\n    sizes", {"house.inner", "house.sizes"}),
        ("import math, \\\n    house.inner", {"house.inner"}),
    ],
)
def test_every_way_to_import_is_seen(house, line, found):
    (house / "house/alone.py").write_text(line + "\n")
    forget()
    assert jit.imports_of("house.alone") == found | {"house"}


def parsed(path: Path, package: str) -> set[str]:
    """What a module imports, as Python's own parser sees it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: -node.level + 1 or None], base]).strip(".")
            names.update((base, *(f"{base}.{alias.name}" for alias in node.names)))
    return names


def test_nothing_that_python_imports_is_overlooked():
    for path in RINGBUF.parent.glob("*/**/*.py"):
        parts = path.relative_to(RINGBUF.parent).with_suffix("").parts
        if parts[0] not in ("ringbuf", "workers", "pipeline", "tuning", "bench", "tests"):
            continue
        module = ".".join(parts).removesuffix(".__init__")
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        named = {name for name in parsed(path, package) if jit.module_file(name)}
        assert named - {module} <= jit.imports_of(module), module


def test_modules_that_import_each_other_end(house):
    (house / "house/inner.py").write_text("import house.outer\n")
    forget()
    assert "house.inner" in jit.closure_of("house.outer")


def test_the_digest_is_that_of_the_sources(house):
    first = source_digest("house.outer")
    forget()
    assert source_digest("house.outer") == first
    assert len(first) == 16
    assert source_digest("house.alone") != first


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("house/inner.py", HOUSE["house/inner.py"].replace("+ 1", "+ 7")),
        ("house/sizes.py", "FACTOR = 6\n"),
        ("house/__init__.py", "# another line\n"),
        ("ringbuf/host.py", "def steady_counter():\n    return True\n"),
    ],
)
def test_a_change_anywhere_along_the_imports_is_another_digest(house, name, text):
    before = source_digest("house.outer")
    assert digest_after(house, name, text) != before


def test_a_change_elsewhere_is_not(house):
    before = source_digest("house.outer")
    assert digest_after(house, "house/alone.py", "A = 1\n") == before


def test_a_file_that_changes_under_a_running_process_does_not_name_its_old_code(house):
    """house.sizes was imported as it was; modules decorated later must not go by the new file."""
    before = source_digest("house.outer")
    (house / "house/sizes.py").write_text("FACTOR = 6\n")
    jit.source_digest.cache_clear()
    assert source_digest("house.outer") == before
    forget()  # another process
    assert source_digest("house.outer") != before


@pytest.mark.parametrize(
    ("flag", "value"),
    [("BOUNDSCHECK", 1), ("CPU_NAME", "generic"), ("CPU_FEATURES", "+sse2")],
)
def test_a_flag_is_another_digest(house, monkeypatch, flag, value):
    before = source_digest("house.outer")
    monkeypatch.setattr(numba.config, flag, value)
    forget()
    assert source_digest("house.outer") != before


@needs_compiler
def test_a_warm_start_compiles_nothing_and_an_edit_is_never_missed(house):
    cold = run(house)
    assert (cold["result"], cold["memory"]) == (55, [11, 55, 0, 0])
    assert cold["compiled"] > 0
    assert (cold["hits"], cold["misses"]) == (0, 1)

    warm = run(house)
    assert warm == {**cold, "compiled": 0, "hits": 1, "misses": 0}

    inner = house / "house/inner.py"
    inner.write_text(inner.read_text().replace("+ 1", "+ 7"))
    edited = run(house)
    assert (edited["result"], edited["misses"]) == (85, 1)

    (house / "house/sizes.py").write_text("FACTOR = 9\n")
    assert run(house)["result"] == 153

    checked = run(house, NUMBA_BOUNDSCHECK="1")
    assert (checked["result"], checked["misses"]) == (153, 1)
    assert checked["digest"] != edited["digest"]

    (house / "house/sizes.py").write_text("FACTOR = 5\n")
    inner.write_text(HOUSE["house/inner.py"])
    assert run(house) == warm


@needs_compiler
def test_of_processes_that_start_together_one_compiles_a_kernel_and_the_others_load_it(house):
    alone = run(house)
    shutil.rmtree(house / "cache")
    going = house / "go"
    start = f"import os, time\nwhile not os.path.exists({str(going)!r}): time.sleep(0.001)\n"
    program = PROGRAM.replace("with event", start + "with event")
    together = [begin(house, program) for _ in range(3)]
    time.sleep(0.1)
    going.touch()
    found = [json.loads(process.communicate()[0]) for process in together]
    assert [process.returncode for process in together] == [0, 0, 0]
    assert {one["result"] for one in found} == {55}
    assert sum(one["compiled"] for one in found) == alone["compiled"]
    assert sum(one["misses"] for one in found) == 1


@needs_compiler
def test_a_kernel_that_cannot_be_compiled_keeps_nobody_waiting(house):
    (house / "house/inner.py").write_text(
        HOUSE["house/inner.py"].replace("value + 1", "value + 'x'")
    )
    program = PROGRAM.replace(
        "    result =",
        "    try:\n        outer.work(memory.ctypes.data, 10)\n    except Exception:\n"
        "        from house import inner\n        assert inner.grow._cache.turn is None\n"
        "        assert outer.work._cache.turn is None\n        raise SystemExit(7)\n"
        "    result =",
    )
    process = begin(house, program)
    process.communicate()
    assert process.returncode == 7


@needs_compiler
def test_kernels_from_outside_the_project_leave_nothing_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("CORELANE_CACHE", str(tmp_path / "cache"))
    forget()
    names = {"__name__": "a_notebook"}
    exec("def twice(value):\n    return 2 * value\n", names)
    twice = kernel(names["twice"])
    assert twice(21) == 42
    assert not hasattr(twice._cache, "cache_path") or twice._cache.cache_path is None
    assert not (tmp_path / "cache").exists()
    forget()


@needs_compiler
def test_the_compilers_own_cache_setting_is_left_as_it_was(monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "/nowhere")
    kernel(jit.module_file.__wrapped__)
    assert numba.config.CACHE_DIR == "/nowhere"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_is_refused(tmp_path, monkeypatch, mode):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    monkeypatch.setenv("CORELANE_CACHE", str(folder))
    forget()
    with pytest.raises(UnsafeCache, match=rf"others may .*{mode:o}\); make it yours and 0700"):
        jit.safe_cache_root()
    folder.chmod(0o755)
    assert jit.safe_cache_root() == folder
    forget()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    monkeypatch.setenv("CORELANE_CACHE", str(folder))
    forget()
    with pytest.raises(UnsafeCache, match="owner 12345"):
        jit.safe_cache_root()
    forget()


def test_the_folder_is_private_and_found_where_it_is_set(tmp_path, monkeypatch):
    monkeypatch.setenv("CORELANE_CACHE", str(tmp_path / "a" / "b"))
    forget()
    assert jit.safe_cache_root().stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv("CORELANE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert jit.cache_root() == tmp_path / "xdg" / "corelane"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert jit.cache_root() == Path.home() / ".cache" / "corelane"
    forget()


def test_machine_code_that_nobody_asked_for_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setenv("CORELANE_CACHE", str(tmp_path))
    forget()
    for name, days in (("old", 31), ("used", 29)):
        index = tmp_path / name / "deeper" / "x.nbi"
        index.parent.mkdir(parents=True)
        index.touch()
        os.utime(index, (time.time() - days * 86_400, 0))
    assert forget_old() == 1
    assert [path.name for path in tmp_path.iterdir()] == ["used"]
    assert forget_old(days=1) == 1
    assert forget_old(days=1) == 0
    forget()


def test_compiled_says_whether_kernels_are_machine_code():
    assert compiled() == hasattr(kernel(run), "py_func")
    assert compiled() != bool(numba.config.DISABLE_JIT)


APART = """
import json
from ringbuf.jit import {decorator} as chosen, kernel
from house import far
(code,) = far.often.inspect_asm().values() if far.often(4) == 17 else ()
named = [line.split() for line in code.splitlines() if "seldom" in line]
print(json.dumps(sum(words[0].startswith(("call", "mov", "lea")) for words in named)))
"""


@needs_compiler
@pytest.mark.parametrize(("decorator", "stays"), [("kernel", False), ("apart", True)])
def test_what_stands_apart_is_called_and_what_is_small_is_put_into_its_caller(
    house, decorator, stays
):
    (house / "house" / "far.py").write_text(
        f"from ringbuf.jit import {decorator} as chosen, kernel\n\n\n"
        "@chosen\ndef seldom(value):\n    return value * value\n\n\n"
        "@kernel\ndef often(value):\n    return seldom(value) + 1\n"
    )
    process = begin(house, APART.format(decorator=decorator))
    said, _ = process.communicate()
    assert process.returncode == 0
    assert (json.loads(said) > 0) == stays


def test_what_stands_apart_runs_as_plain_python_too():
    assert apart(lambda value: value + 1)(2) == 3
