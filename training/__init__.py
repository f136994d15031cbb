"""Drives everything: from data and graph to a trained model and its run folder."""
