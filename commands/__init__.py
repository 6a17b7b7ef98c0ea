"""The groups of commands, one file each: short functions without logic."""
