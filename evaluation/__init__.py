"""Judging faces: whether they are possible."""
