"""Near-duplicate captions: MinHash finds candidates, exact Jaccard similarity decides."""
