"""Training of the eye classifier: synthetic faults of eyes against real faces.

Not shipped yet. Weights of 9 minutes of one core tell held-out faults with an AUC of 0.82 (another face's eye) to 0.99
(covered), but agree with a blind count of 300 generated faces in half of all cases: soft, smudged eyes pass. As long as
that is not 0.9, no metric uses it.
"""
