"""Apache Beam: how pipelines run, here or on a cluster, and rows of the datastore as a source."""
