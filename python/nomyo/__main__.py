"""`python -m nomyo`, the same as `nomyo`."""

import sys

from nomyo.cli import main

if __name__ == "__main__":
    sys.exit(main())
