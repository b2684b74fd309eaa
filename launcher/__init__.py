"""The launcher: makes the wish to run an engine come true on Ray, one small step at a time."""
