"""Average precision of what was found in images, by the rules of COCO and of PASCAL VOC."""
