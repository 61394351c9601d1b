"""``python -m opanas_cli``: the same program as the ``opanas`` script."""

from opanas_cli.commands import main

if __name__ == "__main__":
    main()
