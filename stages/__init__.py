"""The stages of a run, one folder each: sample, denoise, compose, render, pack."""
