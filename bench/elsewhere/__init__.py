"""Training that is not ours: what others' loops predicted, as the records that a report is made of."""
