"""Measurements behind ``facegen benchmark``: ratios of things measured in turn in one process."""
