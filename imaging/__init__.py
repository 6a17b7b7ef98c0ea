"""Cameras, visibility and the per-pixel channels that follow from a mesh and a visibility buffer."""
