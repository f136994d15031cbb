"""How good rankings are, how good simple models' rankings are, and how sure the difference is."""
