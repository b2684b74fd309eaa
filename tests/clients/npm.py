"""The clients that come from npm: installed once, exactly as the lock file says, into a folder that git ignores."""

import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).with_name("node")
LOCK = FOLDER / "package-lock.json"
STAMP = FOLDER / "node_modules" / ".installed-from"  # a copy of the lock file that node_modules was made from
INSTALL_SECONDS = 540

# No package needs its scripts: what they would fetch or link comes in packages of its own.
NPM_CI = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


def install() -> str:
    """Return why the clients cannot be installed, or "" when they are."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"no {program} found; install it"
    wanted = LOCK.read_bytes()
    if STAMP.exists() and STAMP.read_bytes() == wanted:
        return ""
    try:
        ran = subprocess.run(NPM_CI, cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"`npm ci` took longer than {INSTALL_SECONDS} seconds"
    if ran.returncode:
        return f"`npm ci` failed: {' '.join(ran.stderr.split())[:300]}"
    STAMP.write_bytes(wanted)
    return ""
