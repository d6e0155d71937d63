"""Compiling blocks: the text of each kernel is its own, blame is per kernel, and nothing is left behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import psutil
import pytest
import warp as wp

from extract import machine, warp_private
from extract.build import PIECES, Build, BuildFailure, Fault, Target
from extract.compile import BlockBuild, Compiled, CompileOptions, compile_block, release, start
from extract.options import DEFAULT
from extract.process import folder, headers
from extract.unit import define

pytestmark = pytest.mark.warp

TEXTS = frozenset({Target.CPP, Target.CUDA})

SCALE = """import warp as wp


@wp.kernel
def scale(x: wp.array[float], factor: float, out: wp.array[float]):
    i = wp.tid()
    out[i] = factor * x[i]
"""

WAVE = """import warp as wp


@wp.kernel
def wave(x: wp.array[float], y: wp.array[float], out: wp.array[float]):
    i = wp.tid()
    a = wp.sin(x[i])
    if a > y[i]:
        a = a - y[i]
    out[i] = a * a
"""

COUNT = """import warp as wp


@wp.kernel
def count(x: wp.array[float], n: int, total: wp.array[int]):
    i = wp.tid()
    hits = int(0)
    for j in range(n):
        if x[i] > float(j):
            hits += 1
    wp.atomic_add(total, 0, hits)
"""

BLOCKS = """import warp as wp


@wp.kernel
def add_by_block(x: wp.array[float], total: wp.array[float]):
    i = wp.tid()
    t = wp.tile(x[i] * x[i])
    wp.tile_atomic_add(total, wp.tile_sum(t))
"""

OTHER_SCALE = SCALE.replace("factor * x[i]", "factor + x[i]")

MISTYPED = SCALE.replace("factor * x[i]", "wp.sin(1) * x[i]").replace("scale(", "mistyped(")
UNDEFINED = SCALE.replace("factor * x[i]", "unheard_of(x[i])").replace("scale(", "undefined(")
UNPARSABLE = SCALE.replace("i = wp.tid()", "i = = wp.tid()").replace("scale(", "unparsable(")
KEYWORD = SCALE.replace("factor", "operator").replace("scale(", "keyword(")
"""Warp accepts a parameter that bears the name of a C++ keyword, clang does not."""
THROW = SCALE.replace("factor", "throw").replace("scale(", "throwing(")


GOOD = [("scale", SCALE), ("wave", WAVE), ("count", COUNT)]


@pytest.fixture(autouse=True, scope="module")
def _started() -> None:
    start()


def builds(*sources: tuple[str, str], options: CompileOptions = DEFAULT) -> list[Build | BuildFailure]:
    """Compile, release, and keep what outlives the block."""
    block = compile_block(sources, TEXTS, options)
    release(block)
    return [kernel.build if isinstance(kernel, Compiled) else kernel for kernel in block.kernels]


def texts(build: Build | BuildFailure) -> dict[str, str]:
    assert isinstance(build, Build), build.message
    return dict(build.ir)


def as_warp_prints_it(name: str, source: str, device: str, block_dim: int) -> str:
    """The translation unit Warp makes of a module that holds this kernel alone, without hashes in names.

    Nor with what it leaves out where there is no bfloat16.
    """
    module = wp.get_module(f"test_{name}_{device}")
    kernel = define(name, source, module)[name]
    module.options.update(CompileOptions().module_options() | {"strip_hash": True})
    options = module.resolve_options(wp.config, block_dim=block_dim) | {"output_arch": 90 if device == "cuda" else None}
    text: str = warp_private.context.ModuleBuilder(module, options, target=device).codegen(device)
    assert kernel.key == name
    warp_private.forget_module(module)
    return text.removeprefix(warp_private.NO_BFLOAT16)


def header(device: str, block_dim: int) -> str:
    module = wp.get_module("test_header")
    options = warp_private.resolve(module, {}, block_dim=block_dim)
    return warp_private.header(module, options, device)


# -- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "source"), [*GOOD, ("add_by_block", BLOCKS)])
def test_the_text_is_what_warp_prints_for_the_kernel_alone(name: str, source: str) -> None:
    """Also where the number of threads in a block stands in it."""
    together = dict([*GOOD, ("add_by_block", BLOCKS)])
    ir = texts(builds(*together.items())[list(together).index(name)])
    cpp = "".join(ir[piece] for piece in PIECES[Target.CPP])
    cuda = "".join(ir[piece] for piece in PIECES[Target.CUDA])
    assert header("cpu", 1) + cpp == as_warp_prints_it(name, source, "cpu", 1)
    assert header("cuda", 256) + cuda == as_warp_prints_it(name, source, "cuda", 256)


BUILTIN_IN_PYTHON = """import warp as wp


