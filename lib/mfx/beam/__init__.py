"""Apache Beam: run pipelines, here or on a cluster, and read rows from Metaflow's datastore."""
