"""Columns as Arrow, as tf.Example and as tensors: their types, numbers as text, missing values."""
