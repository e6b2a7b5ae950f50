"""From weights to a model file: the deployable graph, and its comparison with the source."""
