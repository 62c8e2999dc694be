"""`mfx new`: propose a pipeline for a table, from a sample of its rows."""
