#!/usr/bin/env python
"""Django's command line for Roundhouse."""

import os
import sys


def main() -> None:
    """Run a management command; a setting that cannot be used is one line, not a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    from django.core.management import execute_from_command_line

    from controlplane.env import SettingError

    try:
        execute_from_command_line(sys.argv)
    except SettingError as error:
        sys.exit(f"roundhouse: {error}")
    except KeyboardInterrupt:
        sys.exit("roundhouse: interrupted.")


if __name__ == "__main__":
    main()
