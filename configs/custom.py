"""Your own data set, in a folder of any known layout: set `data_root`, and `classes` to choose among them.

    opanas train-supernet custom --cfg-options data_root=/data/cells classes=RBC,WBC,Platelets

A folder may hold VOC's XML files, COCO's JSON or YOLO's labels, with or without splits; `opanas data DIR` says how it
is read. What has no splits is split by a hash of the images' names, by `split=0.8,0.1,0.1`. Without a test split the
validation split is tested on. Classes default to all that the training annotations name. Those of XML files are in the
order that `classes` gives; those of a COCO file or of YOLO in that of the file, which must be the same in all COCO
files of a folder.
"""

_base_ = ["_base_/normalised_faster_rcnn.py", "_base_/own_folder.py", "_base_/runtime.py"]

supernet = dict(search_split=0.2, sampling="all")
# Of the best candidates the super-net is a poor judge.
search = dict(finalists=8)
