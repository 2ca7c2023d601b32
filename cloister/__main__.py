"""`python -m cloister`, the same as `cloister`."""

import sys

from cloister.cli import main

if __name__ == "__main__":
    sys.exit(main())
