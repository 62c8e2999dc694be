"""What a trained network becomes: a SavedModel with its transform graph, signatures and warm-up."""
