"""Starts the command line."""

import sys

from quartet_audit_verifier import command_line


def main() -> None:
    """Run the command and exit with its code."""
    sys.exit(command_line.main())


if __name__ == "__main__":
    main()
