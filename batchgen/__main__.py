"""`python -m batchgen` is the command `batchgen`."""

import sys

from batchgen.cli import main

sys.exit(main())
