"""Versions: stored, compared, judged, made visible, scored between two fits, and remembered."""
