"""What is published: keypoints, messages, recordings, the annotated video."""
