"""Images and annotations: their files, and the data sets that training reads. Independent of configs."""
