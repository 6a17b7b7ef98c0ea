"""Ready-to-run configurations, found by name."""
