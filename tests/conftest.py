"""What holds for every test."""

from hypothesis import settings

# A machine that is busy with something else is no fault of ours.
settings.register_profile("any machine", settings.default, deadline=None)
settings.load_profile("any machine")
