"""What a job would cost, here or on a cluster, and the batch size that suits this machine."""
