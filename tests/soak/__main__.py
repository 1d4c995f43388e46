"""`python -m tests.soak --rounds 200`."""

import sys

from tests.soak.kills import main

sys.exit(main())
