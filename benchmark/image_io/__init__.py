"""Read image files: NIfTI, MHA, NRRD and DICOM series, with the checks that ITK does not make."""
