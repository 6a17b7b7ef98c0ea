"""Render: images and visibility buffers of meshes."""
