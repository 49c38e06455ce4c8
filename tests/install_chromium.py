"""Have a Chromium for the browser tests: Debian's package where this is root, else Playwright's own download."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def main() -> None:
    if shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome"):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "chromium"]):
            if subprocess.run(command, **quiet).returncode:
                print(f"{' '.join(command)} failed: the browser tests will be skipped", file=sys.stderr)
                return
        return
    if subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"]).returncode:
        print("no Chromium could be installed: the browser tests will be skipped", file=sys.stderr)


if __name__ == "__main__":
    main()
