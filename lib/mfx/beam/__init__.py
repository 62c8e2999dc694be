"""Apache Beam: how pipelines run here or on a cluster, and rows from Metaflow's datastore as a source."""
