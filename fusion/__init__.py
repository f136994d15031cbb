"""Joins the encoders: attention over modalities, the interest heads, the losses, the whole model."""
