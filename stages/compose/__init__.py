"""Compose: parts of faces swapped for those of other people."""
