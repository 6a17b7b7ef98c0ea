"""Where shards are made: in this process, in processes of this machine, by Dask, on a SLURM cluster."""
