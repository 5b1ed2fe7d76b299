"""Many image files as one job: what is restored and where to, what is done, threads, and a manifest."""
