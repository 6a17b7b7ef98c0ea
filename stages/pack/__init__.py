"""Pack: rendered faces into shards of a Zarr v3 dataset."""
