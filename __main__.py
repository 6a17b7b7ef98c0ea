"""``python -m facegen`` is the ``facegen`` command."""

from facegen.cli import main

if __name__ == "__main__":
    main()
