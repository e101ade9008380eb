"""Studies: comparisons of trainings, over several seeds, each as one command."""
