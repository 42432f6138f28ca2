"""The step `counts`: how often captions, URLs and domains stand in the pool, boilerplate, odd shapes, as signals."""
