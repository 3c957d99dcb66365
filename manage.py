#!/usr/bin/env python
import os
import sys

from config.env import SettingRefused, configure

if __name__ == "__main__":
    configure(sys.argv)
    from django.core.management import execute_from_command_line
    from django.db import Error

    from apps.core import database

    try:
        execute_from_command_line(sys.argv)
    except SettingRefused as refusal:
        sys.exit(str(refusal))
    except Error as error:
        said = "" if "--traceback" in sys.argv else database.in_one_line(error)
        if not said:
            raise
        sys.stderr.write(f"{said}\n")
        sys.exit(os.EX_UNAVAILABLE)
