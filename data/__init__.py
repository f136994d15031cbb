"""Canonical tables, the sources that fill them, and their encoded form for the models."""
