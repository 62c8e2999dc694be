"""`mfx serve` alone, without the other commands.

It can be run by its path, if `mfx` is not installed and PYTHONPATH must not be trusted.
"""

import sys
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    if not __package__:
        sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from mfx.serve.command import main

    main(partial(print, flush=True))
