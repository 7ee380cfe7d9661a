import os
import platform
import uuid

import pytest

from ringbuf.host import boot_id, counter_fault, start_time, steady_counter
from tests.ringbuf.segments import fork, wait

ON_X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of x86-64 processors")


def cpuinfo(tmp_path, text):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    return str(path)


@ON_X86
@pytest.mark.parametrize(
    ("text", "steady"),
    [
        ("flags\t\t: fpu constant_tsc rdtscp nonstop_tsc\nbugs\t: none\n", True),
        ("flags\t\t: fpu nonstop_tsc_s3 constant_tsc\nbugs\t: nonstop_tsc\n", False),
        ("flags\t\t: fpu nonstop_tsc\n", False),
        ("processor\t: 0\n", False),
        ("", False),
    ],
)
def test_the_counter_is_trusted_only_where_the_processor_promises(tmp_path, text, steady):
    assert steady_counter(cpuinfo(tmp_path, text)) is steady


@ON_X86
def test_no_answer_is_no_promise(tmp_path):
    assert steady_counter(str(tmp_path / "absent")) is False


def test_the_setting_overrules_the_processor(tmp_path, monkeypatch):
    monkeypatch.setenv("CORELANE_CLOCK", "system")
    assert steady_counter(cpuinfo(tmp_path, "flags: constant_tsc nonstop_tsc\n")) is False


@ON_X86
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("flags\t\t: fpu constant_tsc rdtscp nonstop_tsc\n", ""),
        ("flags\t\t: fpu constant_tsc\n", "the processor's flags lack nonstop_tsc"),
        ("flags\t\t: fpu\n", "the processor's flags lack constant_tsc and nonstop_tsc"),
        ("processor\t: 0\n", "shows no flags of the processor"),
    ],
)
def test_why_the_counter_is_not_trusted(tmp_path, text, why):
    fault = counter_fault(cpuinfo(tmp_path, text), str(tmp_path / "no clocks"))
    assert fault.endswith(why)
    assert bool(fault) == bool(why)


@ON_X86
@pytest.mark.parametrize(
    ("known", "steady"), [("kvm-clock tsc\n", True), ("hpet acpi_pm\n", False)]
)
def test_a_counter_that_the_kernel_has_caught_drifting(tmp_path, known, steady):
    clocks = tmp_path / "available_clocksource"
    clocks.write_text(known)
    flags = cpuinfo(tmp_path, "flags: constant_tsc nonstop_tsc\n")
    assert steady_counter(flags, str(clocks)) is steady
    assert ("struck tsc" in counter_fault(flags, str(clocks))) is not steady


def test_the_setting_is_given_as_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("CORELANE_CLOCK", "system")
    assert counter_fault(cpuinfo(tmp_path, "")) == "CORELANE_CLOCK=system is set"


def test_a_boot_has_one_name():
    assert boot_id() == boot_id() == str(uuid.UUID(boot_id()))


def test_a_process_is_known_by_its_start():
    mine = start_time(os.getpid())
    listen, tell = os.pipe()
    child = fork(lambda: os.read(listen, 1))
    theirs = start_time(child)
    assert 0 < mine <= theirs == start_time(child)
    os.write(tell, b"!")
    assert wait(child) == 0
    assert start_time(child) == 0
    os.close(listen)
    os.close(tell)
