"""The one place that decides how hot functions are compiled, and where machine code is kept.

Numba's cache on disk looks only at the file that holds a function: not at the files it calls
into, nor at constants it imports, nor at flags such as NUMBA_BOUNDSCHECK. An edited callee
would leave stale machine code behind. So every module's kernels are kept in a folder named by
a digest of that module's source, of every project module it imports (however far), of the flags
and of the compiler: a change anywhere along that chain is another folder.
"""

import fcntl
import hashlib
import os
import platform
import re
import sys
from functools import cache
from pathlib import Path
from typing import IO

import llvmlite
import numba
from llvmlite import binding
from numba.core.caching import FunctionCache
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering

from ringbuf.host import steady_counter

ROOT = Path(__file__).parent.parent
# Nobody calls a kernel through a C function pointer: without those compiling takes a tenth less.
FLAGS = {"error_model": "numpy", "no_cfunc_wrapper": True}
# LLVM's measure of what it may put into a caller instead of calling it. A module whose kernels are
# the entrance to many small ones may set another by the name INLINE: a call costs up to twenty
# stores, which wait behind a ring's. For all modules it would make each first start half as long
# again.
INLINE = 250
# Every store that others may see counts down a budget, at whose end the program "dies": for tests.
TICKS = os.environ.get("CORELANE_TICKS") == "1"
# An import line: what stands behind "import", or the dots, the module and the names of "from".
# Python's parser would take a third of a start; tests hold this against it.
IMPORT = re.compile(
    r"^[ \t]*(?:import[ \t]+((?:\\\n|[^\n#])+)"
    r"|from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]+(\((?:[^)#]|#[^\n]*)*\)|(?:\\\n|[^\n#(])+))",
    re.MULTILINE,
)
COMMENT = re.compile(r"#[^\n]*")
DAYS_KEPT = 30  # a folder of machine code that nobody asked for this long is removed


class UnsafeCache(RuntimeError):
    """The kernel cache could be written by somebody else: it holds pickles, so it is not used."""


def compiled() -> bool:
    """False when NUMBA_DISABLE_JIT=1 has kernels run as plain Python."""
    return not numba.config.DISABLE_JIT


@cache
def module_file(module: str) -> Path | None:
    """The project's file of a dotted module name, or None where it is not the project's."""
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def source_of(path: Path) -> bytes:
    """A file as it was when this process first asked.

    Kernels are made of the constants that were imported then: were the file read anew after it
    has changed, old machine code would be kept under the new source's name.
    """
    return path.read_bytes()


def words_of(names: str) -> list[str]:
    """The names in an import line, without what they are called here."""
    parts = COMMENT.sub("", names).replace("\\\n", " ").strip("() \t\n").split(",")
    return [part.split()[0] for part in parts if part.strip()]


@cache
def imports_of(module: str) -> frozenset[str]:
    """The project's modules that one module names in its import lines, and its package."""
    path = module_file(module)
    assert path is not None, module
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = {module.rpartition(".")[0]}  # whose __init__ runs first
    for plain, start, of, parts in IMPORT.findall(source_of(path).decode()):
        if plain:
            names.update(words_of(plain))
        else:
            parents = package.split(".")[: len(package.split(".")) - len(start) + 1]
            base = ".".join([*parents, of] if start else [of]).strip(".")
            names.update((base, *(f"{base}.{name}" for name in words_of(parts))))
    return frozenset(name for name in names if name and module_file(name) and name != module)


@cache
def closure_of(module: str) -> tuple[str, ...]:
    """The module and every project module it reaches by imports, in a fixed order."""
    seen, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(imports_of(name) - seen)
    return tuple(sorted(seen))


@cache
def source_digest(module: str) -> str:
    """What the machine code of a module's kernels depends on, as 16 hex digits."""
    environment = (
        FLAGS,
        INLINE,
        TICKS,
        numba.config.BOUNDSCHECK,
        sys.flags.optimize,
        sys.version_info[:2],
        numba.__version__,
        llvmlite.__version__,
        platform.machine(),
        binding.get_host_cpu_name(),
        numba.config.CPU_NAME,
        numba.config.CPU_FEATURES,
        steady_counter(),
    )
    digest = hashlib.blake2b(repr(environment).encode(), digest_size=8)
    for name in closure_of(module):
        path = module_file(name)
        assert path is not None
        digest.update(name.encode() + b"\0" + source_of(path))
    return digest.hexdigest()


