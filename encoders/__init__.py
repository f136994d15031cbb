"""Graph, text and history encoders: each turns its kind of input into vectors; none knows the others."""
