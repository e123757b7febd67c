"""The neural networks: synthetic streams, data sets, training, export. TensorFlow is imported here and nowhere else by default."""
