"""The knowledge graph: its store, what is loaded into it, and the way back to PyG."""
