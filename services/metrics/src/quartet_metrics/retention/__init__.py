"""What is deleted after its time, and the counts of the release before."""