@wp.kernel
def shorten(x: wp.array[wp.vec3], out: wp.array[wp.vec3]):
    i = wp.tid()
    out[i] = wp.smooth_normalize(x[i], 0.5)
"""


def test_no_text_says_where_warp_is_installed() -> None:
    (made,) = builds(("shorten", BUILTIN_IN_PYTHON))
    found = "".join(texts(made).values())
    assert "\n// warp/_src/math.py:" in found
    assert os.fspath(Path(wp.__file__).parent.parent) not in found


def test_neighbours_do_not_change_a_kernel() -> None:
    together = builds(*GOOD)
    assert together == [builds(source)[0] for source in GOOD]
    assert together[::-1] == builds(*GOOD[::-1])


def test_kernels_may_share_a_name() -> None:
    first, second, third = builds(("scale", SCALE), ("scale", OTHER_SCALE), ("scale", SCALE))
    assert first == third
    assert texts(first)["cpp_forward"] != texts(second)["cpp_forward"]
    assert second == builds(("scale", OTHER_SCALE))[0]


def test_pieces_are_what_they_are_called() -> None:
    ir = texts(builds(("wave", WAVE))[0])
    assert ir["cpp_args"].startswith("struct wp_args_wave {")
    assert "wave_cpu_kernel_forward(" in ir["cpp_forward"]
    assert "adj_sin" in ir["cpp_adjoint"]
    assert "adj_" not in ir["cpp_forward"]
    assert "void wave_cpu_forward(" in ir["cpp_entry"]
    assert "void wave_cpu_backward(" in ir["cpp_entry"]
    assert "wave_cuda_kernel_forward(" in ir["cuda_forward"]
    assert "wave_cuda_kernel_backward(" in ir["cuda_adjoint"]


def test_the_stored_cpp_compiles_alone(tmp_path: Path) -> None:
    ir = texts(builds(*GOOD)[1])
    text = header("cpu", 1) + "".join(ir[piece] for piece in PIECES[Target.CPP])
    options = warp_private.resolve(wp.get_module("test_header"), DEFAULT.module_options(), block_dim=1)
    options["cpu_compiler_flags"] += DEFAULT.extra_flags()
    warp_private.compile_cpp("wave.cpp", text, tmp_path / "wave.o", options, headers())
    warp_private.load_object(tmp_path / "wave.o", "test_wave")
    assert all(warp_private.lookup("test_wave", ["wave_cpu_forward", "wave_cpu_backward"]))
    with pytest.raises(warp_private.ClangError, match="wave_sideways"):
        warp_private.lookup("test_wave", ["wave_sideways"])
    warp_private.unload_object("test_wave")


def test_without_adjoint() -> None:
    block = compile_block([("wave", WAVE)], TEXTS, CompileOptions(enable_backward=False))
    (wave,) = block.kernels
    release(block)
    assert isinstance(wave, Compiled)
    assert wave.build.ir["cpp_adjoint"] == wave.build.ir["cuda_adjoint"] == ""
    assert "cpu_backward" not in wave.build.ir["cpp_entry"]
    assert wave.handle.adjoint == 0


def test_machine_code_options_leave_the_text_alone() -> None:
    plain = builds(*GOOD)
    assert plain == builds(*GOOD, options=CompileOptions(both_instantiations=True))
    assert plain == builds(*GOOD, options=CompileOptions(fuse_fp=True))


def test_unrolling_is_an_option() -> None:
    source = COUNT.replace("range(n)", "range(3)").replace("n: int, ", "")
    unrolled, looped = builds(("count", source))[0], builds(("count", source), options=CompileOptions(max_unroll=2))[0]
    assert "goto start_for" in texts(looped)["cpp_forward"]
    assert "goto start_for" not in texts(unrolled)["cpp_forward"]


def test_llvm_and_ptx_are_whole_and_repeatable() -> None:
    targets = frozenset({Target.LLVM, Target.PTX})
    first, again = (compile_block(sources, targets) for sources in ([GOOD[1]], [GOOD[0], GOOD[1]]))
    alone, beside = first.kernels[0], again.kernels[1]
    assert isinstance(alone, Compiled)
    assert isinstance(beside, Compiled)
    assert alone.build == beside.build
    llvm, ptx = alone.build.ir["llvm"], alone.build.ir["ptx"]
    assert "define dso_local void @wave_cpu_forward(" in llvm
    assert "define dso_local void @wave_cpu_backward(" in llvm
    assert llvm.startswith("; ModuleID = 'wave.cpp'\n")
    assert str(folder()) not in llvm
    assert "wave_cuda_kernel_forward(" in ptx
    assert "wave_cuda_kernel_backward(" in ptx
    assert ".target sm_90" in ptx
    assert "\0" not in ptx
    assert {"llvm", "ptx"} <= set(first.seconds)
    release(first)
    release(again)


# -- blame ------------------------------------------------------------------------------------------------------------


def failure(build: Build | BuildFailure) -> BuildFailure:
    assert isinstance(build, BuildFailure)
    assert build.fault is Fault.COMPILE
    return build


def test_a_kernel_that_warp_refuses_is_blamed_alone() -> None:
    refused = [("mistyped", MISTYPED), ("undefined", UNDEFINED), ("unparsable", UNPARSABLE)]
    scale, mistyped, undefined, unparsable, wave, count = builds(GOOD[0], *refused, GOOD[1], GOOD[2])
    assert [scale, wave, count] == builds(*GOOD)
    assert "function overload for 'sin'" in failure(mistyped).message
    assert failure(mistyped).source == MISTYPED
    assert failure(undefined).message.splitlines()[-1].endswith("Referencing undefined symbol: unheard_of")
    assert failure(unparsable).message.startswith("SyntaxError: invalid syntax")


@pytest.mark.parametrize("clang_tells_lines", [True, False])
def test_a_kernel_that_clang_refuses_is_blamed_alone(clang_tells_lines: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not clang_tells_lines:
        monkeypatch.setattr(machine, "_lines", lambda _: iter(()))
    sources = [GOOD[0], ("keyword", KEYWORD), GOOD[1], ("throwing", THROW), GOOD[2]]
    scale, keyword, wave, throwing, count = builds(*sources)
    assert [scale, wave, count] == builds(*GOOD)
    first_line = failure(keyword).message.splitlines()[0]
    assert first_line.startswith("kernels.cpp:")
    assert "error:" in first_line
    assert "float32 throw;" in failure(throwing).message


def test_processes_share_precompiled_headers_and_refused_kernels_leave_them_alone() -> None:
    before = set(headers().rglob("*.pch"))
    assert before
    builds(GOOD[0], ("keyword", KEYWORD))
    assert set(headers().rglob("*.pch")) == before


def test_a_block_of_refused_kernels_is_no_trouble() -> None:
    assert all(isinstance(build, BuildFailure) for build in builds(("mistyped", MISTYPED), ("unparsable", UNPARSABLE)))
    assert builds() == []


# -- a process and its remains ----------------------------------------------------------------------------------------


def test_starting_again_changes_nothing() -> None:
    before = folder()
    start()
    assert folder() == before


def test_compiling_leaves_no_files_and_no_modules() -> None:
    modules = len(warp_private.context.user_modules)
    builds(*GOOD)
    assert list(folder().iterdir()) == []
    assert len(warp_private.context.user_modules) == modules


def test_a_process_is_quiet_and_removes_its_files(tmp_path: Path) -> None:
    script = "from extract.compile import *; from tests.test_extract import GOOD; start(); compile_block(GOOD)"
    where: dict[str, Any] = {"cwd": Path(__file__).parent.parent, "env": {**os.environ, "TMPDIR": str(tmp_path)}}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, **where)
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_another_warp_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wp, "__version__", "1.20.0")
    with pytest.raises(warp_private.WrongWarpError, match=r"1\.19\.0 is needed, 1\.20\.0 is installed"):
        start()


def test_time_is_told_by_phase() -> None:
    block = compile_block(GOOD, TEXTS)
    release(block)
    assert set(block.seconds) == {"codegen", "clang", "text"}
    assert all(seconds > 0 for seconds in block.seconds.values())


def test_memory_stays_flat() -> None:
    """Each block is new to Warp: nothing is found in a cache."""
    process, sizes = psutil.Process(), []
    for block in range(30):
        release(distinct_block(block))
        gc.collect()
        sizes.append(process.memory_info().rss)
    assert max(sizes[20:]) - max(sizes[:10]) < 6 << 20


def test_nothing_of_a_block_is_left_in_modules_that_it_calls() -> None:
    """`wp.norm_l1` is written in Python, in a module of its own, which knows the modules that call it."""
    source = SCALE.replace("factor * x[i]", "wp.norm_l1(wp.vec2(factor, x[i]))")
    block = compile_block([("scale", source)], TEXTS)
    module = weakref.ref(block.module)
    assert module().references  # type: ignore[union-attr] # nobody has dropped it
    release(block)
    del block
    gc.collect()
    assert module() is None


def distinct_block(number: int) -> BlockBuild:
    sources = [("scale", SCALE.replace("factor *", f"{number}.0 + {k}.0 * factor *")) for k in range(8)]
    block = compile_block(sources, TEXTS)
    assert all(isinstance(kernel, Compiled) for kernel in block.kernels)
    return block
