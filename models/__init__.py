"""The neural networks: synthetic streams, data sets, training, export. The only package that may
import TensorFlow.
"""
