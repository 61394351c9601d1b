"""What a few noisy figures show: rank correlations, differences between seeds, and their intervals. Knows no torch."""
