"""Whether a face could be a person: measured on its mesh, against clean faces of its model."""
