"""Say in one line what this machine lacks to install the project."""

import shutil
import sys
import sysconfig
from pathlib import Path


def missing():
    """Yield everything that is missing, in words."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        yield f"Python 3.10 to 3.13 (this is {sys.version.split()[0]}; choose with make PYTHON=…)"
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        yield "ensurepip (Debian: apt-get install python3-venv)"
    # TFDV needs pyfarmhash, which is compiled when it is installed.
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        yield "a C++ compiler (Debian: apt-get install g++)"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        yield "Python's headers (Debian: apt-get install python3-dev)"


if __name__ == "__main__":
    if lacking := list(missing()):
        sys.exit("Cannot set up, missing: " + "; ".join(lacking))
