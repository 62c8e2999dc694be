"""Columns in Arrow, tf.Example and tensors: types, numbers as text, missing values."""
