"""The guard around the test run: what is left behind is named, ended, and makes the run fail."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

GUARD = Path(__file__).parents[1] / "guard.py"


def run_guarded(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(GUARD), "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("code", [0, 1, 5], ids=str)
def test_passes_on_the_exit_code_of_a_clean_run(code: int) -> None:
    """A run that leaves nothing behind ends with its own exit code and no word from the guard."""
    result = run_guarded(f"import sys; sys.exit({code})")

    assert (result.returncode, result.stderr) == (code, "")


def test_names_and_ends_what_is_left_behind() -> None:
    """An orphan in a session of its own is named with pid and command line, killed, and fails the run."""
    result = run_guarded(
        "import subprocess; p = subprocess.Popen(['sleep', '3471'], start_new_session=True, stderr=-3); print(p.pid)"
    )

    pid = int(result.stdout)
    assert result.returncode == 1
    assert f"left behind: pid {pid}: sleep 3471" in result.stderr
    assert not psutil.pid_exists(pid)


def test_reaches_below_a_process_that_is_left_behind() -> None:
    """A whole tree is ended, also where its head has cut itself off by forking twice."""
    result = run_guarded(
        "import os, subprocess, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        subprocess.run(['sleep', '3472'], stderr=-3)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )

    assert result.returncode == 1
    assert "sleep 3472" in result.stderr
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "3472"]]


def test_keeps_the_exit_code_of_a_run_that_failed_anyway() -> None:
    """A failed run that also leaves something behind keeps its own exit code."""
    result = run_guarded(
        "import subprocess, sys; subprocess.Popen(['sleep', '3473'], start_new_session=True, stderr=-3); sys.exit(7)"
    )

    assert result.returncode == 7
    assert "sleep 3473" in result.stderr


def test_reports_a_signal_as_a_shell_does() -> None:
    """A run that a signal ended gives 128 and the number of the signal."""
    result = run_guarded("import os; os.kill(os.getpid(), 9)")

    assert result.returncode == 137


def test_orphans_are_reaped_while_the_run_goes_on() -> None:
    """An orphan that ends is gone at once, not a zombie until the run is over."""
    result = run_guarded(
        "import os, time\n"
        "reader, writer = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        "        os.write(writer, str(os.getpid()).encode())\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "pid = int(os.read(reader, 20))\n"
        "deadline = time.monotonic() + 30\n"
        "while os.path.exists(f'/proc/{pid}') and time.monotonic() < deadline: time.sleep(0.01)\n"
        "print(os.path.exists(f'/proc/{pid}'))\n"
    )

    assert (result.returncode, result.stdout) == (0, "False\n")
