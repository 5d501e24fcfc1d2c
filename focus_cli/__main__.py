"""``python -m focus_cli``: the `focus` command where no script is on the path, as in processes that FOCUS starts."""

from focus_cli.cli.entry import main

if __name__ == "__main__":
    main()
