"""One module per source; each has ``read(config) -> Tables``, not yet validated."""
