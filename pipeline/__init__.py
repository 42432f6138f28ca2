"""The way of samples: from the files of a job to a smaller set, and the reason for every sample that is not in it."""
