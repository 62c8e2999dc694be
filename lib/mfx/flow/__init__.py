"""What ties the steps to Metaflow: decorators, the start of a run, reuse of results, resume."""
