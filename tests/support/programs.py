"""Programs that tests run, whatever folder the repository is in: its path may hold blanks."""

import sys


def write_program(path, text):
    """Write a Python program that can be run by its path.

    The path of an interpreter behind `#!` cannot hold blanks. So a shell begins, for which the
    second line is a command, and for Python the second and third line are a string.
    """
    path.write_text(f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\n{text}")
    path.chmod(0o755)


def virtual_environment(folder):
    """Return a path to the virtual environment of the tests that make can take as VENV.

    Names of make's targets cannot hold blanks.
    """
    link = folder / "venv"
    link.symlink_to(sys.prefix)
    return link
