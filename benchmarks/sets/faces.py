"""Faces: gender, with a second attribute that gives it away in 95 % of the training samples."""

from benchmarks.sets import DataSet

SET = DataSet("faces", "faces_gender", balanced=True)
