"""Presets: YAML files that `--config` takes by name or path."""
