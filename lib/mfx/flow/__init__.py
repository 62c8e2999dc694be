"""Connect the steps with Metaflow: decorators, the start of a run, reuse of results, resume."""
