"""Flags, the settings that they make, and the checks of those settings."""
