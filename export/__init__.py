"""What a run learnt, written for other programs: embeddings, retrieval vectors and features, with a manifest."""
