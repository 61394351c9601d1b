"""Images and annotations: what is in their files, and the data sets that training reads. Knows no config."""
