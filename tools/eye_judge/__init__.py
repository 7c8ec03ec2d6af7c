"""The making of the eye judge's weights: faults that are put into faces, and the fit to what counters said."""
