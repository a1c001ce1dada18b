"""The set-up of a machine: what is done is not done again, and who may not install is told what to run."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.fix_stack import short_directory
from tools.stack.layout import PROJECT

NOBODY = 65_534
SETUP = str(PROJECT / "tools" / "setup.sh")


def test_a_second_run_does_nothing_and_says_nothing() -> None:
    subprocess.run([SETUP], check=True)  # someone may have changed pyproject.toml since the last `make`
    stamp = PROJECT / ".venv" / ".tandem-installed"
    before = stamp.stat().st_mtime_ns
    began = time.monotonic()
    again = subprocess.run([SETUP], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert stamp.stat().st_mtime_ns == before
    assert time.monotonic() - began < 5


def test_without_root_missing_packages_are_one_sentence_with_the_command() -> None:
    """A dpkg-query that knows nothing stands for a machine without packages; root gives its rights up for this."""
    with short_directory() as folder:
        folder.chmod(0o755)
        fake = folder / "dpkg-query"
        fake.write_text("#!/bin/sh\nexit 1\n")
        fake.chmod(0o755)
        refused = subprocess.run(
            [*_without_root(), SETUP],
            env={"PATH": f"{folder}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Debian packages are missing (kamailio kamailio-python3-modules redis-server ")
    assert refused.stderr.endswith("): run 'tools/setup.sh packages' once as root, then this command again.\n")
    assert refused.stderr.count("\n") == 1


def test_every_module_of_the_configuration_comes_from_a_package_that_is_installed() -> None:
    names = [line.split('"')[1] for line in (PROJECT / "kamailio.cfg").read_text().splitlines() if "loadmodule" in line]
    packages = {_package_of(f"/usr/lib/x86_64-linux-gnu/kamailio/modules/{name}") for name in names}
    listed = (PROJECT / "tools" / "setup.sh").read_text()
    assert len(names) > 10
    assert [package for package in packages if f"    {package} " not in listed] == []


def _package_of(path: str) -> str:
    assert Path(path).exists(), path
    owner = subprocess.run(["dpkg", "-S", path], capture_output=True, text=True, check=True)
    return owner.stdout.split(":")[0]


def _without_root() -> tuple[str, ...]:
    if os.geteuid():
        return ()
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *reading)
