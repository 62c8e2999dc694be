"""`python -m mfx.cli`, the same as `mfx`."""

import sys

from mfx.cli import main

sys.exit(main())
