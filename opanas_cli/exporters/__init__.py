"""What a genotype can be exported to: configs, graphs and genotype formats, one file for each kind."""
