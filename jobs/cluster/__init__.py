"""Jobs on a cluster: what it must have, how a job is sent there, manifests for it."""
