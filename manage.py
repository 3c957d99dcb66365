#!/usr/bin/env python
import sys

from config.env import SettingRefused, configure

if __name__ == "__main__":
    configure(sys.argv)
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except SettingRefused as refusal:
        sys.exit(str(refusal))
