"""Ready configurations of executors, by name: for `--executor`."""
