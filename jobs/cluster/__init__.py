"""Jobs on a Ray cluster: the needs of a job, its shipment, manifests for KubeRay."""