def cache_root() -> Path:
    """Where machine code is kept: $CORELANE_CACHE, or corelane/ in the user's cache folder."""
    chosen = os.environ.get("CORELANE_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "corelane"


@cache
def safe_cache_root() -> Path:
    """The cache folder, made private; refused where another user could plant code in it."""
    root = cache_root()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = root.stat()
    if state.st_uid != os.geteuid() or state.st_mode & 0o022:
        raise UnsafeCache(
            f"kernel cache {root}: others may write to it (owner {state.st_uid}, "
            f"mode {state.st_mode & 0o777:o}); make it yours and 0700, or set CORELANE_CACHE"
        )
    return root


class SharedCache(FunctionCache):
    """Machine code on disk, where of several processes that miss the same one compiles it.

    The others wait for it, instead of taking the cores from it. They also cannot get into each
    other's index of signatures, which numba reads, changes and writes without a lock.
    """

    turn: IO[bytes] | None = None

    def load_overload(self, sig, target_context):
        """What was kept, or None: then this process has the function to itself until `leave`."""
        found = super().load_overload(sig, target_context)
        if found is None and self.turn is None:
            self.turn = self.enter()
            found = super().load_overload(sig, target_context)
        return found

    def enter(self) -> IO[bytes]:
        """Wait until no other process compiles the function; the kernel lets go for the dead."""
        folder = Path(self.cache_path)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        turn = (folder / f"{self._impl.filename_base}.turn").open("wb")
        fcntl.flock(turn, fcntl.LOCK_EX)
        return turn

    def leave(self) -> None:
        """Let others have it."""
        if self.turn is not None:
            self.turn.close()
            self.turn = None


class Inlining:
    """How much LLVM puts into callers: one setting of the process, and compilations nest."""

    def __init__(self) -> None:
        self.set(INLINE)

    def set(self, threshold: int) -> int:
        """Set it; return what it was."""
        before = getattr(self, "threshold", threshold)
        self.threshold = threshold
        binding.set_option("corelane", f"-inline-threshold={threshold}")
        return before


INLINING = Inlining()


def cached(function, flags):
    """A compiled function whose machine code goes to the folder that is set now."""
    made = numba.njit(**flags)(function)
    shared, compile_ = SharedCache(function), made.compile
    threshold = function.__globals__.get("INLINE", INLINE)

    def compile_in_turn(signature):
        before = INLINING.set(threshold)
        try:
            return compile_(signature)
        finally:
            INLINING.set(before)
            shared.leave()

    made._cache, made.compile = shared, compile_in_turn
    return made


def kernel(function):
    """Compile a function with the project's flags; machine code is kept on disk between runs."""
    return _compile(function, FLAGS)


def formula(function):
    """A kernel that is always compiled into its callers: their loops can then be vectorised."""
    return _compile(function, {**FLAGS, "forceinline": True})


class LoweredApart(Lower):
    """Writes a function that LLVM is not to put into others."""

    def setup_function(self, fndesc):
        super().setup_function(fndesc)
        self.function.attributes.add("noinline")


@register_pass(mutates_CFG=True, analysis_only=False)
class LoweringApart(NativeLowering):
    """The step of a compilation that writes functions so."""

    _name = "lowering_apart"

    @property
    def lowering_class(self):
        return LoweredApart


class CompilerApart(CompilerBase):
    """numba's compiler, but for that step."""

    def define_pipelines(self):
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [
            (LoweringApart if step is NativeLowering else step, name)
            for step, name in passes.passes
        ]
        passes.finalize()
        return [passes]


def apart(function):
    """A kernel that is never put into its callers: who seldom needs it does not carry it about."""
    return _compile(function, {**FLAGS, "pipeline_class": CompilerApart})


def _compile(function, flags):
    if numba.config.DISABLE_JIT:
        return function
    module = function.__module__
    if module_file(module) is None:  # defined outside the project: a notebook, a test's snippet
        return numba.njit(**flags)(function)
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(safe_cache_root() / f"{module}-{source_digest(module)}")
    try:
        return cached(function, flags)
    finally:
        numba.config.CACHE_DIR = before


def forget_old(days: float = DAYS_KEPT) -> int:
    """Remove machine code of sources that no longer exist; return how many folders went."""
    import shutil
    import time

    limit, gone = time.time() - days * 86_400, 0
    for folder in safe_cache_root().iterdir():
        newest = max((p.stat().st_atime for p in folder.rglob("*.nbi")), default=0.0)
        if folder.is_dir() and newest < limit:
            shutil.rmtree(folder, ignore_errors=True)
            gone += 1
    return gone
