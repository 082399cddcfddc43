"""Run the command line as ``python -m spicesim``."""

from spicesim.cli import main

if __name__ == "__main__":
    main()
