"""What people read of a run: cards, charts, the summary."""
