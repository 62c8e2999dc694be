"""What people see of a run: its cards, charts and summary."""
