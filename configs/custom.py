"""Your own data set, in a VOC or a COCO folder: set `data_root`, and `classes` to choose among them.

    opanas train-supernet custom --cfg-options data_root=/data/cells classes=RBC,WBC,Platelets

A VOC folder holds Annotations/, JPEGImages/ and ImageSets/Main/{train,val,test}.txt. A COCO folder holds
annotations/{train,val,test}.json (or instances_train.json, or instances_train2017.json, …) and the images in {train,
val,test}/ (or train2017/, images/train/, images/). Without a test split the validation split is tested on. Classes
default to all that the training annotations name. Of a VOC folder they are in the order that `classes` gives; of a
COCO folder in that of the categories, which must be the same in all of its files.
"""

_base_ = ["_base_/normalised_faster_rcnn.py", "_base_/own_folder.py", "_base_/runtime.py"]

supernet = dict(search_split=0.2, sampling="all")
