"""What holds for every test."""

import os
import sys

from hypothesis import settings

# Where the environment forbids bytecode, each worker rewrites the assertions of every module again,
# and each server that a test starts compiles itself.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A machine that is busy with something else is no fault of ours.
settings.register_profile("any machine", settings.default, deadline=None)
settings.load_profile("any machine")

# jsonschema does without. Its grammars of internationalized addresses, which no schema here has,
# take 2 s to build in each process.
sys.modules["rfc3987_syntax"] = None
