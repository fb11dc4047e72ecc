"""What a run does with one or more passes over a model."""
