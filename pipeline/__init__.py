"""How a run is carried out: run folder, shards, records, workers. Knows nothing about faces."""
