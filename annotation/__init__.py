"""Labels of a model's surface: layers of the face and dense landmarks."""
