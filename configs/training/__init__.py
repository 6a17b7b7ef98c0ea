"""Configurations of trainings, found by name."""
