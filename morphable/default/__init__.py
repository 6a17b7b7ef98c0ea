"""The embedded default: a face model generated from numbers, with no scan and no third-party mesh behind it."""
