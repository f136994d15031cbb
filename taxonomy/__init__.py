"""A taxonomy for a shop that has none: products grouped by what their descriptions mean."""
