"""How good the denoisers are: the manifold paper's figures and tables, and what it did not measure."""
