"""The unit files: what systemd itself says of them."""

import itertools
import json
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parent.parent / "systemd"
PROGRAM = "/opt/corelane/.venv/bin/corelane"
EXPOSURE_MAX = 1.5  # of systemd-analyze security: 0 is shut tight, 10 is wide open
STAGES = ("ingest", "book", "risk", "publisher")


@pytest.fixture
def units(tmp_path):
    """The units as they would be installed, with a program that exists here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    shutil.copytree(UNITS, tmp_path / "units")
    for path in (tmp_path / "units").rglob("*.*"):
        if path.is_file():
            path.write_text(path.read_text().replace(PROGRAM, "/bin/true"))
    return tmp_path / "units"


def test_units_are_well_formed(units):
    services = [f"corelane@{stage}.service" for stage in STAGES]
    names = ["corelane.target", "corelane.slice", *services]
    for stage in STAGES:
        (units / f"corelane@{stage}.service").symlink_to(units / "corelane@.service")
    command = ["systemd-analyze", "verify", "--man=no", *(str(units / name) for name in names)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in result.stderr.splitlines() if "corelane" in line]
    assert not ours, "\n".join(ours)


def test_stages_are_shut_in(units):
    unit = str(units / "corelane@.service")
    command = ["systemd-analyze", "security", "--offline=yes", "--json=short", unit]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if not result.stdout.strip():
        pytest.skip(f"systemd-analyze security cannot look offline here: {result.stderr.strip()}")
    exposure = sum(float(row["exposure"] or 0) for row in json.loads(result.stdout))
    text = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager",
         f"--threshold={round(EXPOSURE_MAX * 10)}", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert text.returncode == 0, f"exposure {exposure}\n{text.stdout[-2000:]}"


def test_a_stop_drains_from_the_source():
    """Each stage starts after the one behind it, so systemd stops it before that one."""
    for stage, behind in itertools.pairwise(STAGES):
        text = (UNITS / f"corelane@{stage}.service.d" / "order.conf").read_text()
        assert f"After=corelane@{behind}.service" in text


def test_stages_run_the_command_of_the_supervisor():
    text = (UNITS / "corelane@.service").read_text()
    assert "corelane stage %i --config /etc/corelane/pipeline.toml" in text
    assert "\nMemoryDenyWriteExecute=yes" not in text, "the kernels are compiled in the process"
